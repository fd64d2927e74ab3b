use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{StatusCode, Version};

use super::{
    body::RecordedBody,
    capture::Capture,
    cut::cut,
    gen_ai::{operation_of_request, provider_of_origin},
    observation::Observation,
    outcome::RequestOutcome,
    payload_digest::PayloadDigest,
};
use crate::{
    context::{AddedValue, Attempt, Attempts, CacheOutcome, Decisions, StreamEnd, Usage},
    identity::{Identity, Principal},
    secret::{REDACTED, Scrubber},
};

/// The longest recorded path in bytes.
const MAX_PATH_BYTES: usize = 2_048;
/// The longest recorded string of any other kind in bytes.
const MAX_TEXT_BYTES: usize = 512;

/// One request from its arrival to its true end. [`access_log`](crate::access_log#members-of-a-record)
/// describes the members.
pub struct Record<'a> {
    pub(crate) observation: &'a Observation,
    pub(crate) scrubbers: &'a [Scrubber],
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) usage: Option<Usage>,
    pub(crate) added_values: Vec<(&'static str, AddedValue)>,
    pub(crate) attempts: Attempts,
    pub(crate) outcome: RequestOutcome,
    pub(crate) total: Duration,
    // Of the request body. `None` unless a sink needs it.
    pub(crate) prompt: Option<&'a Capture>,
    // The copies of a log that shows a part of the records say which part.
    pub(crate) sample_rate: Option<f64>,
}

