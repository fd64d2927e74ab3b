use std::{
    any::Any,
    borrow::Cow,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64},
    },
};

use http::HeaderValue;

use super::{abandoned::AbandonedAttempt, last_value::LastValue, trace_id::TraceId, usage::Usage};
use crate::{identity::Identity, lock::Lock};

/// The state that all clones of a context share.
#[derive(Debug, Default)]
pub(super) struct ContextFields {
    pub(super) request_id: OnceLock<HeaderValue>,
    pub(super) trace_id: OnceLock<TraceId>,
    pub(super) identity: Lock<Option<Arc<Identity>>>,
    pub(super) route: OnceLock<Cow<'static, str>>,
    // A code of `BodyMode`.
    pub(super) body_mode: AtomicU8,
    pub(super) stage: OnceLock<Cow<'static, str>>,
    pub(super) upstream: LastValue<Arc<str>>,
    pub(super) model: OnceLock<Box<str>>,
    pub(super) target: LastValue<Box<str>>,
    pub(super) refusal: OnceLock<&'static str>,
    pub(super) limited_by: OnceLock<Arc<str>>,
    pub(super) shadow_limited_by: OnceLock<Arc<str>>,
    // A code of `CacheOutcome`.
    pub(super) cache: AtomicU8,
    pub(super) fell_back: AtomicBool,
    // Attempts that were added by name, beside the calls that layers counted.
    pub(super) added_attempts: AtomicU32,
    pub(super) upstream_calls: AtomicU32,
    pub(super) origin_calls: AtomicU32,
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
    // A code of `StreamEnd`.
    pub(super) stream_end: AtomicU8,
    pub(super) response_is_read: AtomicBool,
    pub(super) generated_tokens_are_read: AtomicBool,
    #[cfg(any(feature = "cache", feature = "throttle"))]
    pub(super) output_is_limited: AtomicBool,
    pub(super) tap_claimed: AtomicBool,
    pub(super) payload: Lock<Option<Weak<AnyPayload>>>,
    // The `Stage` of the next attempt.
    pub(super) chosen_stage: Lock<Option<Arc<dyn Any + Send + Sync>>>,
    pub(super) abandoned: Lock<Vec<AbandonedAttempt>>,
}

/// A payload whose type this module does not need to know.
pub(super) type AnyPayload = dyn Any + Send + Sync;
