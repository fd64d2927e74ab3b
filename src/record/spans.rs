//! The record of a request as attributes of its client span.

use tracing::Span;

use super::{
    gen_ai::{GenAiAttribute, GenAiConventions},
    outcome::RequestOutcome,
    record::Record,
};
use crate::context::{ClientSpan, name_server};

/// Renders the record into the span over its attempts and closes that.
pub(crate) fn finish(record: &Record<'_>, span: ClientSpan, conventions: GenAiConventions) {
    let ClientSpan(span) = span;
    if span.is_disabled() {
        return;
    }
    let last = record.attempt_list().last();
    // The conventions require a provider.
    let provider = last.and_then(|attempt| attempt.provider).unwrap_or("_OTHER");
    span.record(conventions.name(GenAiAttribute::ProviderName), provider);
    if let Some(origin) = record.upstream() {
        name_server(&span, origin);
    }
    if record.stream_end().is_some() {
        span.record(conventions.name(GenAiAttribute::RequestStream), true);
        if let Some(wait) = time_to_first_chunk(record) {
            span.record(conventions.name(GenAiAttribute::TimeToFirstChunk), wait);
        }
    }
    if let Some(usage) = record.usage() {
        let count = |attribute, tokens: Option<u64>| {
            // `tracing-opentelemetry` exports a `u64` as a text.
            if let Some(tokens) = tokens.and_then(|tokens| i64::try_from(tokens).ok()) {
                span.record(conventions.name(attribute), tokens);
            }
        };
        count(GenAiAttribute::InputTokens, usage.prompt_tokens);
        count(GenAiAttribute::OutputTokens, usage.completion_tokens);
        count(GenAiAttribute::CacheReadInputTokens, usage.cached_tokens);
        count(GenAiAttribute::CacheWriteInputTokens, usage.cache_write_tokens);
        count(GenAiAttribute::ReasoningOutputTokens, usage.reasoning_tokens);
    }
    record_error(record, &span);
}

/// Returns the seconds from the first attempt to the first chunk of the response.
fn time_to_first_chunk(record: &Record<'_>) -> Option<f64> {
    let sent = record.attempt_list().next()?.started_after?;
    let arrived = record.first_token_after().or_else(|| record.first_byte_after())?;
    Some(arrived.saturating_sub(sent).as_secs_f64())
}

fn record_error(record: &Record<'_>, span: &Span) {
    let status = record.upstream_status();
    let failed = status.filter(|status| status.is_client_error() || status.is_server_error());
    match (failed, record.outcome()) {
        (Some(status), _) => span.record("error.type", status.as_str()),
        (None, RequestOutcome::Complete) => return,
        (None, outcome) => {
            span.record("error.type", record.refusal().unwrap_or_else(|| outcome.as_str()))
        }
    };
    span.record("otel.status_code", "ERROR");
}
