//! The response body of every layer and a guard that sees the end of a body.
//!
//! [`ResponseBody`] is the unchanged body of the inner service or a complete body of this crate.
//! [`WatchedBody`] reports each frame to a [`Watch`] and reports the [`BodyEnd`] exactly once.
//!
//! ```
//! use bytes::Bytes;
//! use http_body_util::{BodyExt, Full};
//! use tower_inference::body::{BodyEnd, Watch, WatchedBody};
//!
//! #[derive(Default)]
//! struct Count(usize);
//!
//! impl Watch for Count {
//!     fn data(&mut self, data: &Bytes) {
//!         self.0 += data.len();
//!     }
//!     fn end(&mut self, end: BodyEnd) {
//!         assert_eq!((self.0, end), (5, BodyEnd::Complete));
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let body = WatchedBody::new(Full::new(Bytes::from("hello")), Count::default());
//! assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
//! # }
//! ```
//!
//! # Caveats
//!
//! A watch runs inside `poll_frame` and `drop`. It must not block and must not panic.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
    response::Parts,
};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The body of the inner service or a complete body of this crate.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Inner { #[pin] body: B },
        // `None` once the data was taken.
        Full { data: Option<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    /// Passes `body` through unchanged.
    pub const fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    /// Returns the body of the inner service unless this is a complete body of this crate.
    #[cfg(feature = "axum")]
    pub(crate) fn into_inner(self) -> Result<B, Self> {
        match self.kind {
            Kind::Inner { body } => Ok(body),
            full @ Kind::Full { .. } => Err(Self { kind: full }),
        }
    }

    /// Creates a complete body. It has no frame when `data` is empty.
    #[must_use]
    pub fn full(data: Bytes) -> Self {
        Self { kind: Kind::Full { data: Some(data).filter(|data| !data.is_empty()) } }
    }
}

/// An empty body. Layers of other crates that respond in place of the inner service need it.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { kind: Kind::Full { data: None } }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProj::Inner { body } => body.poll_frame(cx),
            KindProj::Full { data } => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Full { data } => data.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Full { data } => {
                SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64))
            }
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for Kind<B> {
    // Without the data, which may be a completion.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner { body } => f.debug_struct("Inner").field("body", body).finish(),
            Self::Full { .. } => f.debug_struct("Full").finish_non_exhaustive(),
        }
    }
}

/// How a body ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a body has no fifth way to end")]
pub enum BodyEnd {
    /// All data was taken.
    Complete,
    /// All data and the trailers were taken.
    Trailers,
    /// The body failed.
    Error,
    /// The body was dropped before its end.
    Cancelled,
}

/// Observes the frames of a [`WatchedBody`].
pub trait Watch {
    /// Called for each frame of data.
    fn data(&mut self, data: &Bytes);

    /// Called for the trailers. [`Watch::end`] follows.
    fn trailers(&mut self, _trailers: &HeaderMap) {}

    /// Called exactly once at the end of the body, also when it is dropped early.
    fn end(&mut self, end: BodyEnd);
}

pin_project! {
    /// A body that is watched to its end.
    ///
    /// The end is reported as soon as it is certain because a server stops polling there. The last frame
    /// is the end if the body then says `is_end_stream`. A body that has delivered its
    /// announced length is complete even when it is dropped then, as HTTP/1.1 servers do. Over
    /// HTTP/2 trailers or an error may still follow.
    #[derive(Debug)]
    pub struct WatchedBody<B, W>
    where
        W: Watch,
    {
        #[pin]
        body: B,
        guard: EndGuard<W>,
        // The missing bytes of the announced length.
        remaining: Option<u64>,
    }
}

impl<B: Body<Data = Bytes>, W: Watch> WatchedBody<B, W> {
    /// Watches `body`. A body at its end ends with this call.
    pub fn new(body: B, watch: W) -> Self {
        let (mut guard, remaining) = EndGuard::of(&body, watch);
        if remaining == Some(0) {
            guard.on_drop = BodyEnd::Complete;
        }
        Self { body, guard, remaining }
    }

    /// Watches the body of a response to `method`. Servers send no body in response to HEAD or with
    /// 1xx, 204 and 304 (RFC 9110 section 6.4.1). A body of this kind ends with this call.
    pub fn of_response(response: Response<B>, method: &Method, watch: W) -> Response<Self> {
        let (head, body) = response.into_parts();
        let watched = Self::of_head(body, &head, method == Method::HEAD, watch);
        Response::from_parts(head, watched)
    }

