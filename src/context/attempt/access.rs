//! The part of [`RequestContext`] about attempts.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use http::{HeaderMap, Method, Request, StatusCode};

#[cfg(feature = "test-util")]
use super::list::AttemptList;
use super::{attempt::Attempt, level::Level};
#[cfg(feature = "access-log")]
use super::{list::Attempts, observer::AttemptObserver};
use crate::context::request_context::RequestContext;

/// A layer outside records the attempts.
#[cfg(feature = "access-log")]
const RECORDED: u8 = 1;
/// The attempts have spans.
#[cfg(feature = "access-log")]
const SPANS: u8 = 2;
/// Each attempt has a `traceparent` of its own.
#[cfg(feature = "request-id")]
const TRACED: u8 = 4;

impl RequestContext {
    /// Announces a layer that records the attempts. Keeps the first one.
    #[cfg(feature = "access-log")]
    pub(crate) fn observe_attempts(&self, observer: AttemptObserver) {
        let mut list = self.fields.attempt_list.lock();
        if list.observer.is_none() {
            let bits = if observer.client_spans.is_some() { RECORDED | SPANS } else { RECORDED };
            self.fields.attempts_observed.fetch_or(bits, Relaxed);
            list.observer = Some(observer);
        }
    }

    /// Announces that each attempt has a `traceparent` of its own.
    #[cfg(feature = "request-id")]
    pub(crate) fn trace_attempts(&self) {
        self.fields.attempts_observed.fetch_or(TRACED, Relaxed);
    }

    fn observed(&self) -> u8 {
        self.fields.attempts_observed.load(Relaxed)
    }

    /// Counts a call of the service inside `FallbackLayer`, which goes to this target.
    #[cfg(feature = "fallback")]
    pub(crate) fn begin_target(&self, target: Option<&Arc<str>>) {
        self.count_fallback_call();
        if self.observed() == 0 {
            return;
        }
        let mut list = self.fields.attempt_list.lock();
        list.target = target.cloned();
        if let Some((begun, _)) = list.begin(Level::Fallback) {
            begun.attempt.target = target.cloned();
        }
    }

    /// Counts a call of the service inside a layer and writes its trace headers.
    #[cfg(any(feature = "hf", feature = "upstream"))]
    pub(crate) fn begin_attempt<B>(&self, level: Level, request: &mut Request<B>) {
        match level {
            #[cfg(feature = "upstream")]
            Level::Upstream => self.count_upstream_call(),
            #[cfg(feature = "hf")]
            Level::Origin => self.count_origin_call(),
            _ => {}
        }
        if self.observed() != 0 {
            let method = request.method().clone();
            self.begin_observed(level, &method, request.headers_mut());
        }
    }

    /// Counts and records a request that the HTTP client sends once more.
    #[cfg(feature = "client")]
    pub(crate) fn repeat_attempt<B>(&self, request: &mut Request<B>) {
        self.add_attempt();
        if self.observed() != 0 {
            let method = request.method().clone();
            self.begin_observed(Level::Client, &method, request.headers_mut());
        }
    }

    #[inline(never)]
    fn begin_observed(&self, level: Level, method: &Method, headers: &mut HeaderMap) {
        let mut list = self.fields.attempt_list.lock();
        #[cfg(feature = "fallback")]
        let target = list.target.clone();
        let Some((begun, is_new)) = list.begin(level) else { return };
        #[cfg(feature = "fallback")]
        if is_new {
            begun.attempt.target = target;
        }
        // A layer further in leaves the headers of one further out.
        let is_sent = std::mem::replace(&mut begun.is_sent, true);
        #[cfg(feature = "access-log")]
        if !is_sent && self.observed() & SPANS != 0 {
            list.open_span(method, self.model());
        }
        #[cfg(feature = "request-id")]
        if !is_sent && self.observed() & TRACED != 0 {
            #[cfg(feature = "access-log")]
            let span = list.last().map_or_else(tracing::Span::none, |last| last.span.clone());
            #[cfg(not(feature = "access-log"))]
            let span = tracing::Span::none();
            // A propagator is code of the program.
            drop(list);
            let id = self.write_trace(&span, headers);
            if let Some(last) = self.fields.attempt_list.lock().last() {
                last.attempt.span_id = id;
            }
        }
    }

    /// Runs the call of an attempt in its span.
    #[cfg(any(feature = "hf", feature = "upstream"))]
    pub(crate) fn in_attempt<T>(&self, call: impl FnOnce() -> T) -> T {
        #[cfg(feature = "access-log")]
        if self.observed() & SPANS != 0 {
            let span = self.fields.attempt_list.lock().last().map(|last| last.span.clone());
            let _entered = span.as_ref().map(tracing::Span::enter);
            return call();
        }
        call()
    }

    /// Records the head of the upstream's response in its attempt, without an id that `is_secret`
    /// selects.
    #[cfg(any(feature = "hf", feature = "upstream"))]
    pub(crate) fn note_response(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        is_secret: impl Fn(&[u8]) -> bool,
    ) {
        if self.observed() != 0
            && let Some(last) = self.fields.attempt_list.lock().last()
        {
            let attempt = &mut last.attempt;
            attempt.status = Some(status);
            attempt.upstream = self.fields.upstream.get().cloned();
            attempt.upstream_request_id = attempt
                .upstream_request_id
                .take()
                .or_else(|| upstream_request_id(headers, is_secret));
        }
    }

