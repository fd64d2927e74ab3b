use metrics::{Counter, Histogram, SharedString};

use super::{
    label::Label,
    register::{Registrar, Values},
    table::Metric,
};
use crate::context::Usage;

/// The metrics of tokens of one route and model. Those that a set of names lacks do nothing.
#[derive(Debug)]
pub(super) struct TokenHandles {
    // The parts under names of this crate.
    uncached_input: Counter,
    cached_input: Counter,
    shown_output: Counter,
    reasoning_output: Counter,
    // The names of OpenTelemetry, whose wholes include their parts.
    input: Counter,
    output: Counter,
    cached: Counter,
    reasoning: Counter,
    input_usage: Histogram,
    output_usage: Histogram,
    operation_input: Histogram,
    operation_output: Histogram,
    embeddings_input: Histogram,
}

impl TokenHandles {
    pub(super) fn new(registrar: &Registrar, values: Values<'_>) -> Self {
        let typed = |kind: &'static str| {
            let kind = (Label::TokenType, SharedString::const_str(kind));
            values.iter().cloned().chain([kind]).collect::<Vec<_>>()
        };
        let part = |kind| registrar.counter(Metric::Tokens, &typed(kind));
        let usage = |kind| registrar.histogram(Metric::TokenUsage, &typed(kind));
        Self {
            uncached_input: part("input"),
            cached_input: part("cached_input"),
            shown_output: part("output"),
            reasoning_output: part("reasoning_output"),
            input: registrar.counter(Metric::InputTokens, values),
            output: registrar.counter(Metric::OutputTokens, values),
            cached: registrar.counter(Metric::CachedTokens, values),
            reasoning: registrar.counter(Metric::ReasoningTokens, values),
            input_usage: usage("input"),
            output_usage: usage("output"),
            operation_input: registrar.histogram(Metric::OperationInputTokens, values),
            operation_output: registrar.histogram(Metric::OperationOutputTokens, values),
            embeddings_input: registrar.histogram(Metric::EmbeddingsInputTokens, values),
        }
    }

    pub(super) fn record(&self, usage: &Usage) {
        // A part that an upstream reports beyond its whole is as large as the whole.
        let cached = part(usage.cached_tokens, usage.prompt_tokens);
        let reasoning = part(usage.reasoning_tokens, usage.completion_tokens);
        self.cached_input.increment(cached);
        self.reasoning_output.increment(reasoning);
        self.cached.increment(cached);
        self.reasoning.increment(reasoning);
        if let Some(input) = usage.prompt_tokens {
            self.uncached_input.increment(input - cached);
            self.input.increment(input);
            self.input_usage.record(input as f64);
            self.operation_input.record(input as f64);
            self.embeddings_input.record(input as f64);
        }
        if let Some(output) = usage.completion_tokens {
            self.shown_output.increment(output - reasoning);
            self.output.increment(output);
            self.output_usage.record(output as f64);
            self.operation_output.record(output as f64);
        }
    }
}

/// Returns the tokens of a part. A part without its whole is not known to be one.
fn part(part: Option<u64>, whole: Option<u64>) -> u64 {
    part.unwrap_or_default().min(whole.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn a_part_is_never_more_than_its_whole() {
        assert_eq!(part(Some(3), Some(10)), 3);
        assert_eq!(part(Some(30), Some(10)), 10);
        assert_eq!(part(Some(3), None), 0);
        assert_eq!(part(None, Some(10)), 0);
    }
}
