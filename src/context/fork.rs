//! A context for an upstream call that several requests share.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed},
};

use super::{fields::ContextFields, request_context::RequestContext};
use crate::lock::Lock;

impl RequestContext {
    /// Creates a context for an upstream call that several requests share.
    ///
    /// Each request copies the results of the call with [`adopt`](Self::adopt).
    pub(crate) fn fork(&self) -> Self {
        let (ours, empty) = (&*self.fields, ContextFields::default());
        let from =
            |cell: &OnceLock<Box<str>>| cell.get().cloned().map_or_else(OnceLock::new, Into::into);
        let fields = ContextFields {
            request_id: ours.request_id.clone(),
            trace_id: ours.trace_id.clone(),
            trace_context: ours.trace_context.clone(),
            parent_span_id: ours.parent_span_id.clone(),
            amzn_trace_id: ours.amzn_trace_id.clone(),
            #[cfg(feature = "request-id")]
            propagator: ours.propagator.clone(),
            attempt_list: Lock::new(ours.attempt_list.lock().fork()),
            attempts_observed: AtomicU8::new(ours.attempts_observed.load(Relaxed)),
            identity: Lock::new(self.identity()),
            route: ours.route.clone(),
            stage: ours.stage.clone(),
            upstream: ours.upstream.clone(),
            model: from(&ours.model),
            target: ours.target.clone(),
            added_attempts: AtomicU32::new(self.attempts()),
            response_is_read: AtomicBool::new(self.response_is_read()),
            generated_tokens_are_read: AtomicBool::new(self.generated_tokens_are_read()),
            payload: Lock::new(ours.payload.lock().clone()),
            chosen_stage: match ours.chosen_stage.get() {
                Some(stage) => Lock::new(Arc::clone(&stage.lock())).into(),
                None => OnceLock::new(),
            },
            #[cfg(feature = "upstream")]
            peer: ours.peer.clone(),
            #[cfg(all(feature = "fallback", feature = "model-rules"))]
            judges: Lock::new(ours.judges.lock().clone()),
            ..empty
        };
        Self { fields: Arc::new(fields) }
    }

    /// Notes that this request has left the shared call that it began. Others go on with it.
    pub(crate) fn leave_call(&self, call: &Self) {
        self.fields.has_left_call.store(true, Relaxed);
        call.fields.is_without_leader.store(true, Relaxed);
        #[cfg(feature = "access-log")]
        self.fields.attempt_list.lock().leave_spans();
    }

    /// Takes over a shared call whose first request has left. Only one request does.
    pub(crate) fn take_over(&self, call: &Self) {
        if call.fields.is_without_leader.swap(false, Relaxed) {
            self.fields.has_taken_over.store(true, Relaxed);
        }
    }

    /// Copies the results that a [fork](Self::fork) has recorded so far.
    pub(crate) fn adopt(&self, fork: &Self) {
        let (ours, theirs) = (&*self.fields, &*fork.fields);
        if let Some(upstream) = theirs.upstream.get() {
            self.set_origin(Arc::clone(upstream));
        }
        if let Some(target) = theirs.target.get() {
            self.set_target(target.clone());
        }
        if let Some(refusal) = fork.refusal() {
            self.set_refusal(refusal);
        }
        if let Some(limit) = theirs.limited_by.get() {
            self.set_limited_by(Arc::clone(limit));
        }
        if let Some(limit) = theirs.shadow_limited_by.get() {
            self.set_shadow_limited_by(Arc::clone(limit));
        }
        let added = fork.attempts().saturating_sub(self.counted_calls());
        ours.added_attempts.fetch_max(added, Relaxed);
        if let Some(status) = fork.upstream_status() {
            self.set_upstream_status(status);
        }
        if let Some(usage) = fork.usage() {
            self.set_usage(usage);
        }
        if fork.generated_tokens() > 0 {
            let least = theirs.least_generated_tokens.load(Relaxed);
            self.set_generated_tokens(fork.generated_tokens(), least);
        }
        if let Some(end) = fork.stream_end() {
            self.set_stream_end(end);
        }
        let attempts = theirs.attempt_list.lock().clone();
        *ours.attempt_list.lock() = attempts;
        self.adopt_decisions(fork);
        #[cfg(feature = "fallback")]
        {
            *ours.served.lock() = theirs.served.lock().clone();
        }
        ours.fell_back.fetch_or(fork.fell_back(), Relaxed);
        #[cfg(any(feature = "access-log", feature = "upstream"))]
        ours.timed_out.fetch_or(theirs.timed_out.load(Relaxed), Relaxed);
    }
}
