//! The tokens that are reserved for a request, and their settlement.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use smallvec::SmallVec;

use super::{estimate::Estimate, settings::Settings, stream_tokens::StreamTokens, weights::Weight};
use crate::{
    body::{BodyEnd, Watch},
    context::{Attempt, Layer, RequestContext, StreamEnd, Usage},
    generation::is_event_stream,
    limits::{
        AllowanceKind, ConfiguredLimit, Decision, PermitOutcome, PermitRequest, PermitRequests,
        Release, Settlement, StoreUnavailable,
    },
    rejection::{Refusal, Rejection},
    tap::Tap,
};

/// The most tokens that a chat template adds to a prompt.
const MAX_TEMPLATE: u64 = 256;

/// A reservation that the store has to decide on.
pub(super) struct ReservationRequest {
    pub(super) settings: Arc<Settings>,
    pub(super) permit_requests: PermitRequests,
    pub(super) context: RequestContext,
    pub(super) estimate: Estimate,
    pub(super) weight: Weight,
}

impl ReservationRequest {
    /// Returns the reservation of a request that passes, or its rejection.
    pub(super) fn finish(
        self,
        decision: Result<Decision, StoreUnavailable>,
    ) -> Result<Reservation, (Rejection, RequestContext)> {
        let Self { settings, permit_requests, context, estimate, weight } = self;
        let checked = settings.limits.check(&permit_requests, decision.as_ref(), &context);
        if let Err(rejection) = checked {
            return Err((with_estimate(rejection, estimate), context));
        }
        let decision = decision.unwrap_or_default();
        let release = Release::new(&settings.limits, &permit_requests, &decision);
        context.forget_response();
        context.pass(Layer::TokenBudget);
        let reserved = weight.cost(&estimate);
        for (limit, request, _) in taken(&settings, &permit_requests, &decision, reserved) {
            limit.counters.count_reserved(request.cost);
        }
        Ok(Reservation(Some(Box::new(OpenReservation {
            settings,
            permit_requests,
            decision,
            release,
            attempts: context.attempts(),
            abandoned: context.abandoned_count(),
            context,
            estimate,
            weight,
            response: ResponseKind::None,
            tap: None,
            stream_tokens: None,
            bytes: 0,
        }))))
    }
}

/// Adds to the detail what the request would have reserved.
fn with_estimate(rejection: Rejection, estimate: Estimate) -> Rejection {
    if rejection.refusal() == Refusal::ThrottleUnavailable {
        return rejection;
    }
    let Estimate { prompt, output, .. } = estimate;
    let detail = format!(
        "{}; the prompt of this request is estimated at {prompt} tokens and its output limit is \
         {output}",
        rejection.detail()
    );
    rejection.with_detail(detail)
}

/// Returns the limits that have taken the reserved tokens.
///
/// A limit in shadow that does not allow the request has taken nothing. A limit of failures counts no
/// tokens.
fn taken<'a>(
    settings: &'a Settings,
    requests: &'a [PermitRequest],
    decision: &'a Decision,
    reserved: u64,
) -> impl Iterator<Item = (&'a ConfiguredLimit, &'a PermitRequest, &'a PermitOutcome)> {
    let decided = requests.iter().zip(&decision.outcomes);
    let all = settings.limits.limits().iter().zip(decided);
    let takes = move |request: &PermitRequest, outcome: &PermitOutcome| {
        let is_concurrency = matches!(request.allowance.0, AllowanceKind::Concurrency(_));
        outcome.allows && request.cost == reserved && !is_concurrency
    };
    all.filter(move |(_, (request, outcome))| takes(request, outcome))
        .map(|(limit, (request, outcome))| (limit, request, outcome))
}

/// The reserved tokens of a request. They are settled once: at the end of the response or on drop.
#[derive(Debug)]
pub(super) struct Reservation(Option<Box<OpenReservation>>);

#[derive(Debug)]
struct OpenReservation {
    settings: Arc<Settings>,
    permit_requests: PermitRequests,
    decision: Decision,
    // Gives permits in flight back when it is dropped.
    release: Option<Release>,
    context: RequestContext,
    estimate: Estimate,
    weight: Weight,
    // The attempts of this request before it was forwarded, and those with another one after them.
    attempts: u32,
    abandoned: usize,
    response: ResponseKind,
    tap: Option<Tap>,
    stream_tokens: Option<StreamTokens>,
    bytes: u64,
}

/// The kind of the response, which determines the charge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ResponseKind {
    /// No response, or a failure that does not reveal what was computed.
    None,
    /// A status that means that nothing was computed.
    NotComputed,
    /// A failure behind a fallback, which costs what it reports.
    Failed,
    Stream,
    Whole,
}

