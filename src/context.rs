//! One record of a request, which the layers fill and the outer ones read.
//!
//! The outermost layer of this crate puts a [`RequestContext`] into the request's extensions; the
//! others find it there. Because outer layers hold it too, a request that is cancelled half-way
//! has still said who it was.
//!
//! ```
//! use http::Request;
//! use std::sync::Arc;
//! use tower_inference::{
//!     context::RequestContext,
//!     identity::{Identity, Proof},
//! };
//!
//! let mut request = Request::new(());
//! let context = RequestContext::ensure(request.extensions_mut());
//! context.set_identity(Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "user-7")));
//!
//! // A handler, further in:
//! let caller = RequestContext::of(request.extensions()).and_then(RequestContext::identity);
//! assert_eq!(caller.unwrap().subject(), "user-7");
//! ```
//!
//! # Limits
//!
//! Names (route, stage, upstream, model, target, limit) are set once: the first word stands. What can
//! change with an attempt (its count, the upstream's status, usage) is overwritten, and the last
//! word stands.

use std::{
    any::Any,
    borrow::Cow,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use http::{Extensions, HeaderValue, StatusCode};

use crate::{identity::Identity, lock::Lock};

/// The record of one request. Clones are the same record.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    record: Arc<Record>,
}

#[derive(Debug, Default)]
struct Record {
    request_id: OnceLock<HeaderValue>,
    trace_id: OnceLock<TraceId>,
    identity: Lock<Option<Arc<Identity>>>,
    route: OnceLock<Cow<'static, str>>,
    stage: OnceLock<Cow<'static, str>>,
    upstream: OnceLock<Arc<str>>,
    model: OnceLock<Box<str>>,
    target: OnceLock<Box<str>>,
    refusal: OnceLock<&'static str>,
    limited_by: OnceLock<Arc<str>>,
    shadow_limited_by: OnceLock<Arc<str>>,
    // 0: no cache was asked.
    cache: AtomicU8,
    fell_back: AtomicBool,
    attempts: AtomicU32,
    // 0: none yet.
    upstream_status: AtomicU16,
    bytes_in: AtomicU64,
    #[cfg(feature = "access-log")]
    counted: AtomicBool,
    usage: Lock<Option<Usage>>,
    generated: AtomicU64,
    generated_at_least: AtomicU64,
    stream_end: AtomicU8,
    answer_read: AtomicBool,
    #[cfg(any(feature = "cache", feature = "throttle"))]
    output_limited: AtomicBool,
    tapped: AtomicBool,
    payload: Lock<Option<Weak<Shared>>>,
}

/// What this module need not know the type of.
type Shared = dyn Any + Send + Sync;

impl RequestContext {
    /// A blank record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The record of the request that these extensions belong to, if a layer made one.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The record of the request that these extensions belong to; made when there is none.
    pub fn ensure(extensions: &mut Extensions) -> Self {
        extensions.get_or_insert_with(Self::new).clone()
    }

