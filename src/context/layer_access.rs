//! The part of [`RequestContext`] that only the layers of this crate use.

#[cfg(any(feature = "access-log", feature = "cache", feature = "hf"))]
use std::any::Any;
use std::sync::{Arc, Weak, atomic::Ordering::Relaxed};

use http::StatusCode;
#[cfg(feature = "request-id")]
use http::{HeaderMap, HeaderName};

#[cfg(feature = "access-log")]
use super::added_value::AddedValue;
#[cfg(any(feature = "fallback", feature = "upstream"))]
use super::upstream_state::UpstreamState;
use super::{
    body_mode::BodyMode, cache_outcome::CacheOutcome, fields::AnyPayload,
    request_context::RequestContext, stream_end::StreamEnd, usage::Usage,
};
#[cfg(feature = "hf")]
use crate::lock::Lock;

#[cfg(feature = "request-id")]
use super::{
    fields::SharedPropagator,
    trace::{AmznTraceId, Propagator, SpanId, TraceContext},
};

#[cfg(feature = "request-id")]
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

// === results, which `RequestContext::outcome` shows ===

impl RequestContext {
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        *self.fields.refusal.lock()
    }

    pub(crate) fn set_refusal(&self, slug: &'static str) {
        self.fields.refusal.lock().get_or_insert(slug);
    }

    #[cfg(feature = "access-log")]
    pub(crate) fn limited_by(&self) -> Option<&str> {
        self.fields.limited_by.get().map(AsRef::as_ref)
    }

    #[cfg(any(
        feature = "cache",
        feature = "fallback",
        feature = "test-util",
        feature = "throttle",
        feature = "upstream"
    ))]
    pub(crate) fn set_limited_by(&self, limit: Arc<str>) {
        let _already = self.fields.limited_by.set(limit);
    }

    #[cfg(feature = "access-log")]
    pub(crate) fn shadow_limited_by(&self) -> Option<&str> {
        self.fields.shadow_limited_by.get().map(AsRef::as_ref)
    }

    #[cfg(any(feature = "cache", feature = "test-util", feature = "throttle"))]
    pub(crate) fn set_shadow_limited_by(&self, limit: Arc<str>) {
        let _already = self.fields.shadow_limited_by.set(limit);
    }

    pub(crate) fn cache(&self) -> Option<CacheOutcome> {
        CacheOutcome::from_code(self.fields.cache.load(Relaxed))
    }

    /// Returns whether the upstream generated the response for this request, and not for another one that
    /// counts it.
    #[cfg(feature = "access-log")]
    pub(crate) fn is_generated(&self) -> bool {
        #[cfg(feature = "cache")]
        if self.fields.has_taken_over.load(Relaxed) || self.fields.has_left_call.load(Relaxed) {
            return self.fields.has_taken_over.load(Relaxed);
        }
        !matches!(self.cache(), Some(CacheOutcome::Hit | CacheOutcome::Collapsed))
    }

    #[cfg(any(feature = "cache", feature = "test-util"))]
    pub(crate) fn set_cache(&self, outcome: CacheOutcome) {
        self.fields.cache.store(outcome.code(), Relaxed);
    }

    pub(crate) fn fell_back(&self) -> bool {
        self.fields.fell_back.load(Relaxed)
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.fields.added_attempts.load(Relaxed).saturating_add(self.counted_calls())
    }

    /// Returns the attempts that layers have seen. A retry between two layers repeats only the calls of
    /// the inner one.
    pub(super) fn counted_calls(&self) -> u32 {
        let upstream = self.fields.upstream_calls.load(Relaxed);
        let calls = upstream.max(self.fields.origin_calls.load(Relaxed));
        #[cfg(feature = "fallback")]
        let calls = calls.max(self.fields.fallback_calls.load(Relaxed));
        calls
    }

    /// Counts a call of the service inside `FallbackLayer`.
    #[cfg(feature = "fallback")]
    pub(super) fn count_fallback_call(&self) {
        self.fields.fallback_calls.fetch_add(1, Relaxed);
    }

    /// Counts a call of the service inside `UpstreamLayer`.
    #[cfg(feature = "upstream")]
    pub(super) fn count_upstream_call(&self) {
        self.fields.upstream_calls.fetch_add(1, Relaxed);
    }

    /// Counts a call of the service inside `HfTokenLayer`.
    #[cfg(feature = "hf")]
    pub(super) fn count_origin_call(&self) {
        self.fields.origin_calls.fetch_add(1, Relaxed);
    }

    pub(crate) fn upstream_status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.fields.upstream_status.load(Relaxed)).ok()
    }

    #[cfg(any(feature = "cache", feature = "hf", feature = "test-util", feature = "upstream"))]
    pub(crate) fn set_upstream_status(&self, status: StatusCode) {
        self.fields.upstream_status.store(status.as_u16(), Relaxed);
    }

    /// Returns the state of the upstream that did not serve the latest attempt.
    #[cfg(any(feature = "fallback", test))]
    pub(crate) fn upstream_state(&self) -> Option<UpstreamState> {
        UpstreamState::from_code(self.fields.upstream_state.load(Relaxed))
    }

    #[cfg(feature = "upstream")]
    pub(crate) fn set_upstream_state(&self, state: Option<UpstreamState>) {
        self.fields.upstream_state.store(UpstreamState::code(state), Relaxed);
    }

    pub(crate) fn bytes_in(&self) -> u64 {
        self.fields.bytes_in.load(Relaxed)
    }

    pub(crate) fn add_bytes_in(&self, bytes: u64) {
        self.fields.bytes_in.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        *self.fields.usage.lock()
    }

    pub(crate) fn generated_tokens(&self) -> u64 {
        self.fields.generated_tokens.load(Relaxed)
    }

    /// Returns whether a layer reads the estimated tokens of a JSON document.
    #[cfg(any(feature = "access-log", feature = "cache"))]
    pub(crate) fn generated_tokens_are_read(&self) -> bool {
        self.fields.generated_tokens_are_read.load(Relaxed)
    }

    /// Returns the tokens that the response text has at least in any common tokenizer.
    #[cfg(any(feature = "cache", feature = "throttle"))]
    pub(crate) fn least_generated_tokens(&self) -> u64 {
        self.fields.least_generated_tokens.load(Relaxed)
    }

    /// Sets the estimated tokens of the response text and the least number of them.
    pub(crate) fn set_generated_tokens(&self, estimate: u64, least: u64) {
        self.fields.generated_tokens.store(estimate, Relaxed);
        self.fields.least_generated_tokens.store(least, Relaxed);
    }

    /// Returns whether the stream of the response has brought generated text.
    #[cfg(feature = "access-log")]
    pub(crate) fn text_has_begun(&self) -> bool {
        self.fields.text_has_begun.load(Relaxed)
    }

    /// Sets whether the stream of the response has brought generated text.
    pub(crate) fn set_text_has_begun(&self, has_begun: bool) {
        self.fields.text_has_begun.store(has_begun, Relaxed);
    }

    pub(crate) fn stream_end(&self) -> Option<StreamEnd> {
        StreamEnd::from_code(self.fields.stream_end.load(Relaxed))
    }

    pub(crate) fn set_stream_end(&self, end: StreamEnd) {
        self.fields.stream_end.store(StreamEnd::code(Some(end)), Relaxed);
    }
}