impl Reservation {
    /// Looks at the response head and sets its headers.
    pub(super) fn on_response<R>(&mut self, response: &mut Response<R>) {
        let Some(open) = &mut self.0 else { return };
        let limits = &open.settings.limits;
        open.release = open.release.take().and_then(|release| release.on_response(response));
        if let Some(headers) = limits.response_headers(&open.permit_requests, &open.decision) {
            headers.apply(response);
        }
        let (status, headers) = (response.status(), response.headers());
        let refusal = response.extensions().get::<Rejection>().map(Rejection::refusal);
        let not_computed = status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE;
        let not_sent = refusal.is_some() && open.context.attempts() == open.attempts;
        let failed = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        // A timeout does not reveal what was computed.
        let timed_out = refusal == Some(Refusal::UpstreamTimeout);
        open.response = if not_sent {
            ResponseKind::NotComputed
        } else if failed && !timed_out && open.context.attempts_are_recorded() {
            ResponseKind::Failed
        } else if not_computed {
            ResponseKind::NotComputed
        } else if status.is_server_error() {
            ResponseKind::None
        } else if is_event_stream(headers) {
            ResponseKind::Stream
        } else {
            ResponseKind::Whole
        };
        // Other layers read what the tap finds in failures too.
        open.tap = Tap::claim(&open.context, status, headers);
        if open.response == ResponseKind::Stream {
            open.stream_tokens =
                open.settings.estimator.tokenizer().cloned().map(StreamTokens::new);
        }
    }

    fn settle(&mut self) {
        if let Some(open) = self.0.take() {
            open.settle();
        }
    }
}

impl OpenReservation {
    fn settle(&self) {
        let (prompt, output) = self.used();
        let used = self.weight.of(prompt, output);
        let reserved = self.weight.cost(&self.estimate);
        for (limit, _, _) in taken(&self.settings, &self.permit_requests, &self.decision, reserved)
        {
            limit.counters.count_settled(reserved, used);
        }
        let permits = if used >= reserved {
            i64::try_from(used.saturating_sub(reserved)).unwrap_or(i64::MAX)
        } else {
            i64::try_from(reserved.saturating_sub(used)).map_or(i64::MIN, |less| -less)
        };
        if permits == 0 {
            return;
        }
        let mut settlements = SmallVec::<[Settlement; 4]>::new();
        for (_, request, outcome) in
            taken(&self.settings, &self.permit_requests, &self.decision, reserved)
        {
            settlements.push(Settlement {
                key: request.key,
                overflow: request.overflow,
                allowance: request.allowance,
                window: outcome.window,
                permits,
            });
        }
        self.settings.limits.store().backend().settle(&settlements);
    }

    /// Returns the tokens of the prompt and of the output.
    fn used(&self) -> (u64, u64) {
        let calls = self.context.attempts().saturating_sub(self.attempts);
        let abandoned = self.context.abandoned();
        let abandoned = abandoned.get(self.abandoned..).unwrap_or_default();
        let recorded = u32::try_from(abandoned.len()).unwrap_or(u32::MAX);
        // Retries that no layer of this crate has made.
        let retries = calls.saturating_sub(1).saturating_sub(recorded);
        let retries = u64::from(retries).saturating_mul(self.estimate.prompt);
        let (prompt, output) = match self.response {
            ResponseKind::NotComputed => (0, 0),
            // The client left before the first attempt or between two.
            ResponseKind::None if self.context.attempts_are_recorded() && calls <= recorded => {
                (0, 0)
            }
            ResponseKind::None => (self.estimate.prompt, 0),
            ResponseKind::Failed if self.context.usage().is_some() => self.reported(0, 0),
            ResponseKind::Failed => (0, 0),
            ResponseKind::Stream => self.streamed(),
            ResponseKind::Whole => self.whole(),
        };
        let free = matches!(self.response, ResponseKind::NotComputed | ResponseKind::Failed);
        let (prompt, output) = if !free && self.goes_on() {
            (prompt.max(self.estimate.prompt), output.max(self.estimate.output))
        } else {
            (prompt, output)
        };
        let served = (prompt.saturating_add(retries), output);
        abandoned.iter().fold(served, |(prompt, output), attempt| {
            let (own_prompt, own_output) = self.used_by(attempt);
            (prompt.saturating_add(own_prompt), output.saturating_add(own_output))
        })
    }

    /// Returns the tokens of the prompt and of the output of an attempt that another one followed.
    fn used_by(&self, attempt: &Attempt) -> (u64, u64) {
        match attempt.usage {
            Some(usage) => self.reported_in(usage, 0, 0),
            None if attempt.cost_is_unknown() => (self.estimate.prompt, 0),
            None => (0, 0),
        }
    }

    /// Returns whether the upstream generates on in the background, with an output that no response of
    /// this request counts.
    fn goes_on(&self) -> bool {
        let usage = self.context.usage();
        let counted =
            usage.and_then(|usage| usage.completion_tokens).is_some_and(|count| count > 0);
        let ended = self.response == ResponseKind::Whole
            || self.context.stream_end() == Some(StreamEnd::Done);
        self.estimate.in_background && !(counted && ended)
    }

