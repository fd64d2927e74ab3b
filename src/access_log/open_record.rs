//! The record of a request that has not ended.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header::USER_AGENT};

use super::{
    prompt::{prompt_of, set_prompt},
    settings::Settings,
};
use crate::{
    body::{BodyEnd, Watch as _},
    context::{AttemptObserver, ClientSpans, RequestContext},
    peer::PeerAddress,
    record::{self, Capture, Ends, Observation, Record, RequestOutcome, operation_of_request},
    secret::REDACTED,
    tap::Tap,
};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// A record that is written once, at the end of its request or on drop. `None` once it is written
/// and when the sink is disabled. Boxed because it moves with the future, the response and the body.
pub(super) struct OpenRecord(Option<Box<Open>>);

struct Open {
    settings: Arc<Settings>,
    observation: Observation,
    // Reads the response unless an inner layer does.
    tap: Option<Tap>,
    // Whether the inner service, its future or its body runs at this moment.
    is_in_service: bool,
}

impl OpenRecord {
    /// Returns a record that is not written.
    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn new<B>(settings: &Arc<Settings>, request: &mut Request<B>) -> Self {
        if !settings.sinks.iter().any(|sink| sink.enabled()) {
            return Self(None);
        }
        let context = RequestContext::ensure(request.extensions_mut());
        // A compressed completion has no text.
        if settings.usage || settings.needs.completion_bytes > 0 {
            context.announce_response_is_read();
        }
        let arrived_at = settings.clock.monotonic();
        context.observe_attempts(AttemptObserver {
            clock: settings.clock.clone(),
            arrived_at,
            client_spans: settings.spans.map(|_| ClientSpans {
                operation: operation_of_request(request.method(), request.uri().path()),
                scrubbers: Arc::clone(&settings.scrubbers),
                open: record::open_span,
            }),
        });
        let (needs, headers) = (settings.needs, request.headers());
        let address = |address: &PeerAddress| address.address(request.extensions(), headers);
        let prompt_bytes = settings.kept_bytes(needs.prompt_bytes);
        if let Some(prompt) = Capture::new(prompt_bytes, needs.prompt_digest, headers) {
            match prompt_of(&context) {
                Some(outer) => outer.lock().extend(prompt_bytes, needs.prompt_digest),
                None => set_prompt(&context, prompt),
            }
        }
        let user_agent = if needs.user_agent { headers.get(USER_AGENT).cloned() } else { None };
        let open = Box::new(Open {
            settings: Arc::clone(settings),
            observation: Observation {
                context,
                method: request.method().clone(),
                path: request.uri().path_and_query().cloned(),
                http_version: request.version(),
                user_agent,
                client_address: settings.client_address.as_ref().and_then(address),
                prompt: None,
                completion: None,
                time: settings.clock.wall(),
                arrived_at,
                status: None,
                grpc_status: None,
                head_after: None,
                first_byte_after: None,
                first_token_after: None,
                response_facts: None,
                chunk_times: needs.chunk_times.then(Box::default),
                bytes_out: 0,
                digests_prompt: needs.prompt_digest,
            },
            tap: None,
            is_in_service: false,
        });
        // Last, because each arrival needs its record, whatever panics before.
        for sink in &open.settings.sinks {
            let _panicked = catch_unwind(AssertUnwindSafe(|| sink.arrived()));
        }
        Self(Some(open))
    }

    /// The context that counts the bytes of the request body. `None` when another layer counts them.
    pub(super) fn byte_counter(&self) -> Option<RequestContext> {
        let context = &self.0.as_ref()?.observation.context;
        context.claim_bytes_in().then(|| context.clone())
    }

    pub(super) fn method(&self) -> Option<&Method> {
        self.0.as_ref().map(|open| &open.observation.method)
    }

    /// Notes that the inner service runs. Its panic is the only way not to [leave](Self::leave_service) it.
    ///
    /// A layer outside may catch the panic and drop the request later, when the thread no longer panics. Another
    /// request of the same task may be dropped while it does.
    pub(super) fn enter_service(&mut self) {
        if let Some(open) = &mut self.0 {
            open.is_in_service = true;
        }
    }