// === agreements between layers ===

impl RequestContext {
    /// Returns true for the first caller only.
    ///
    /// Requests pass the outermost layer first. It counts the bytes of the body, and layers inside of
    /// it do not count them again.
    #[cfg(feature = "access-log")]
    pub(crate) fn claim_bytes_in(&self) -> bool {
        !self.fields.bytes_in_claimed.swap(true, Relaxed)
    }

    /// Returns true for the first caller only.
    ///
    /// Responses pass the innermost layer first. It runs the tap, and layers outside of it read the
    /// results here.
    pub(crate) fn claim_tap(&self) -> bool {
        !self.fields.tap_claimed.swap(true, Relaxed)
    }

    /// Returns the trace headers of an attempt's request, or writes them with the program's propagator.
    #[cfg(feature = "request-id")]
    pub(super) fn write_trace(
        &self,
        span: &tracing::Span,
        headers: &mut HeaderMap,
    ) -> Option<SpanId> {
        if let Some(propagator) = self.fields.propagator.get() {
            if span.is_disabled() {
                propagator.0.inject(&tracing::Span::current(), headers);
            } else {
                propagator.0.inject(span, headers);
            }
            let written = TraceContext::from_traceparent(headers.get(TRACEPARENT)?)?;
            return Some(*written.parent_id());
        }
        let id = SpanId::random();
        let trace = self.fields.trace_context.get()?.continued_by(id);
        headers.insert(TRACEPARENT, trace.traceparent());
        Some(id)
    }