    /// The request's id, once it has one.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.record.request_id.get()?.to_str().ok()
    }

    /// Sets the request's id. The first one stands.
    pub fn set_request_id(&self, id: HeaderValue) {
        let _already = self.record.request_id.set(id);
    }

    /// The trace this request is part of, by its `traceparent` (W3C Trace Context).
    #[must_use]
    pub fn trace_id(&self) -> Option<&TraceId> {
        self.record.trace_id.get()
    }

    /// Sets the trace. The first one stands.
    pub fn set_trace_id(&self, id: TraceId) {
        let _already = self.record.trace_id.set(id);
    }

    /// Who calls, once that is proved.
    #[must_use]
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.record.identity.lock().clone()
    }

    /// Sets who calls. For layers that prove it; `AuthLayer` clears what others have set before.
    pub fn set_identity(&self, identity: Arc<Identity>) {
        *self.record.identity.lock() = Some(identity);
    }

    /// Forgets who calls.
    pub fn clear_identity(&self) {
        *self.record.identity.lock() = None;
    }

    /// The route, by the name its owner gave it.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.record.route.get().map(AsRef::as_ref)
    }

    /// Names the route. The first name stands.
    pub fn set_route(&self, route: impl Into<Cow<'static, str>>) {
        let _already = self.record.route.set(route.into());
    }

    /// The stage (`prod`, `test`), by the name its owner gave it.
    #[must_use]
    pub fn stage(&self) -> Option<&str> {
        self.record.stage.get().map(AsRef::as_ref)
    }

    /// Names the stage. The first name stands.
    pub fn set_stage(&self, stage: impl Into<Cow<'static, str>>) {
        let _already = self.record.stage.set(stage.into());
    }

    /// The origin that the request was sent to.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.record.upstream.get().map(AsRef::as_ref)
    }

    /// Sets the origin that the request is sent to. The first one stands.
    pub fn set_upstream(&self, origin: Arc<str>) {
        let _already = self.record.upstream.set(origin);
    }

    /// The model that the request asks for.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.record.model.get().map(AsRef::as_ref)
    }

    /// Sets the model. The first one stands.
    pub fn set_model(&self, model: impl Into<Box<str>>) {
        let _already = self.record.model.set(model.into());
    }

    /// The model and the provider that the request reaches, as they go upstream: `org/name:provider`,
    /// in the notation of [`Target`](crate::model::Target). [`model`](Self::model) is what was asked
    /// for.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.record.target.get().map(AsRef::as_ref)
    }

    /// Sets the model and the provider that the request reaches. The first ones stand.
    pub fn set_target(&self, target: impl Into<Box<str>>) {
        let _already = self.record.target.set(target.into());
    }

    /// The slug of the refusal, if one of the layers refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&'static str> {
        self.record.refusal.get().copied()
    }

    /// Sets the slug of the refusal. The first one stands.
    pub fn set_refusal(&self, slug: &'static str) {
        let _already = self.record.refusal.set(slug);
    }

    /// The name of the limit that refused the request, if one did.
    #[must_use]
    pub fn limited_by(&self) -> Option<&str> {
        self.record.limited_by.get().map(AsRef::as_ref)
    }

    /// Sets the limit that refused. The first one stands.
    pub fn set_limited_by(&self, limit: Arc<str>) {
        let _already = self.record.limited_by.set(limit);
    }

    /// The name of the first limit that would have refused the request, were it not in shadow.
    #[must_use]
    pub fn shadow_limited_by(&self) -> Option<&str> {
        self.record.shadow_limited_by.get().map(AsRef::as_ref)
    }

    /// Sets the limit that would have refused. The first one stands.
    pub fn set_shadow_limited_by(&self, limit: Arc<str>) {
        let _already = self.record.shadow_limited_by.set(limit);
    }

    /// How a cache had part in the answer; `None` when there is none.
    #[must_use]
    pub fn cache(&self) -> Option<CacheOutcome> {
        match self.record.cache.load(Relaxed) {
            1 => Some(CacheOutcome::Hit),
            2 => Some(CacheOutcome::Miss),
            3 => Some(CacheOutcome::Collapsed),
            4 => Some(CacheOutcome::Bypass),
            _ => None,
        }
    }

    /// Sets how a cache had part in the answer. The last word stands.
    pub fn set_cache(&self, outcome: CacheOutcome) {
        let outcome = match outcome {
            CacheOutcome::Hit => 1,
            CacheOutcome::Miss => 2,
            CacheOutcome::Collapsed => 3,
            CacheOutcome::Bypass => 4,
        };
        self.record.cache.store(outcome, Relaxed);
    }

    /// Whether somebody else answered than the request asked for: another model, or another upstream.
    #[must_use]
    pub fn fell_back(&self) -> bool {
        self.record.fell_back.load(Relaxed)
    }

    /// Says that somebody else answers than the request asked for. To be said before the head of the
    /// answer goes out: a cache does not keep it, lest it stand for the first choice.
    pub fn set_fell_back(&self) {
        self.record.fell_back.store(true, Relaxed);
    }

    /// How many times the upstream was called.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.record.attempts.load(Relaxed)
    }

    /// Counts one more call of the upstream.
    pub fn add_attempt(&self) {
        self.record.attempts.fetch_add(1, Relaxed);
    }

    /// The status that the upstream answered with, of the last attempt that got one.
    #[must_use]
    pub fn upstream_status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.record.upstream_status.load(Relaxed)).ok()
    }

    /// Sets the upstream's status. The last one stands.
    pub fn set_upstream_status(&self, status: StatusCode) {
        self.record.upstream_status.store(status.as_u16(), Relaxed);
    }

    /// Bytes of the request's body that were read so far.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.record.bytes_in.load(Relaxed)
    }

    /// Counts bytes of the request's body that were read.
    pub fn add_bytes_in(&self, bytes: u64) {
        self.record.bytes_in.fetch_add(bytes, Relaxed);
    }

    /// True for the first who asks. Requests pass the outermost layer first, so it is the one that
    /// counts the bytes; the others would count them again.
    #[cfg(feature = "access-log")]
    pub(crate) fn claim_bytes_in(&self) -> bool {
        !self.record.counted.swap(true, Relaxed)
    }

    /// Tokens that the upstream says it took and gave.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        *self.record.usage.lock()
    }

    /// Sets the usage. The last one stands.
    pub fn set_usage(&self, usage: Usage) {
        *self.record.usage.lock() = Some(usage);
    }

    /// The tokens of the response's text that has passed so far, estimated by
    /// [`Tap`](crate::tap::Tap). The upstream's own count is [`usage`](Self::usage).
    #[must_use]
    pub fn generated_tokens(&self) -> u64 {
        self.record.generated.load(Relaxed)
    }

    /// Tokens that the text has at least, whatever the tokenizer.
    #[cfg(feature = "throttle")]
    pub(crate) fn least_generated_tokens(&self) -> u64 {
        self.record.generated_at_least.load(Relaxed)
    }

    /// Sets the estimate, and the tokens that there are at least. The last ones stand.
    pub(crate) fn set_generated_tokens(&self, tokens: u64, least: u64) {
        self.record.generated.store(tokens, Relaxed);
        self.record.generated_at_least.store(least, Relaxed);
    }

    /// Forgets what was read of an earlier answer, so that the next is read anew: a retry from
    /// further out comes with the same record.
    #[cfg(feature = "throttle")]
    pub(crate) fn forget_answer(&self) {
        *self.record.usage.lock() = None;
        self.record.generated.store(0, Relaxed);
        self.record.generated_at_least.store(0, Relaxed);
        self.record.stream_end.store(0, Relaxed);
        self.record.tapped.store(false, Relaxed);
    }

    /// How the stream of the response ended; `None` while it runs, and for other responses.
    #[must_use]
    pub fn stream_end(&self) -> Option<StreamEnd> {
        match self.record.stream_end.load(Relaxed) {
            1 => Some(StreamEnd::Done),
            2 => Some(StreamEnd::Failed),
            3 => Some(StreamEnd::Cut),
            _ => None,
        }
    }

    /// Sets how the event stream ended. The last word stands.
    pub fn set_stream_end(&self, end: StreamEnd) {
        let end = match end {
            StreamEnd::Done => 1,
            StreamEnd::Failed => 2,
            StreamEnd::Cut => 3,
        };
        self.record.stream_end.store(end, Relaxed);
    }

    /// Whether a layer of this crate holds the output to a limit that the request did not have when it
    /// passed the layers further out.
    #[cfg(feature = "cache")]
    pub(crate) fn output_is_limited(&self) -> bool {
        self.record.output_limited.load(Relaxed)
    }

    /// A layer of this crate holds the output to a limit.
    #[cfg(feature = "throttle")]
    pub(crate) fn announce_output_is_limited(&self) {
        self.record.output_limited.store(true, Relaxed);
    }

    /// Whether a layer will read the answer's body, so that the upstream must not compress it.
    #[must_use]
    pub fn answer_is_read(&self) -> bool {
        self.record.answer_read.load(Relaxed)
    }

    /// Announces that a layer will read the answer's body.
    pub fn announce_answer_is_read(&self) {
        self.record.answer_read.store(true, Relaxed);
    }

    /// A record of its own for a call that is made for several requests. What comes of it, they
    /// [adopt](Self::adopt).
    #[cfg(feature = "cache")]
    pub(crate) fn fork(&self) -> Self {
        let (ours, forked) = (&*self.record, Record::default());
        let from =
            |cell: &OnceLock<Box<str>>| cell.get().cloned().map_or_else(OnceLock::new, Into::into);
        let record = Record {
            request_id: ours.request_id.clone(),
            trace_id: ours.trace_id.clone(),
            identity: Lock::new(self.identity()),
            route: ours.route.clone(),
            stage: ours.stage.clone(),
            upstream: ours.upstream.clone(),
            model: from(&ours.model),
            target: from(&ours.target),
            attempts: AtomicU32::new(self.attempts()),
            answer_read: AtomicBool::new(self.answer_is_read()),
            payload: Lock::new(ours.payload.lock().clone()),
            ..forked
        };
        Self { record: Arc::new(record) }
    }

    /// Takes over what a [fork](Self::fork) has learned so far.
    #[cfg(feature = "cache")]
    pub(crate) fn adopt(&self, fork: &Self) {
        let (ours, theirs) = (&*self.record, &*fork.record);
        if let Some(upstream) = theirs.upstream.get() {
            self.set_upstream(Arc::clone(upstream));
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
        ours.attempts.fetch_max(fork.attempts(), Relaxed);
        if let Some(status) = fork.upstream_status() {
            self.set_upstream_status(status);
        }
        if let Some(usage) = fork.usage() {
            self.set_usage(usage);
        }
        if fork.generated_tokens() > 0 {
            let least = fork.record.generated_at_least.load(Relaxed);
            self.set_generated_tokens(fork.generated_tokens(), least);
        }
        if let Some(end) = fork.stream_end() {
            self.set_stream_end(end);
        }
        ours.fell_back.fetch_or(fork.fell_back(), Relaxed);
    }

    /// The payload that was read last, while someone still holds it. A framework between two layers
    /// hides the type of the body; here the inner one finds what the outer one has read.
    pub(crate) fn payload(&self) -> Option<Arc<Shared>> {
        self.record.payload.lock().as_ref()?.upgrade()
    }

    /// Remembers a payload, without keeping it: a record lives as long as the answer flows.
    pub(crate) fn remember_payload(&self, payload: Weak<Shared>) {
        *self.record.payload.lock() = Some(payload);
    }

    /// True for the first who asks. Answers pass the innermost layer first, so it is the one that
    /// runs the tap; the others read here what it finds.
    pub(crate) fn claim_tap(&self) -> bool {
        !self.record.tapped.swap(true, Relaxed)
    }
}

