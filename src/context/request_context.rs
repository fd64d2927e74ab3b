use std::{
    borrow::Cow,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use http::{Extensions, HeaderValue};

use super::{
    added_value::{AddedValue, MAX_VALUES},
    fields::ContextFields,
    outcome::Outcome,
    trace::{AmznTraceId, SpanId, TraceContext, TraceId},
    usage::Usage,
};
use crate::identity::Identity;

/// The facts of one request that layers and handlers share.
///
/// It travels in the extensions of the request. Clones share their state. The [module](super) shows
/// how a layer or handler of your own reads it and which values it may set.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    pub(super) fields: Arc<ContextFields>,
}

impl RequestContext {
    /// Creates an empty context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the context in these extensions of a request.
    ///
    /// Returns `None` when no layer of this crate is outside of the caller of this function.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Returns the context in these extensions of a request. Inserts a new one if there is none.
    pub fn ensure(extensions: &mut Extensions) -> Self {
        extensions.get_or_insert_with(Self::new).clone()
    }

    /// Returns what the layers recorded for this request so far.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        Outcome {
            rejection: self.refusal(),
            limited_by: self.fields.limited_by.get().cloned(),
            shadow_limited_by: self.fields.shadow_limited_by.get().cloned(),
            cache: self.cache(),
            fell_back: self.fell_back(),
            attempts: self.attempts(),
            abandoned: self.abandoned(),
            upstream_status: self.upstream_status(),
            bytes_in: self.bytes_in(),
            usage: self.usage(),
            generated_tokens: self.generated_tokens(),
            stream_end: self.stream_end(),
        }
    }

    /// Returns the id of the request.
    ///
    /// Returns `None` when there is none or when it is not visible ASCII.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.fields.request_id.get()?.to_str().ok()
    }

    /// Sets the id of the request. Keeps the first value.
    pub fn set_request_id(&self, id: HeaderValue) {
        let _already = self.fields.request_id.set(id);
    }

    /// Returns the trace that the request belongs to.
    #[must_use]
    pub fn trace_id(&self) -> Option<&TraceId> {
        self.fields.trace_id.get()
    }

    /// Sets the trace that the request belongs to. Keeps the first value.
    pub fn set_trace_id(&self, id: TraceId) {
        let _already = self.fields.trace_id.set(id);
    }

    /// Returns the trace context that the request is forwarded with. Its parent is the span of this
    /// gateway.
    ///
    /// Each attempt has a parent id of its own: [`Attempt::span_id`](super::Attempt::span_id).
    #[must_use]
    pub fn trace_context(&self) -> Option<&TraceContext> {
        self.fields.trace_context.get()
    }

    /// Sets the trace context that the request is forwarded with, and its trace id. Keeps the first
    /// value.
    pub fn set_trace_context(&self, context: TraceContext) {
        self.set_trace_id(*context.trace_id());
        let _already = self.fields.trace_context.set(context);
    }

    /// Returns the span of the client that sent the request.
    #[must_use]
    pub fn parent_span_id(&self) -> Option<&SpanId> {
        self.fields.parent_span_id.get()
    }

    /// Returns what the client sent in `x-amzn-trace-id`.
    #[must_use]
    pub fn amzn_trace_id(&self) -> Option<&AmznTraceId> {
        self.fields.amzn_trace_id.get()
    }

    /// Returns the verified caller.
    ///
    /// Returns `None` before authentication.
    #[must_use]
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.fields.identity.lock().clone()
    }

    /// Sets the verified caller. Replaces an earlier value.
    ///
    /// Call it only after a proof of the identity. `AuthLayer` removes an identity that was set
    /// outside of it.
    pub fn set_identity(&self, identity: Arc<Identity>) {
        *self.fields.identity.lock() = Some(identity);
    }

    /// Removes the verified caller.
    pub fn clear_identity(&self) {
        *self.fields.identity.lock() = None;
    }

    /// Returns the name of the route.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.fields.route.get().map(AsRef::as_ref)
    }

    /// Sets the name of the route. Keeps the first value.
    pub fn set_route(&self, route: impl Into<Cow<'static, str>>) {
        let _already = self.fields.route.set(route.into());
    }

    /// Returns the name of the stage, such as `prod`.
    #[must_use]
    pub fn stage(&self) -> Option<&str> {
        self.fields.stage.get().map(AsRef::as_ref)
    }

    /// Sets the name of the stage. Keeps the first value.
    pub fn set_stage(&self, stage: impl Into<Cow<'static, str>>) {
        let _already = self.fields.stage.set(stage.into());
    }

    /// Returns the model that the client named.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.fields.model.get().map(AsRef::as_ref)
    }

    /// Sets the model that the client named. Keeps the first value.
    pub fn set_model(&self, model: impl Into<Box<str>>) {
        let _already = self.fields.model.set(model.into());
    }

    /// Returns the model and provider that go to the upstream, such as `org/name:provider`.
    ///
    /// The notation is that of [`Target`](crate::model::Target).
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.fields.target.get().map(AsRef::as_ref)
    }

    /// Sets the model and provider that go to the upstream. Replaces an earlier value.
    pub fn set_target(&self, target: impl Into<Box<str>>) {
        self.fields.target.set(target.into());
    }

    /// Returns the origin of the upstream that the request was sent to.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.fields.upstream.get().map(AsRef::as_ref)
    }

    /// Sets the origin of the upstream. Replaces an earlier value.
    ///
    /// Records show it, so a user name, a password, a query and a fragment of a URL are left out.
    pub fn set_upstream(&self, origin: Arc<str>) {
        self.set_origin(without_credentials(&origin).map_or(origin, Arc::from));
    }

    /// Sets the origin of the upstream, which has no credentials.
    pub(crate) fn set_origin(&self, origin: Arc<str>) {
        self.fields.upstream.set(origin);
    }

    /// Counts one more request to the upstream.
    ///
    /// `UpstreamLayer` and `HfTokenLayer` count each call of their inner service. A retry outside of one
    /// of them is therefore counted without this call. A retry inside of both is not seen, such as one
    /// of the HTTP client itself. It calls this once for each request after the first.
    pub fn add_attempt(&self) {
        self.fields.added_attempts.fetch_add(1, Relaxed);
    }

    /// Records that another model or upstream serves the request than the client named.
    ///
    /// Call it before the head of the response is returned. A cache does not store such a response,
    /// because later requests would receive it in place of their first choice.
    pub fn set_fell_back(&self) {
        self.fields.fell_back.store(true, Relaxed);
    }

    /// Adds a named value to the record of the request. Replaces an earlier value of that name.
    ///
    /// Names are those of the program, never of a client. Most renderings of the record keep them apart
    /// from their own names, in an object `values`. A request has at most 32 values. Later ones are dropped.
    pub fn add_value(&self, name: &'static str, value: impl Into<AddedValue>) {
        let mut values = self.fields.added_values.lock();
        if let Some((_, earlier)) = values.iter_mut().find(|(own, _)| *own == name) {
            *earlier = value.into();
        } else if values.len() < MAX_VALUES {
            values.push((name, value.into()));
        }
    }

    /// Sets the token counts that the upstream reported. Replaces an earlier value.
    pub fn set_usage(&self, usage: Usage) {
        *self.fields.usage.lock() = Some(usage);
    }

    /// Returns whether a layer reads the response body.
    ///
    /// The upstream must not compress such a body. `UpstreamLayer` sees to this.
    #[must_use]
    pub fn response_is_read(&self) -> bool {
        self.fields.response_is_read.load(Relaxed)
    }

    /// Announces that a layer reads the response body.
    pub fn announce_response_is_read(&self) {
        self.fields.response_is_read.store(true, Relaxed);
    }

    /// Announces that a layer reads [`Outcome::generated_tokens`].
    ///
    /// Call it before the request goes on. The access log estimates the tokens of a JSON document only
    /// for such a layer.
    pub fn announce_generated_tokens_are_read(&self) {
        self.fields.generated_tokens_are_read.store(true, Relaxed);
    }

    /// Replaces the recorded results.
    ///
    /// Use it to test a layer that reads them. `None` leaves a value as it is. Names of limits and the
    /// rejection keep their first value.
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn set_outcome(&self, outcome: Outcome) {
        if let Some(slug) = outcome.rejection {
            self.set_refusal(slug);
        }
        if let Some(limit) = outcome.limited_by {
            self.set_limited_by(limit);
        }
        if let Some(limit) = outcome.shadow_limited_by {
            self.set_shadow_limited_by(limit);
        }
        if let Some(cache) = outcome.cache {
            self.set_cache(cache);
        }
        if let Some(status) = outcome.upstream_status {
            self.set_upstream_status(status);
        }
        if let Some(usage) = outcome.usage {
            self.set_usage(usage);
        }
        if let Some(end) = outcome.stream_end {
            self.set_stream_end(end);
        }
        self.set_abandoned(outcome.abandoned);
        self.fields.fell_back.store(outcome.fell_back, Relaxed);
        self.fields.added_attempts.store(outcome.attempts, Relaxed);
        self.fields.upstream_calls.store(0, Relaxed);
        self.fields.origin_calls.store(0, Relaxed);
        #[cfg(feature = "fallback")]
        self.fields.fallback_calls.store(0, Relaxed);
        self.fields.bytes_in.store(outcome.bytes_in, Relaxed);
        self.fields.generated_tokens.store(outcome.generated_tokens, Relaxed);
    }
}

/// Returns the URL without the parts that may be secret. `None` for one that has none of them.
fn without_credentials(url: &str) -> Option<String> {
    if !url.contains(['@', '?', '#']) {
        return None;
    }
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").map_or((None, url), |(own, rest)| (Some(own), rest));
    let (authority, path) =
        rest.split_once('/').map_or((rest, None), |(own, path)| (own, Some(path)));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let scheme = scheme.map(|scheme| [scheme, "://"].concat()).unwrap_or_default();
    let path = path.map(|path| ["/", path].concat()).unwrap_or_default();
    Some([&scheme, host, &path].concat())
}