    /// Sets the program's writer of trace headers. Keeps the first value.
    #[cfg(feature = "request-id")]
    pub(crate) fn set_propagator(&self, propagator: Arc<dyn Propagator>) {
        let _already = self.fields.propagator.set(SharedPropagator(propagator));
    }

    /// Sets what the client sent in `x-amzn-trace-id`. Keeps the first value.
    #[cfg(feature = "request-id")]
    pub(crate) fn set_amzn_trace_id(&self, id: AmznTraceId) {
        let _already = self.fields.amzn_trace_id.set(id);
    }

    /// Sets the span of the client that sent the request. Keeps the first value.
    #[cfg(feature = "request-id")]
    pub(crate) fn set_parent_span_id(&self, id: SpanId) {
        let _already = self.fields.parent_span_id.set(id);
    }

    /// Returns the `Capture` of the request body.
    #[cfg(feature = "access-log")]
    pub(crate) fn prompt(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.fields.prompt.get().map(|capture| &**capture)
    }

    /// Sets the `Capture` of the request body. Keeps the first one.
    #[cfg(feature = "access-log")]
    pub(crate) fn set_prompt(&self, capture: Arc<dyn Any + Send + Sync>) {
        let _already = self.fields.prompt.set(capture);
    }

    /// Returns the values that the program added.
    #[cfg(feature = "access-log")]
    pub(crate) fn added_values(&self) -> Vec<(&'static str, AddedValue)> {
        self.fields.added_values.lock().clone()
    }

    /// Returns whether a deadline of the upstream cut the response.
    #[cfg(feature = "access-log")]
    pub(crate) fn timed_out(&self) -> bool {
        self.fields.timed_out.load(Relaxed)
    }

    /// Records that a deadline of the upstream cut the response.
    #[cfg(feature = "upstream")]
    pub(crate) fn set_timed_out(&self) {
        self.fields.timed_out.store(true, Relaxed);
    }

    /// Removes the results of an attempt, so that another one can follow.
    #[cfg(feature = "fallback")]
    pub(crate) fn forget_attempt(&self) {
        self.fields.upstream_state.store(UpstreamState::code(None), Relaxed);
        self.fields.upstream_status.store(0, Relaxed);
        self.forget_failure();
    }

    /// Removes a failure that the client does not get, and what was read from its response.
    #[cfg(any(feature = "cache", feature = "fallback"))]
    pub(crate) fn forget_failure(&self) {
        *self.fields.refusal.lock() = None;
        self.fields.rejected_layers.store(0, Relaxed);
        #[cfg(any(feature = "access-log", feature = "upstream"))]
        self.fields.timed_out.store(false, Relaxed);
        self.forget_response();
    }

    /// Announces that each failed attempt is recorded with its reason.
    #[cfg(feature = "fallback")]
    pub(crate) fn announce_attempts_are_recorded(&self) {
        self.fields.attempts_are_recorded.store(true, Relaxed);
    }

    /// Returns whether each failed attempt is recorded with its reason.
    #[cfg(all(feature = "fallback", feature = "throttle"))]
    pub(crate) fn attempts_are_recorded(&self) -> bool {
        self.fields.attempts_are_recorded.load(Relaxed)
    }

    /// Returns whether each failed attempt is recorded with its reason, which a fallback does.
    #[cfg(all(not(feature = "fallback"), feature = "throttle"))]
    #[expect(clippy::unused_self, reason = "the same name as with a fallback")]
    pub(crate) const fn attempts_are_recorded(&self) -> bool {
        false
    }

    /// Returns the client's address for attempts that lack the extensions of the first one.
    #[cfg(feature = "upstream")]
    pub(crate) fn peer(
        &self,
        of_extensions: impl FnOnce() -> Option<[u8; 16]>,
    ) -> Option<[u8; 16]> {
        match of_extensions() {
            Some(peer) => Some(*self.fields.peer.get_or_init(|| peer)),
            None => self.fields.peer.get().copied(),
        }
    }

    /// Adds the `Judge` of a layer of rules.
    #[cfg(all(feature = "fallback", feature = "model-rules"))]
    pub(crate) fn add_judge(&self, judge: Arc<dyn Any + Send + Sync>) {
        let mut judges = self.fields.judges.lock();
        if judges.first.is_none() {
            judges.first = Some(judge);
        } else {
            judges.others.push(judge);
        }
    }