    /// Watches `body` like [`of_response`](Self::of_response), for a caller that has taken the
    /// response apart.
    // The body is moved once, into its place.
    #[inline]
    pub(crate) fn of_head(body: B, head: &Parts, is_for_head: bool, watch: W) -> Self {
        let (mut guard, known) = EndGuard::of(&body, watch);
        let remaining = known.or_else(|| content_length(&head.headers));
        let bodiless = is_for_head
            || head.status.is_informational()
            || head.status == StatusCode::NO_CONTENT
            || head.status == StatusCode::NOT_MODIFIED;
        if bodiless {
            guard.end(BodyEnd::Complete);
        } else if remaining == Some(0) {
            guard.on_drop = BodyEnd::Complete;
        }
        Self { body, guard, remaining }
    }
}

#[cfg(feature = "access-log")]
impl<B, W: Watch> WatchedBody<B, W> {
    /// Returns the watch.
    pub(crate) fn watch_mut(self: Pin<&mut Self>) -> &mut W {
        &mut self.project().guard.watch
    }
}

impl<B: Body<Data = Bytes>, W: Watch> Body for WatchedBody<B, W> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let polled = ready!(this.body.as_mut().poll_frame(cx));
        match &polled {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.guard.data(data);
                    if let Some(remaining) = this.remaining {
                        *remaining = remaining.saturating_sub(data.len() as u64);
                    }
                    if this.body.is_end_stream() {
                        this.guard.end(BodyEnd::Complete);
                    } else if *this.remaining == Some(0) {
                        this.guard.on_drop = BodyEnd::Complete;
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    this.guard.trailers(trailers);
                }
            }
            Some(Err(_)) => this.guard.end(BodyEnd::Error),
            None => this.guard.end(BodyEnd::Complete),
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Returns the announced length. `None` unless it consists of digits (RFC 9110 section 8.6) and is
/// announced once.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    length_in(lengths.next().filter(|_| lengths.next().is_none())?)
}

/// Returns the length in the only `content-length`.
pub(crate) fn length_in(value: &HeaderValue) -> Option<u64> {
    let length = value.to_str().ok()?;
    // `parse` takes a leading plus sign as well.
    length.bytes().all(|digit| digit.is_ascii_digit()).then(|| length.parse().ok())?
}

/// Returns the size of a body with `bytes` more in front of it.
#[cfg(any(feature = "fallback", feature = "hf", feature = "upstream"))]
pub(crate) fn size_with(rest: &SizeHint, bytes: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(rest.lower().saturating_add(bytes));
    if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(bytes)) {
        hint.set_upper(upper);
    }
    hint
}

/// Returns whether a response has a content coding. `identity` is none (RFC 9110 section 12.5.3).
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Headers that describe the exact bytes of a body (RFC 9530, RFC 3230 and RFC 1864).
pub(crate) const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// Removes the headers that would be wrong for an edited body.
pub(crate) fn remove_digests(headers: &mut HeaderMap) {
    for name in DIGESTS {
        headers.remove(name);
    }
}

// === impl EndGuard ===

/// Reports the end exactly once.
#[derive(Debug)]
struct EndGuard<W: Watch> {
    watch: W,
    ended: bool,
    // The end that a drop means.
    on_drop: BodyEnd,
}

impl<W: Watch> EndGuard<W> {
    /// Returns the guard of `body` and its length, if it is known. A body at its end ends with this call.
    fn of<B: Body>(body: &B, watch: W) -> (Self, Option<u64>) {
        let mut guard = Self { watch, ended: false, on_drop: BodyEnd::Cancelled };
        if body.is_end_stream() {
            guard.end(BodyEnd::Complete);
        }
        (guard, body.size_hint().exact())
    }

    fn data(&mut self, data: &Bytes) {
        if !self.ended {
            self.watch.data(data);
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if !self.ended {
            self.watch.trailers(trailers);
            self.end(BodyEnd::Trailers);
        }
    }

    fn end(&mut self, end: BodyEnd) {
        if !std::mem::replace(&mut self.ended, true) {
            self.watch.end(end);
        }
    }
}

impl<W: Watch> Drop for EndGuard<W> {
    fn drop(&mut self) {
        self.end(self.on_drop);
    }
}
