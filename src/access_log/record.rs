use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version, header::USER_AGENT,
    uri::PathAndQuery,
};

use super::layer::Settings;
use crate::{
    body::{BodyEnd, Watch as _},
    context::{CacheOutcome, RequestContext, StreamEnd, Usage},
    identity::{Identity, Principal},
    secret::REDACTED,
    tap::Tap,
};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Bytes of a path that are recorded.
const LONGEST_PATH: usize = 2_048;
/// Bytes of any other string that are recorded.
const LONGEST: usize = 512;

/// Takes records. Closures over a [`Record`] do.
pub trait RecordSink: Send + Sync + 'static {
    /// Whether records are wanted right now. Asked once for each request, when it comes: one that
    /// is not wanted costs nothing more, and is never recorded.
    fn enabled(&self) -> bool {
        true
    }

    /// Takes one record.
    ///
    /// Called where the request ends: while its body is polled, or while it is dropped, which may
    /// be because of a panic. It must not block. A panic in here loses the record and nothing else.
    fn record(&self, record: &Record<'_>);
}

impl<F: Fn(&Record<'_>) + Send + Sync + 'static> RecordSink for F {
    fn record(&self, record: &Record<'_>) {
        self(record);
    }
}

/// One request, from when it came to its true end. The members are those of the
/// [module's table](super#what-a-record-holds).
pub struct Record<'a> {
    open: &'a Open,
    identity: Option<Arc<Identity>>,
    usage: Option<Usage>,
    outcome: BodyEnd,
    total: Duration,
}

impl Record<'_> {
    /// When the request came.
    #[must_use]
    pub const fn time(&self) -> SystemTime {
        self.open.time
    }

    /// Its id.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.open.context.request_id().map(|id| self.text(id))
    }

    /// The trace it is part of.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.open.context.trace_id().map(|id| self.text(id.as_str()))
    }

    /// Who called.
    #[must_use]
    pub fn principal(&self) -> Option<Principal<'_>> {
        let mut principal = self.identity.as_deref()?.principal();
        principal.issuer = self.text(principal.issuer);
        principal.subject = self.text(principal.subject);
        Some(principal)
    }

    /// On whose behalf.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.identity.as_deref()?.tenant().map(|tenant| self.text(tenant))
    }

    /// The request's method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.text(self.open.method.as_str())
    }

    /// The request's path, without the query. Empty when it had none (`CONNECT`).
    #[must_use]
    pub fn path(&self) -> &str {
        self.open.path.as_ref().map_or("", |path| self.text_to(path.path(), LONGEST_PATH))
    }

    /// The version of HTTP, if the layer records it: `1.1`, `2`.
    #[must_use]
    pub fn http_version(&self) -> Option<&'static str> {
        match self.open.http_version? {
            Version::HTTP_09 => Some("0.9"),
            Version::HTTP_10 => Some("1.0"),
            Version::HTTP_11 => Some("1.1"),
            Version::HTTP_2 => Some("2"),
            Version::HTTP_3 => Some("3"),
            _ => None,
        }
    }

    /// The field `user-agent`, if the layer records it and it is text.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.open.user_agent.as_ref()?.to_str().ok().map(|agent| self.text(agent))
    }

    /// The route's name.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        self.open.context.route().map(|route| self.text(route))
    }

    /// The stage's name.
    #[must_use]
    pub fn stage(&self) -> Option<&str> {
        self.open.context.stage().map(|stage| self.text(stage))
    }

    /// The answer's status; `None` when no head was handed on.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        self.open.status
    }

    /// The number in `grpc-status`, of the trailers or of a trailers-only answer.
    #[must_use]
    pub const fn grpc_status(&self) -> Option<u32> {
        self.open.grpc_status
    }

    /// Slug of the refusal, if one of the layers refused.
    #[must_use]
    pub fn refusal(&self) -> Option<&'static str> {
        self.open.context.refusal()
    }

    /// How the request ended: with its answer's body, or before there was one. A panic that
    /// unwound through it is an error.
    #[must_use]
    pub const fn outcome(&self) -> BodyEnd {
        self.outcome
    }

    /// Bytes of the request's body that were read.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.open.context.bytes_in()
    }

    /// Bytes of the answer's body that were handed on.
    #[must_use]
    pub const fn bytes_out(&self) -> u64 {
        self.open.bytes_out
    }

    /// Time to the answer's head.
    #[must_use]
    pub const fn head_after(&self) -> Option<Duration> {
        self.open.head_after
    }

    /// Time to the first byte of the answer's body.
    #[must_use]
    pub const fn first_byte_after(&self) -> Option<Duration> {
        self.open.first_byte_after
    }

    /// Time to the end.
    #[must_use]
    pub const fn total(&self) -> Duration {
        self.total
    }

    /// The origin that the request was sent to.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.open.context.upstream().map(|upstream| self.text(upstream))
    }

    /// The upstream's status.
    #[must_use]
    pub fn upstream_status(&self) -> Option<StatusCode> {
        self.open.context.upstream_status()
    }

    /// Calls of the upstream.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.open.context.attempts()
    }

    /// The model and the provider that the request reaches, if a layer has judged that:
    /// `org/name:together`.
    #[must_use]
    pub fn model_target(&self) -> Option<&str> {
        self.open.context.target().map(|target| self.text(target))
    }

    /// The limit that refused the request, by its name.
    #[must_use]
    pub fn limit(&self) -> Option<&str> {
        self.open.context.limited_by().map(|limit| self.text(limit))
    }

    /// The first limit that would have refused the request, were it not in shadow.
    #[must_use]
    pub fn limit_shadow(&self) -> Option<&str> {
        self.open.context.shadow_limited_by().map(|limit| self.text(limit))
    }

    /// How a cache had part in the answer.
    #[must_use]
    pub fn cache(&self) -> Option<CacheOutcome> {
        self.open.context.cache()
    }

    /// The model that the request asked for.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.open.context.model().map(|model| self.text(model))
    }

    /// Tokens, as the upstream counts them.
    #[must_use]
    pub const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// How the answer's event stream ended.
    #[must_use]
    pub fn stream_end(&self) -> Option<StreamEnd> {
        self.open.context.stream_end()
    }

    fn text<'t>(&self, text: &'t str) -> &'t str {
        self.text_to(text, LONGEST)
    }

    /// As much of `text` as is recorded. All of it is searched: a secret that is cut is one still.
    fn text_to<'t>(&self, text: &'t str, longest: usize) -> &'t str {
        let mut scrubbers = self.open.settings.scrubbers.iter();
        if scrubbers.any(|scrubber| scrubber.is_in(text.as_bytes())) {
            return REDACTED;
        }
        cut(text, longest)
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

