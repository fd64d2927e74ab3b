use std::{
    any::Any,
    borrow::Cow,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64},
    },
};

use http::HeaderValue;

#[cfg(feature = "request-id")]
use super::trace::Propagator;
use super::{
    added_value::AddedValue,
    attempt::AttemptList,
    decision::Decision,
    last_value::LastValue,
    trace::{AmznTraceId, SpanId, TraceContext, TraceId},
    usage::Usage,
};
use crate::{identity::Identity, lock::Lock};

/// The state that all clones of a context share.
#[derive(Debug, Default)]
pub(super) struct ContextFields {
    pub(super) request_id: OnceLock<HeaderValue>,
    pub(super) trace_id: OnceLock<TraceId>,
    // With the span of this gateway as the parent.
    pub(super) trace_context: OnceLock<TraceContext>,
    pub(super) parent_span_id: OnceLock<SpanId>,
    pub(super) amzn_trace_id: OnceLock<AmznTraceId>,
    #[cfg(feature = "request-id")]
    pub(super) propagator: OnceLock<SharedPropagator>,
    pub(super) identity: Lock<Option<Arc<Identity>>>,
    pub(super) route: OnceLock<Cow<'static, str>>,
    // A code of `BodyMode`.
    pub(super) body_mode: AtomicU8,
    pub(super) stage: OnceLock<Cow<'static, str>>,
    pub(super) upstream: LastValue<Arc<str>>,
    pub(super) model: OnceLock<Box<str>>,
    pub(super) target: LastValue<Box<str>>,
    pub(super) refusal: Lock<Option<&'static str>>,
    pub(super) limited_by: OnceLock<Arc<str>>,
    pub(super) shadow_limited_by: OnceLock<Arc<str>>,
    // A code of `CacheOutcome`.
    pub(super) cache: AtomicU8,
    pub(super) fell_back: AtomicBool,
    // Of a shared call: whether the request that began it left before its end.
    #[cfg(feature = "cache")]
    pub(super) is_without_leader: AtomicBool,
    // Whether the request left the shared call that it began, and whether it took over that of another one.
    #[cfg(feature = "cache")]
    pub(super) has_left_call: AtomicBool,
    #[cfg(feature = "cache")]
    pub(super) has_taken_over: AtomicBool,
    // Attempts that were added by name, beside the calls that layers counted.
    pub(super) added_attempts: AtomicU32,
    pub(super) upstream_calls: AtomicU32,
    pub(super) origin_calls: AtomicU32,
    #[cfg(feature = "fallback")]
    pub(super) fallback_calls: AtomicU32,
    // 0: no response yet.
    pub(super) upstream_status: AtomicU16,
    // A code of `UpstreamState`.
    #[cfg(any(feature = "fallback", feature = "upstream"))]
    pub(super) upstream_state: AtomicU8,
    pub(super) bytes_in: AtomicU64,
    #[cfg(feature = "access-log")]
    pub(super) bytes_in_claimed: AtomicBool,
    pub(super) usage: Lock<Option<Usage>>,
    pub(super) generated_tokens: AtomicU64,
    pub(super) least_generated_tokens: AtomicU64,
    // Whether a stream has brought generated text.
    pub(super) text_has_begun: AtomicBool,
    // A code of `StreamEnd`.
    pub(super) stream_end: AtomicU8,
    pub(super) response_is_read: AtomicBool,
    pub(super) generated_tokens_are_read: AtomicBool,
    #[cfg(any(feature = "cache", feature = "throttle"))]
    pub(super) output_is_limited: AtomicBool,
    pub(super) tap_claimed: AtomicBool,
    pub(super) payload: Lock<Option<Weak<AnyPayload>>>,
    // The `Capture` of the request body.
    #[cfg(feature = "access-log")]
    pub(super) prompt: OnceLock<Arc<dyn Any + Send + Sync>>,
    // A bit for each `Layer`.
    pub(super) passed_layers: AtomicU32,
    pub(super) rejected_layers: AtomicU32,
    pub(super) own_decisions: Lock<Vec<(&'static str, Decision)>>,
    pub(super) attempt_list: Lock<AttemptList>,
    // Whether layers record the attempts, give them spans and trace headers.
    pub(super) attempts_observed: AtomicU8,
    pub(super) added_values: Lock<Vec<(&'static str, AddedValue)>>,
    // Whether a deadline of the upstream cut the response.
    #[cfg(any(feature = "access-log", feature = "upstream"))]
    pub(super) timed_out: AtomicBool,
    // The `Stage` of the next attempt. A request without a fallback never locks it.
    #[cfg(any(feature = "cache", feature = "hf"))]
    pub(super) chosen_stage: OnceLock<Lock<Arc<dyn Any + Send + Sync>>>,
    // Whether each failed attempt is recorded with its reason.
    #[cfg(feature = "fallback")]
    pub(super) attempts_are_recorded: AtomicBool,
    // The bytes of the client's address, for attempts without the extensions of the first one.
    #[cfg(feature = "upstream")]
    pub(super) peer: OnceLock<[u8; 16]>,
    // The `Judge` of each layer of rules, outermost first.
    #[cfg(all(feature = "fallback", feature = "model-rules"))]
    pub(super) judges: Lock<Judges>,
    // The `Target` that serves in place of the one that rules have judged.
    #[cfg(feature = "fallback")]
    pub(super) served: Lock<Option<Arc<dyn Any + Send + Sync>>>,
}

/// The rules of most stacks are in one layer, which costs no allocation.
#[cfg(all(feature = "fallback", feature = "model-rules"))]
#[derive(Clone, Debug, Default)]
pub(super) struct Judges {
    pub(super) first: Option<Arc<dyn Any + Send + Sync>>,
    pub(super) others: Vec<Arc<dyn Any + Send + Sync>>,
}

/// A payload whose type this module does not need to know.
pub(super) type AnyPayload = dyn Any + Send + Sync;

/// The writer of trace headers that the program brought.
#[cfg(feature = "request-id")]
#[derive(Clone)]
pub(super) struct SharedPropagator(pub(super) Arc<dyn Propagator>);

#[cfg(feature = "request-id")]
impl std::fmt::Debug for SharedPropagator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedPropagator(..)")
    }
}