    /// Returns whether a layer of rules has judged the request.
    #[cfg(all(feature = "fallback", feature = "model-rules"))]
    pub(crate) fn has_judges(&self) -> bool {
        self.fields.judges.lock().first.is_some()
    }

    /// Returns false: without a fallback no rules are asked later.
    #[cfg(all(feature = "cache", not(all(feature = "fallback", feature = "model-rules"))))]
    #[expect(clippy::unused_self, reason = "the same name as with a fallback")]
    pub(crate) const fn has_judges(&self) -> bool {
        false
    }

    /// Returns whether `allows` is true of each `Judge`.
    #[cfg(all(feature = "fallback", feature = "model-rules"))]
    pub(crate) fn all_judges(&self, allows: impl Fn(&(dyn Any + Send + Sync)) -> bool) -> bool {
        let judges = self.fields.judges.lock().clone();
        judges.first.iter().chain(&judges.others).all(|judge| allows(&**judge))
    }

    /// Returns the `Target` that serves in place of the one that rules have judged.
    ///
    /// Something else stands for a target that is not certain.
    #[cfg(all(feature = "cache", feature = "fallback"))]
    pub(crate) fn served(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.fields.served.lock().clone()
    }

    /// Returns the `Target` that serves in place of the one that rules have judged. Only a fallback
    /// changes it.
    #[cfg(all(feature = "cache", not(feature = "fallback")))]
    #[expect(clippy::unused_self, reason = "the same name as with a fallback")]
    pub(crate) const fn served(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    /// Sets the `Target` that serves in place of the one that rules have judged.
    #[cfg(feature = "fallback")]
    pub(crate) fn set_served(&self, target: Arc<dyn Any + Send + Sync>) {
        *self.fields.served.lock() = Some(target);
    }

    /// Removes what was read from an earlier response, so that a tap reads the next one.
    ///
    /// A retry from outside comes with the same context.
    #[cfg(any(feature = "cache", feature = "fallback", feature = "throttle"))]
    pub(crate) fn forget_response(&self) {
        *self.fields.usage.lock() = None;
        self.set_generated_tokens(0, 0);
        self.set_text_has_begun(false);
        self.fields.stream_end.store(StreamEnd::code(None), Relaxed);
        self.fields.tap_claimed.store(false, Relaxed);
    }

    /// Returns how the body of the route is to be read. Defaults to JSON.
    pub(crate) fn body_mode(&self) -> BodyMode {
        BodyMode::from_code(self.fields.body_mode.load(Relaxed))
    }

    /// Sets how the body of the route is to be read.
    pub(crate) fn set_body_mode(&self, mode: BodyMode) {
        self.fields.body_mode.store(mode.code(), Relaxed);
    }

    /// Returns whether a layer of this crate limits the output below what the request allowed when it
    /// passed the layers outside.
    #[cfg(feature = "cache")]
    pub(crate) fn output_is_limited(&self) -> bool {
        self.fields.output_is_limited.load(Relaxed)
    }

    /// Announces that a layer of this crate limits the output.
    #[cfg(feature = "throttle")]
    pub(crate) fn announce_output_is_limited(&self) {
        self.fields.output_is_limited.store(true, Relaxed);
    }

    /// Returns the `Stage` that a layer outside has chosen for the next attempt.
    #[cfg(feature = "hf")]
    pub(crate) fn chosen_stage(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.fields.chosen_stage.get().map(|stage| Arc::clone(&stage.lock()))
    }

    /// Sets the `Stage` of the next attempt.
    #[cfg(feature = "hf")]
    pub(crate) fn set_chosen_stage(&self, stage: Arc<dyn Any + Send + Sync>) {
        let chosen = self.fields.chosen_stage.get_or_init(|| Lock::new(Arc::clone(&stage)));
        *chosen.lock() = stage;
    }

    /// Returns the payload that was read last, if it is still in use.
    ///
    /// A framework between two layers hides the type of the body. The inner layer finds here what the
    /// outer one has read.
    pub(crate) fn payload(&self) -> Option<Arc<AnyPayload>> {
        self.fields.payload.lock().as_ref()?.upgrade()
    }

    /// Sets the payload that was read last.
    ///
    /// The reference is weak, because a context lives as long as the response flows.
    pub(crate) fn remember_payload(&self, payload: Weak<AnyPayload>) {
        *self.fields.payload.lock() = Some(payload);
    }
}