    /// Records the stage that an attempt goes to.
    #[cfg(feature = "hf")]
    pub(crate) fn set_attempt_stage(&self, stage: &Arc<str>, provider: Option<&'static str>) {
        if self.observed() != 0
            && let Some(last) = self.fields.attempt_list.lock().last()
        {
            let attempt = &mut last.attempt;
            attempt.target.get_or_insert_with(|| Arc::clone(stage));
            attempt.upstream = self.fields.upstream.get().cloned();
            attempt.provider = provider;
        }
    }

    /// Returns the number of the last attempt for [`end_attempt`](Self::end_attempt). Zero when no
    /// layer records attempts.
    #[cfg(feature = "upstream")]
    pub(crate) fn attempt_number(&self) -> u16 {
        #[cfg(feature = "access-log")]
        if self.observed() & RECORDED != 0 {
            return u16::try_from(self.fields.attempt_list.lock().len()).unwrap_or_default();
        }
        0
    }

    /// Records that an attempt has ended. The first end counts.
    #[cfg(feature = "upstream")]
    pub(crate) fn end_attempt(&self, number: u16) {
        #[cfg(feature = "access-log")]
        if number > 0 {
            self.fields.attempt_list.lock().end(number.into());
        }
    }

    /// Ends all attempts and returns them. The last one has the usage of the response.
    #[cfg(feature = "access-log")]
    pub(crate) fn finish_attempts(&self) -> Attempts {
        let usage = self.usage();
        let mut list = self.fields.attempt_list.lock();
        if let Some(last) = list.last()
            && last.attempt.abandoned.is_none()
        {
            last.attempt.usage = last.attempt.usage.or(usage);
        }
        list.finish()
    }

    /// Returns whether somebody listens to the span over the attempts.
    #[cfg(feature = "access-log")]
    pub(crate) fn has_client_span(&self) -> bool {
        if self.observed() & SPANS == 0 {
            return false;
        }
        let list = self.fields.attempt_list.lock();
        list.client_span.as_ref().is_some_and(|span| !span.is_disabled())
    }

    /// Returns the span over the attempts, for its last attributes.
    #[cfg(feature = "access-log")]
    pub(crate) fn take_client_span(&self) -> Option<tracing::Span> {
        self.fields.attempt_list.lock().client_span.take()
    }

    /// Returns the attempts that another one followed.
    pub(crate) fn abandoned(&self) -> Vec<Attempt> {
        let list = self.fields.attempt_list.lock();
        let attempts = list.iter().map(|open| &open.attempt);
        attempts.filter(|attempt| attempt.abandoned.is_some()).cloned().collect()
    }

    /// Returns how many attempts another one followed.
    #[cfg(feature = "throttle")]
    pub(crate) fn abandoned_count(&self) -> usize {
        let list = self.fields.attempt_list.lock();
        list.iter().filter(|open| open.attempt.abandoned.is_some()).count()
    }

    /// Records that another attempt follows the last one.
    #[cfg(feature = "hf")]
    pub(crate) fn add_abandoned(&self, attempt: Attempt) {
        self.fields.attempt_list.lock().abandon(attempt);
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn set_abandoned(&self, attempts: Vec<Attempt>) {
        let mut list = self.fields.attempt_list.lock();
        *list = AttemptList::default();
        attempts.into_iter().for_each(|attempt| list.abandon(attempt));
    }
}

/// Returns the rank of a header in which upstreams return the id of a request. The most usual one is first.
#[cfg(any(feature = "hf", feature = "upstream"))]
fn id_rank(name: &str) -> Option<u8> {
    Some(match name {
        "x-request-id" => 0,
        "request-id" => 1,
        "inference-id" => 2,
        "x-amzn-requestid" => 3,
        "apigw-requestid" => 4,
        "apim-request-id" => 5,
        "x-amz-cf-id" => 6,
        "cf-ray" => 7,
        _ => return None,
    })
}

/// Returns the id that the upstream gave the request.
#[cfg(any(feature = "hf", feature = "upstream"))]
fn upstream_request_id(headers: &HeaderMap, is_secret: impl Fn(&[u8]) -> bool) -> Option<Arc<str>> {
    /// Bytes of the longest id.
    const LONGEST: usize = 128;
    let legal = |id: &str| (1..=LONGEST).contains(&id.len()) && !id.contains([' ', '\t']);
    // One pass over the names, because most responses have one of the headers or none.
    let ids = headers.iter().filter_map(|(name, value)| {
        let rank = id_rank(name.as_str())?;
        let id = value.to_str().ok().filter(|id| legal(id) && !is_secret(id.as_bytes()))?;
        Some((rank, id))
    });
    // A copy, because the value is a slice of the connection's read buffer.
    ids.min_by_key(|(rank, _)| *rank).map(|(_, id)| Arc::from(id))
}