/// How a cache had part in an answer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CacheOutcome {
    /// It was kept.
    Hit,
    /// The upstream was called for it.
    Miss,
    /// The upstream was called for it, by another request that had gone before.
    Collapsed,
    /// It is not for a cache.
    Bypass,
}

impl CacheOutcome {
    /// A short stable name, as logs have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Collapsed => "collapsed",
            Self::Bypass => "bypass",
        }
    }
}

/// Tokens, as the upstream counts them. What it does not say is `None`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: Option<u64>,
    /// Tokens of the answer.
    pub completion_tokens: Option<u64>,
    /// Both together.
    pub total_tokens: Option<u64>,
}

/// How a stream of events, or of JSON in lines, ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StreamEnd {
    /// With its own end mark (`[DONE]`, `message_stop`, the last event of TGI, …) or a finish reason.
    Done,
    /// With a failure inside a 200: an error, a finish reason that means one, or an end mark after
    /// nothing.
    Failed,
    /// Without an end mark.
    Cut,
}

/// A trace id of W3C Trace Context: 32 lower-case hexadecimal digits, not all zero.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TraceId([u8; 32]);

impl TraceId {
    /// The trace id inside a `traceparent`; `None` when it is not a legal one (section 3.2.2).
    #[must_use]
    pub fn from_traceparent(field: &HeaderValue) -> Option<Self> {
        let hex = |bytes: &[u8]| bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let zero = |bytes: &[u8]| bytes.iter().all(|b| *b == b'0');

        let field = field.as_bytes();
        let (known, later) = field.split_at_checked(55)?;
        let mut parts = known.split(|b| *b == b'-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let sized = (version.len(), parent.len(), flags.len(), parts.next()) == (2, 16, 2, None);
        let legal = sized && hex(version) && hex(trace) && hex(parent) && hex(flags);
        // Version 00 ends here; a later one may go on after a dash; ff is forbidden.
        let ends = later.is_empty() || (version != b"00" && later.starts_with(b"-"));
        if !legal || !ends || version == b"ff" || zero(trace) || zero(parent) {
            return None;
        }
        trace.try_into().ok().map(Self)
    }

    /// The 32 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}
