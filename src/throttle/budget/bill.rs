//! What was reserved for a request, and what becomes of it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use smallvec::SmallVec;

use super::{deltas::Deltas, estimate::Estimate, layer::Settings, weights::Weight};
use crate::{
    body::{BodyEnd, Watch},
    context::{RequestContext, StreamEnd},
    generation::is_event_stream,
    rejection::Rejection,
    tap::Tap,
    throttle::{
        allowance::Kind,
        ask::{Asks, Decision, Settlement},
        fields::Fields,
        owed::Owed,
    },
};

/// What chat templates put around a prompt.
const AROUND_PROMPT: u64 = 256;

/// Settled exactly once: at the end of the answer, or by being dropped.
#[derive(Debug)]
pub(super) struct Bill(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    settings: Arc<Settings>,
    asks: Asks,
    decision: Decision,
    // Given back by being dropped.
    owed: Option<Owed>,
    context: RequestContext,
    estimate: Estimate,
    weight: Weight,
    // Of this request, before it went on.
    attempts: u32,
    answer: Answer,
    tap: Option<Tap>,
    deltas: Option<Deltas>,
    bytes: u64,
}

/// How the request was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    /// Not, or by a failure after which nobody knows what was computed.
    None,
    /// By a status that says that nothing was computed.
    Nothing,
    /// By an event stream.
    Stream,
    /// By anything else.
    Whole,
}

impl Bill {
    pub(super) fn new(
        settings: &Arc<Settings>,
        asks: Asks,
        decision: Decision,
        context: RequestContext,
        (estimate, weight): (Estimate, Weight),
    ) -> Self {
        let owed = Owed::new(&settings.limits, &asks, &decision);
        context.forget_response();
        Self(Some(Box::new(Open {
            settings: Arc::clone(settings),
            asks,
            decision,
            owed,
            attempts: context.attempts(),
            context,
            estimate,
            weight,
            answer: Answer::None,
            tap: None,
            deltas: None,
            bytes: 0,
        })))
    }

    /// The head of the answer has come.
    pub(super) fn answered<R>(&mut self, response: &mut Response<R>) {
        let Some(open) = &mut self.0 else { return };
        let limits = &open.settings.limits;
        open.owed = open.owed.take().and_then(|owed| owed.answered(response));
        if let Some(fields) = Fields::new(limits, &open.asks, &open.decision) {
            fields.answer(response);
        }
        let (status, headers) = (response.status(), response.headers());
        let ours = response.extensions().get::<Rejection>().is_some();
        let uncomputed = status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE;
        let unsent = ours && open.context.attempts() == open.attempts;
        open.answer = if uncomputed || unsent {
            Answer::Nothing
        } else if status.is_server_error() {
            Answer::None
        } else if is_event_stream(headers) {
            Answer::Stream
        } else {
            Answer::Whole
        };
        // Others want to know of failures too.
        open.tap = Tap::claim(&open.context, status, headers);
        if open.answer == Answer::Stream {
            open.deltas = open.settings.estimator.tokenizer().cloned().map(Deltas::new);
        }
    }

    fn settle(&mut self) {
        if let Some(open) = self.0.take() {
            open.settle();
        }
    }
}

impl Open {
    fn settle(&self) {
        let (prompt, completion) = self.used();
        let used = self.weight.of(prompt, completion);
        let reserved = self.weight.of(self.estimate.prompt, self.estimate.output);
        let permits = if used >= reserved {
            i64::try_from(used.saturating_sub(reserved)).unwrap_or(i64::MAX)
        } else {
            i64::try_from(reserved.saturating_sub(used)).map_or(i64::MIN, |less| -less)
        };
        if permits == 0 {
            return;
        }
        let mut settlements = SmallVec::<[Settlement; 4]>::new();
        for (ask, standing) in self.asks.iter().zip(&self.decision.standings) {
            // A limit in shadow that would have refused has taken nothing, and one that counts
            // failures counts no tokens.
            if standing.allows
                && ask.cost == reserved
                && !matches!(ask.allowance.0, Kind::Concurrency(_))
            {
                settlements.push(Settlement {
                    key: ask.key,
                    overflow: ask.overflow,
                    allowance: ask.allowance,
                    window: standing.window,
                    permits,
                });
            }
        }
        self.settings.limits.store().backend().settle(&settlements);
    }