    fn streamed(&self) -> (u64, u64) {
        let delivered = match &self.stream_tokens {
            Some(stream) => stream.tokens(),
            None => self.context.generated_tokens(),
        };
        let least = self.context.least_generated_tokens();
        let delivered = match self.estimate {
            Estimate { is_media: true, bounded: true, output, .. } => output,
            Estimate { bounded: true, .. } => delivered,
            _ => delivered.max(self.bytes.div_ceil(4)),
        };
        match self.context.usage() {
            Some(_) if self.context.stream_end() == Some(StreamEnd::Done) => {
                self.reported(delivered, least)
            }
            // The usage of a part of the stream.
            usage => {
                let usage = usage.unwrap_or_default();
                let prompt = self.estimate.prompt.max(usage.prompt_tokens.unwrap_or_default());
                let output = delivered.max(usage.completion_tokens.unwrap_or_default());
                self.within_bounds(prompt, output, least)
            }
        }
    }

    fn whole(&self) -> (u64, u64) {
        let delivered = self.context.generated_tokens();
        let text = delivered > 0 && self.estimate.bounded;
        let guess = match self.estimate {
            Estimate { is_media: true, bounded: true, output, .. } => output,
            _ if text => delivered,
            _ => self.bytes.div_ceil(4),
        };
        // A completion may repeat its prompt.
        let usage = self.context.usage().unwrap_or_default();
        let repeated = self.counted(usage.prompt_tokens).unwrap_or(self.estimate.prompt);
        let least = self.context.least_generated_tokens().saturating_sub(repeated);
        if self.context.usage().is_some() {
            self.reported(guess, least)
        } else {
            self.within_bounds(self.estimate.prompt, guess.min(self.max_output()), 0)
        }
    }

    /// Returns the upstream's own count. `guess` is the output if the upstream reports none.
    fn reported(&self, guess: u64, least: u64) -> (u64, u64) {
        self.reported_in(self.context.usage().unwrap_or_default(), guess, least)
    }

    fn reported_in(&self, usage: Usage, guess: u64, least: u64) -> (u64, u64) {
        let total = self.counted(usage.total_tokens);
        let without = |known: Option<u64>| Some(total?.saturating_sub(known?));
        let prompt = self
            .counted(usage.prompt_tokens)
            .or_else(|| self.counted(without(usage.completion_tokens)))
            .unwrap_or_else(|| match (usage.prompt_tokens, usage.completion_tokens) {
                (None, None) => self.estimate.prompt.min(total.unwrap_or(u64::MAX)),
                _ => self.estimate.prompt,
            });
        let output =
            usage.completion_tokens.or_else(|| without(Some(prompt))).filter(|tokens| *tokens > 0);
        let generates_nothing = self.estimate.output == 0;
        let output = output.unwrap_or(if generates_nothing { 0 } else { guess });
        self.within_bounds(prompt, output, least)
    }

    /// Returns a reported count of the prompt. Zero is no count of a prompt that is not empty.
    const fn counted(&self, tokens: Option<u64>) -> Option<u64> {
        match tokens {
            Some(0) if self.estimate.prompt > 0 => None,
            tokens => tokens,
        }
    }

    /// Bounds a count by what the prompt and the output limit can have taken, and by the text that was
    /// delivered. Reasoning is output.
    fn within_bounds(&self, prompt: u64, output: u64, least: u64) -> (u64, u64) {
        let max = self.estimate.max_prompt.saturating_add(MAX_TEMPLATE);
        let prompt = prompt.min(max);
        if self.estimate.output == 0 {
            // No output was reserved, so both share the bound of the prompt.
            (prompt, output.min(max.saturating_sub(prompt)))
        } else {
            (prompt, output.min(self.max_output()).max(least))
        }
    }

    /// Returns the output limit. Without a limit that the upstream enforces, it is a token for each
    /// byte. A picture has as many tokens as its size and quality ask for.
    fn max_output(&self) -> u64 {
        match self.estimate {
            Estimate { is_media: true, .. } => u64::MAX,
            Estimate { bounded: true, output, .. } => output,
            Estimate { output, .. } => output.max(self.bytes),
        }
    }
}

impl Watch for Reservation {
    fn data(&mut self, data: &Bytes) {
        let Some(open) = &mut self.0 else { return };
        open.bytes = open.bytes.saturating_add(data.len() as u64);
        if let Some(tap) = &mut open.tap {
            tap.data(data);
        }
        if let Some(stream_tokens) = &mut open.stream_tokens {
            stream_tokens.feed(data.clone());
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

impl Drop for Reservation {
    fn drop(&mut self) {
        self.settle();
    }
}