impl Record<'_> {
    /// Returns when the request arrived.
    #[must_use]
    pub const fn time(&self) -> SystemTime {
        self.observation.time
    }

    /// Returns the request id.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.observation.context.request_id().map(|id| self.text(id))
    }

    /// Returns the trace id.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.observation.context.trace_id().map(|id| self.text(id.as_str()))
    }

    /// Returns the span of the client that sent the request, from its `traceparent`.
    #[must_use]
    pub fn parent_span_id(&self) -> Option<&str> {
        self.observation.context.parent_span_id().map(|id| self.text(id.as_str()))
    }

    /// Returns the span of this gateway, which the upstream's spans are below.
    #[must_use]
    pub fn span_id(&self) -> Option<&str> {
        let context = self.observation.context.trace_context()?;
        Some(self.text(context.parent_id().as_str()))
    }

    /// Returns the header `x-amzn-trace-id` as the client sent it. It is never trusted.
    #[must_use]
    pub fn amzn_trace_id(&self) -> Option<&str> {
        self.observation.context.amzn_trace_id().map(|id| self.text(id.as_str()))
    }

    /// Returns the principal of the caller.
    #[must_use]
    pub fn principal(&self) -> Option<Principal<'_>> {
        let mut principal = self.identity.as_deref()?.principal();
        principal.issuer = self.text(principal.issuer);
        principal.subject = self.text(principal.subject);
        Some(principal)
    }

    /// Returns the tenant of the caller.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.identity.as_deref()?.tenant().map(|tenant| self.text(tenant))
    }

    /// Returns the public id of the caller's credential, such as that of an API key.
    #[must_use]
    pub fn credential_id(&self) -> Option<&str> {
        self.identity.as_deref()?.credential_id().map(|id| self.text(id))
    }

    /// Returns the method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.text(self.observation.method.as_str())
    }

    /// Returns the path without the query. It is empty for `CONNECT`.
    #[must_use]
    pub fn path(&self) -> &str {
        let path = self.observation.path.as_ref();
        path.map_or("", |path| recorded(self.scrubbers, path.path(), MAX_PATH_BYTES))
    }

    /// Returns the HTTP version such as `1.1` or `2`.
    #[must_use]
    pub fn http_version(&self) -> Option<&'static str> {
        match self.observation.http_version {
            Version::HTTP_09 => Some("0.9"),
            Version::HTTP_10 => Some("1.0"),
            Version::HTTP_11 => Some("1.1"),
            Version::HTTP_2 => Some("2"),
            Version::HTTP_3 => Some("3"),
            _ => None,
        }
    }

    /// Returns the header `user-agent` if it is UTF-8 and a sink [needs it].
    ///
    /// [needs it]: super::RecordSink::needs
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        let agent = self.observation.user_agent.as_ref()?;
        str::from_utf8(agent.as_bytes()).ok().map(|agent| self.text(agent))
    }

    /// Returns the operation by the path, as OpenTelemetry names it in `gen_ai.operation.name`: `chat`,
    /// `text_completion`, `embeddings`, `generate_content`, `rerank` or `sentence_similarity`.
    ///
    /// `None` for a method other than POST and for a path that is no known route of inference.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        let path = self.observation.path.as_ref()?.path();
        operation_of_request(&self.observation.method, path)
    }

    /// Returns the provider of the last upstream, as OpenTelemetry names it in `gen_ai.provider.name`:
    /// that of the profile of its stage, or else the one whose host is well known, or else `_OTHER`.
    ///
    /// `None` for a request that was sent to no upstream.
    #[must_use]
    pub fn provider(&self) -> Option<&'static str> {
        let of_stage = self.attempts.iter().last().and_then(|attempt| attempt.provider);
        of_stage.or_else(|| self.observation.context.upstream().map(provider_of_origin))
    }

    /// Returns the address of the client. `None` unless the layer [reads it].
    ///
    /// [reads it]: crate::access_log::AccessLogLayer::client_address
    #[must_use]
    pub const fn client_address(&self) -> Option<IpAddr> {
        self.observation.client_address
    }

    /// Returns the body of the request as far as it was read. `None` unless a sink [needs it].
    ///
    /// [needs it]: super::RecordSink::needs
    #[must_use]
    pub fn prompt(&self) -> Option<RecordedBody<'_>> {
        let capture = self.prompt?;
        Some(RecordedBody { capture, scrubbers: self.scrubbers })
    }

    /// Returns the body of the response as far as it was passed on. `None` unless a sink [needs it].
    ///
    /// [needs it]: super::RecordSink::needs
    #[must_use]
    pub fn completion(&self) -> Option<RecordedBody<'_>> {
        let capture = self.observation.completion.as_ref()?;
        Some(RecordedBody { capture, scrubbers: self.scrubbers })
    }

    /// Returns the share of records that this one stands for. A log that shows one in ten successful
    /// requests has 0.1 here for each of them and 1 for each rejection. `None` in a log that shows
    /// all.
    #[must_use]
    pub const fn sample_rate(&self) -> Option<f64> {
        self.sample_rate
    }

    /// Returns the name of the route.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.observation.context.route().map(|route| self.text(route))
    }

    /// Returns the name of the stage.
    #[must_use]
    pub fn stage(&self) -> Option<&str> {
        self.observation.context.stage().map(|stage| self.text(stage))
    }

    /// Returns the status of the response. `None` when there was no head.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        self.observation.status
    }

    /// Returns the number in `grpc-status` from the trailers or from a trailers-only response.
    #[must_use]
    pub const fn grpc_status(&self) -> Option<u32> {
        self.observation.grpc_status
    }

    /// Returns the slug of the rejection, if a layer rejected the request.
    #[must_use]
    pub fn refusal(&self) -> Option<&'static str> {
        self.observation.context.refusal()
    }

    /// Returns how the request ended.
    #[must_use]
    pub const fn outcome(&self) -> RequestOutcome {
        self.outcome
    }

    /// Returns how many bytes of the request body were read.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.observation.context.bytes_in()
    }

    /// Returns the digest of the request body. `None` unless a sink [needs](super::Needs::prompt_digest) it.
    #[must_use]
    pub fn payload_digest(&self) -> Option<PayloadDigest> {
        let capture = self.prompt.filter(|_| self.observation.digests_prompt)?;
        Some(match (capture.is_whole(), capture.total(), capture.digest()) {
            (true, 0, _) => PayloadDigest::Empty,
            (false, 0, _) => PayloadDigest::Unread,
            (true, _, Some(digest)) => PayloadDigest::Sha256(digest),
            (..) => PayloadDigest::Partial,
        })
    }

    /// Returns how many bytes of the response body were passed on.
    #[must_use]
    pub const fn bytes_out(&self) -> u64 {
        self.observation.bytes_out
    }

    /// Returns the time from the arrival to the head of the response.
    #[must_use]
    pub const fn head_after(&self) -> Option<Duration> {
        self.observation.head_after
    }

    /// Returns the time from the arrival to the first byte of the response body.
    #[must_use]
    pub const fn first_byte_after(&self) -> Option<Duration> {
        self.observation.first_byte_after
    }

    /// Returns the time from the arrival to the first token of a streamed response.
    #[must_use]
    pub const fn first_token_after(&self) -> Option<Duration> {
        self.observation.first_token_after
    }

    /// Returns the time from the first attempt to the first chunk of a stream: to its first token, or
    /// to its first byte if no token is known. `None` for a response that is no stream.
    #[must_use]
    pub fn time_to_first_chunk(&self) -> Option<Duration> {
        let _of_a_stream = self.stream_end()?;
        let sent = match self.attempts.iter().next() {
            Some(first) => first.started_after?,
            // Attempts that the program has counted.
            None if self.attempts() > 0 => Duration::ZERO,
            None => return None,
        };
        let arrived = self.first_token_after().or_else(|| self.first_byte_after())?;
        Some(arrived.saturating_sub(sent))
    }

    /// Returns the times between the frames of the response body, in the classes of a histogram whose bounds
    /// are 0.01·2ⁿ seconds up to 81.92: the mean in seconds and the number of each class that has some.
    ///
    /// Empty unless a sink [needs them](super::Needs::chunk_times).
    pub fn chunk_times(&self) -> impl Iterator<Item = (f64, usize)> {
        self.observation.chunk_times.iter().flat_map(|times| times.classes())
    }

    /// Returns the id that the upstream gave the completion. `None` unless a sink
    /// [needs it](super::Needs::response_facts).
    #[must_use]
    pub fn response_id(&self) -> Option<&str> {
        self.observation.response_facts.as_ref()?.id().map(|id| self.text(id))
    }

    /// Returns the model that generated the response, as the upstream names it. `None` unless a sink
    /// [needs it](super::Needs::response_facts).
    #[must_use]
    pub fn response_model(&self) -> Option<&str> {
        self.observation.response_facts.as_ref()?.model().map(|model| self.text(model))
    }

    /// Returns why the model stopped, in the words of the upstream, each word once. A word that this crate
    /// does not know is `_OTHER`. Empty unless a sink [needs it](super::Needs::response_facts).
    pub fn finish_reasons(&self) -> impl Iterator<Item = &'static str> {
        self.observation.response_facts.iter().flat_map(|facts| facts.finish_reasons())
    }

    /// Returns the time that the request spent with upstreams, all attempts together: from each
    /// request to the end of its response or to its failure.
    #[must_use]
    pub fn upstream_time(&self) -> Option<Duration> {
        let times = self.attempts.iter().filter_map(|attempt| attempt.duration);
        times.reduce(Duration::saturating_add)
    }

    /// Returns the time from the arrival to the end.
    #[must_use]
    pub const fn total(&self) -> Duration {
        self.total
    }

    /// Returns the origin that the request was sent to.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.observation.context.upstream().map(|upstream| self.text(upstream))
    }

    /// Returns the status of the upstream.
    #[must_use]
    pub fn upstream_status(&self) -> Option<StatusCode> {
        self.observation.context.upstream_status()
    }

    /// Returns how many times the request was sent to the upstream.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.observation.context.attempts()
    }

    /// Returns each time that the request was sent to an upstream, in their order.
    ///
    /// A retry between two layers of this crate is one of them too. A retry of an HTTP client of your own
    /// is not.
    pub fn attempt_list(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter()
    }

    /// Returns the id that the upstream gave the request in its last response.
    #[must_use]
    pub fn upstream_request_id(&self) -> Option<&str> {
        self.attempts.iter().last()?.upstream_request_id.as_deref()
    }

    /// Returns whether another model or upstream served the request than the client named.
    #[must_use]
    pub fn fell_back(&self) -> bool {
        self.observation.context.fell_back()
    }

    /// Returns the model and the provider that the request reaches such as `org/name:together`. The
    /// model rules set it.
    #[must_use]
    pub fn model_target(&self) -> Option<&str> {
        self.observation.context.target().map(|target| self.text(target))
    }

    /// Returns the name of the limit that rejected the request.
    #[must_use]
    pub fn limit(&self) -> Option<&str> {
        self.observation.context.limited_by().map(|limit| self.text(limit))
    }

    /// Returns the name of the first limit in shadow that would have rejected the request.
    #[must_use]
    pub fn limit_shadow(&self) -> Option<&str> {
        self.observation.context.shadow_limited_by().map(|limit| self.text(limit))
    }

    /// Returns whether the upstream generated the response for this request.
    ///
    /// False for a hit of the cache and for a request that shares the call of another one. When the request
    /// that began a call has left it, one of the others has true. So the [`usage`](Self::usage) of these
    /// records has each token once.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.observation.context.is_generated()
    }

    /// Returns how the cache took part in the response.
    #[must_use]
    pub fn cache(&self) -> Option<CacheOutcome> {
        self.observation.context.cache()
    }

    /// Returns the model that the request asked for.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.observation.context.model().map(|model| self.text(model))
    }

    /// Returns the tokens as the upstream counts them.
    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Returns how the event stream of the response ended.
    #[must_use]
    pub fn stream_end(&self) -> Option<StreamEnd> {
        self.observation.context.stream_end()
    }

    /// Returns what each layer decided about the request.
    #[must_use]
    pub fn decisions(&self) -> Decisions {
        self.observation.context.decisions()
    }

    /// Returns the values that layers and handlers of the program added, in their order.
    #[must_use]
    pub const fn added_values(&self) -> &[(&'static str, AddedValue)] {
        self.added_values.as_slice()
    }

    /// Returns the recorded part of a text.
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        recorded_text(self.scrubbers, text)
    }
}