    /// Tokens of the prompt and of the answer.
    fn used(&self) -> (u64, u64) {
        let calls = self.context.attempts().saturating_sub(self.attempts);
        let retries = u64::from(calls.saturating_sub(1)).saturating_mul(self.estimate.prompt);
        let (prompt, completion) = match self.answer {
            Answer::Nothing => (0, 0),
            Answer::None => (self.estimate.prompt, 0),
            Answer::Stream => self.streamed(),
            Answer::Whole => self.whole(),
        };
        (prompt.saturating_add(retries), completion)
    }

    fn streamed(&self) -> (u64, u64) {
        let delivered = match &self.deltas {
            Some(deltas) => deltas.tokens(),
            None => self.context.generated_tokens(),
        };
        let least = self.context.least_generated_tokens();
        let delivered = match self.estimate {
            Estimate { drawn: true, output, .. } => output,
            Estimate { bounded: true, .. } => delivered,
            _ => delivered.max(self.bytes.div_ceil(4)),
        };
        match self.context.usage() {
            Some(_) if self.context.stream_end() == Some(StreamEnd::Done) => {
                self.told(delivered, least)
            }
            // So far.
            usage => {
                let usage = usage.unwrap_or_default();
                let prompt = self.estimate.prompt.max(usage.prompt_tokens.unwrap_or_default());
                let completion = delivered.max(usage.completion_tokens.unwrap_or_default());
                self.believed(prompt, completion, least)
            }
        }
    }

    fn whole(&self) -> (u64, u64) {
        let delivered = self.context.generated_tokens();
        // A body that does not say what it was is at most what was allowed.
        let text = delivered > 0 && self.estimate.bounded;
        let guess = match self.estimate {
            Estimate { drawn: true, output, .. } => output,
            _ if text => delivered,
            _ => self.bytes.div_ceil(4),
        };
        // A completion may repeat its prompt.
        let prompt = self.context.usage().and_then(|usage| usage.prompt_tokens);
        let repeated = prompt.unwrap_or(self.estimate.prompt);
        let least = self.context.least_generated_tokens().saturating_sub(repeated);
        if self.context.usage().is_some() {
            self.told(guess, least)
        } else {
            self.believed(self.estimate.prompt, guess.min(self.most_of_output()), 0)
        }
    }

    /// By the upstream's own count. `otherwise` where it tells nothing of the answer, or that there
    /// was none though there was.
    fn told(&self, otherwise: u64, least: u64) -> (u64, u64) {
        let usage = self.context.usage().unwrap_or_default();
        let total = usage.total_tokens;
        let without = |known: Option<u64>| Some(total?.saturating_sub(known?));
        let prompt = usage
            .prompt_tokens
            .or_else(|| without(usage.completion_tokens))
            .unwrap_or_else(|| self.estimate.prompt.min(total.unwrap_or(u64::MAX)));
        let completion =
            usage.completion_tokens.or_else(|| without(Some(prompt))).filter(|tokens| *tokens > 0);
        let nothing_to_count = self.estimate.output == 0;
        let completion = completion.unwrap_or(if nothing_to_count { 0 } else { otherwise });
        self.believed(prompt, completion, least)
    }

    /// A count within what the prompt and the output limit can have taken, and not below the text
    /// that was delivered. Reasoning is output.
    fn believed(&self, prompt: u64, completion: u64, least: u64) -> (u64, u64) {
        let Estimate { most_of_prompt, output, .. } = self.estimate;
        let most = most_of_prompt.saturating_add(AROUND_PROMPT);
        let prompt = prompt.min(most);
        if output == 0 {
            // Nothing was reserved for an output: both share what the prompt can have taken.
            (prompt, completion.min(most.saturating_sub(prompt)))
        } else {
            (prompt, completion.min(self.most_of_output()).max(least))
        }
    }

    /// The limit in force; where the upstream is held to none, a token for each byte.
    fn most_of_output(&self) -> u64 {
        let Estimate { output, bounded, .. } = self.estimate;
        if bounded { output } else { output.max(self.bytes) }
    }
}

impl Watch for Bill {
    fn data(&mut self, data: &Bytes) {
        let Some(open) = &mut self.0 else { return };
        open.bytes = open.bytes.saturating_add(data.len() as u64);
        if let Some(tap) = &mut open.tap {
            tap.data(data);
        }
        if let Some(deltas) = &mut open.deltas {
            deltas.feed(data.clone());
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(tap) = self.0.as_mut().and_then(|open| open.tap.as_mut()) {
            tap.trailers(trailers);
        }
    }

    fn end(&mut self, end: BodyEnd) {
        if let Some(tap) = self.0.as_mut().and_then(|open| open.tap.as_mut()) {
            tap.end(end);
        }
        self.settle();
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        self.settle();
    }
}