    pub(super) fn leave_service(&mut self) {
        if let Some(open) = &mut self.0 {
            open.is_in_service = false;
        }
    }

    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    pub(super) fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        let Some(open) = &mut self.0 else { return };
        open.observation.head_after = Some(open.elapsed());
        open.observation.status = Some(status);
        open.observation.grpc_status = grpc_status(headers);
        let needs = open.settings.needs;
        let completion_bytes = open.settings.kept_bytes(needs.completion_bytes);
        open.observation.completion =
            Capture::new(completion_bytes, needs.completion_digest, headers);
        if needs.response_facts || open.observation.context.has_client_span() {
            open.observation.response_facts = Some(Box::default());
        }
        if open.settings.usage && open.observation.method != Method::HEAD {
            open.tap = Tap::claim_for_usage(&open.observation.context, status, headers);
        }
    }

    pub(super) fn data(&mut self, data: &Bytes) {
        let Some(open) = &mut self.0 else { return };
        let is_first = open.observation.bytes_out == 0 && !data.is_empty();
        let is_timed = open.observation.chunk_times.is_some() && !data.is_empty();
        let now = (is_first || is_timed).then(|| open.elapsed());
        if is_first {
            open.observation.first_byte_after = now;
        }
        if let (Some(times), Some(now)) = (&mut open.observation.chunk_times, now) {
            times.chunk(now);
        }
        open.observation.bytes_out += data.len() as u64;
        if let Some(completion) = &mut open.observation.completion {
            completion.data(data);
        }
        if let Some(facts) = &mut open.observation.response_facts {
            facts.data(data);
        }
        if let Some(tap) = &mut open.tap {
            tap.data(data);
        }
        // An inner layer may run the tap. It has read these bytes before.
        if open.observation.first_token_after.is_none() && open.observation.context.text_has_begun()
        {
            open.observation.first_token_after = now.or_else(|| Some(open.elapsed()));
        }
    }

    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        let Some(open) = &mut self.0 else { return };
        open.observation.grpc_status = grpc_status(trailers).or(open.observation.grpc_status);
        if let Some(tap) = &mut open.tap {
            tap.trailers(trailers);
        }
    }

    pub(super) fn close(&mut self, end: BodyEnd) {
        let Some(mut open) = self.0.take() else { return };
        if let Some(tap) = &mut open.tap {
            tap.end(end);
        }
        if let Some(facts) = &mut open.observation.response_facts {
            facts.finish();
        }
        if let Some(completion) = &mut open.observation.completion
            && matches!(end, BodyEnd::Complete | BodyEnd::Trailers)
        {
            completion.end();
        }
        let needs = open.settings.needs;
        if needs.prompt_bytes > 0 || needs.prompt_digest {
            let prompt = prompt_of(&open.observation.context);
            open.observation.prompt = prompt.map(|prompt| prompt.lock().clone());
        }
        let panicked = end == BodyEnd::Cancelled && open.is_in_service;
        let context = &open.observation.context;
        let ends = Ends {
            body: end,
            panicked,
            status: open.observation.status,
            outcome: &context.outcome(),
            timed_out: context.timed_out(),
        };
        let mut attempts = context.finish_attempts();
        for attempt in attempts.iter_mut() {
            if let Some(id) = &mut attempt.upstream_request_id
                && open.settings.scrubbers.iter().any(|scrubber| scrubber.is_in(id.as_bytes()))
            {
                *id = REDACTED.into();
            }
        }
        let record = Record {
            attempts,
            identity: context.identity(),
            usage: ends.outcome.usage,
            added_values: context.added_values(),
            outcome: RequestOutcome::of(&ends),
            total: open.elapsed(),
            sample_rate: None,
            scrubbers: &open.settings.scrubbers,
            observation: &open.observation,
        };
        if let Some(conventions) = open.settings.spans
            && let Some(span) = context.take_client_span()
        {
            record::finish_span(&record, &span, conventions);
        }
        for sink in &open.settings.sinks {
            // A second panic in a drop would abort the process. The panic hook has reported this one.
            let _panicked = catch_unwind(AssertUnwindSafe(|| sink.record(&record)));
        }
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        self.close(BodyEnd::Cancelled);
    }
}

impl fmt::Debug for OpenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenRecord").finish_non_exhaustive()
    }
}

impl Open {
    fn elapsed(&self) -> Duration {
        self.settings.clock.monotonic().saturating_sub(self.observation.arrived_at)
    }
}

/// Returns the number of the trailer, or of the header of a response without a body.
fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}