/// As much of `text` as fits into `longest` bytes, whole characters only.
fn cut(text: &str, longest: usize) -> &str {
    let end = (0..=longest.min(text.len())).rfind(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

// === a request that has not ended ===

/// A request that is recorded once: closed by its end, or by its drop. Empty when it was, and when
/// nobody wanted it. Boxed, because it moves with the future, the response and the body.
pub(super) struct Entry(Option<Box<Open>>);

struct Open {
    settings: Arc<Settings>,
    context: RequestContext,
    method: Method,
    path: Option<PathAndQuery>,
    http_version: Option<Version>,
    user_agent: Option<HeaderValue>,
    time: SystemTime,
    came: Duration,
    status: Option<StatusCode>,
    grpc_status: Option<u32>,
    head_after: Option<Duration>,
    first_byte_after: Option<Duration>,
    bytes_out: u64,
    // Reads the answer, unless a layer further in does.
    tap: Option<Tap>,
}

impl Entry {
    pub(super) fn open<B>(settings: &Arc<Settings>, request: &mut Request<B>) -> Self {
        if !settings.sink.enabled() {
            return Self(None);
        }
        let context = RequestContext::ensure(request.extensions_mut());
        if settings.usage {
            context.announce_answer_is_read();
        }
        let user_agent = settings.user_agent.then(|| request.headers().get(USER_AGENT).cloned());
        Self(Some(Box::new(Open {
            context,
            method: request.method().clone(),
            path: request.uri().path_and_query().cloned(),
            http_version: settings.http_version.then(|| request.version()),
            user_agent: user_agent.flatten(),
            time: settings.clock.wall(),
            came: settings.clock.monotonic(),
            settings: Arc::clone(settings),
            status: None,
            grpc_status: None,
            head_after: None,
            first_byte_after: None,
            bytes_out: 0,
            tap: None,
        })))
    }

    /// Where to count the request's bytes, if that is for this entry to do.
    pub(super) fn counter(&self) -> Option<RequestContext> {
        let context = &self.0.as_ref()?.context;
        context.claim_bytes_in().then(|| context.clone())
    }

    pub(super) fn method(&self) -> Option<&Method> {
        self.0.as_ref().map(|open| &open.method)
    }

    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    pub(super) fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        let Some(open) = &mut self.0 else { return };
        open.head_after = Some(open.since());
        open.status = Some(status);
        open.grpc_status = grpc_status(headers);
        if open.settings.usage && open.method != Method::HEAD {
            open.tap = Tap::claim(&open.context, status, headers);
        }
    }

    pub(super) fn data(&mut self, data: &Bytes) {
        let Some(open) = &mut self.0 else { return };
        if open.bytes_out == 0 && !data.is_empty() {
            open.first_byte_after = Some(open.since());
        }
        open.bytes_out += data.len() as u64;
        if let Some(tap) = &mut open.tap {
            tap.data(data);
        }
    }

    pub(super) fn trailers(&mut self, trailers: &HeaderMap) {
        let Some(open) = &mut self.0 else { return };
        open.grpc_status = grpc_status(trailers).or(open.grpc_status);
        if let Some(tap) = &mut open.tap {
            tap.trailers(trailers);
        }
    }

    pub(super) fn close(&mut self, end: BodyEnd) {
        let Some(mut open) = self.0.take() else { return };
        if let Some(mut tap) = open.tap.take() {
            tap.end(end);
        }
        // A caller that leaves drops the request, and so does a panic: only the one is its choice.
        let panicked = end == BodyEnd::Cancelled && thread::panicking();
        let record = Record {
            identity: open.context.identity(),
            usage: open.context.usage(),
            outcome: if panicked { BodyEnd::Error } else { end },
            total: open.since(),
            open: &open,
        };
        // A panic must stay in here: in a drop that a panic caused it would abort the process, and
        // in a body it would break the connection. The panic hook has told of it.
        let write = AssertUnwindSafe(|| open.settings.sink.record(&record));
        let _panicked = catch_unwind(write);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.close(BodyEnd::Cancelled);
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").finish_non_exhaustive()
    }
}

impl Open {
    fn since(&self) -> Duration {
        self.settings.clock.monotonic().saturating_sub(self.came)
    }
}

fn grpc_status(fields: &HeaderMap) -> Option<u32> {
    fields.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_string_is_cut_between_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("é€", 5), "é€");
        assert_eq!(cut("é€", 4), "é");
        assert_eq!(cut("é€", 1), "");
        assert_eq!(cut("", 0), "");
    }
}