/// Returns the recorded part of a text.
pub(crate) fn recorded_text<'t>(scrubbers: &[Scrubber], text: &'t str) -> &'t str {
    recorded(scrubbers, text, MAX_TEXT_BYTES)
}

/// Returns the recorded part of `text`. The search covers all of it because a cut secret is still a
/// secret.
fn recorded<'t>(scrubbers: &[Scrubber], text: &'t str, longest: usize) -> &'t str {
    if scrubbers.iter().any(|scrubber| scrubber.is_in(text.as_bytes())) {
        return REDACTED;
    }
    cut(text, longest)
}

impl Record<'_> {
    /// Returns the record with the share of records that it stands for.
    pub(crate) fn with_sample_rate(&self, rate: f64) -> Self {
        Self { sample_rate: Some(rate), ..self.copied() }
    }

    /// Returns the record of another caller.
    pub(crate) fn with_identity(&self, identity: Identity) -> Self {
        Self { identity: Some(Arc::new(identity)), ..self.copied() }
    }

    /// Returns the caller with all claims.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_deref()
    }

    fn copied(&self) -> Self {
        let (identity, added_values) = (self.identity.clone(), self.added_values.clone());
        let attempts = self.attempts.clone();
        Self { identity, added_values, attempts, ..*self }
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("status", &self.status())
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}
