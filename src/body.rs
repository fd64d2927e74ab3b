//! The response body of every layer, and the guard that sees where a body ends.
//!
//! [`ResponseBody`] is either the inner service's body, untouched, or a whole answer of our own.
//! [`WatchedBody`] tells a [`Watch`] of each frame and, exactly once, of the [`BodyEnd`].
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
//! # Limits
//!
//! A watch runs inside `poll_frame` and `drop`: it must neither block nor panic.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// The inner service's body, or a whole answer of this crate's own.
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
        // `None` once it was given away.
        Full { data: Option<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    /// Passes `body` through.
    pub const fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    /// A whole body. No frame at all when `data` is empty.
    #[must_use]
    pub fn full(data: Bytes) -> Self {
        Self { kind: Kind::Full { data: Some(data).filter(|data| !data.is_empty()) } }
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
    // Without the data, which may be an answer.
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
    /// All its data was taken.
    Complete,
    /// All its data was taken, and then its trailers.
    Trailers,
    /// It failed.
    Error,
    /// It was dropped before its end.
    Cancelled,
}

/// Sees what passes through a [`WatchedBody`].
pub trait Watch {
    /// A frame of data is handed on.
    fn data(&mut self, data: &Bytes);

    /// The trailers are handed on; [`Watch::end`] follows.
    fn trailers(&mut self, _trailers: &HeaderMap) {}

    /// The body has ended. Called exactly once, also when it is dropped early.
    fn end(&mut self, end: BodyEnd);
}

pin_project! {
    /// A body that is watched to its end.
    ///
    /// The end is told as soon as it is certain, because a server stops polling there: with the
    /// last frame when the body then says `is_end_stream`. A body that has given as many bytes as
    /// it announced is complete whether it is polled again (over HTTP/2, where trailers or an
    /// error may follow) or dropped (over HTTP/1.1).
    #[derive(Debug)]
    pub struct WatchedBody<B, W>
    where
        W: Watch,
    {
        #[pin]
        body: B,
        guard: EndGuard<W>,
        // Bytes still to come, if the body announced how many.
        remaining: Option<u64>,
    }
}

impl<B: Body<Data = Bytes>, W: Watch> WatchedBody<B, W> {
    /// Watches `body`. A body that is already at its end has ended with this call.
    pub fn new(body: B, watch: W) -> Self {
        let mut guard = EndGuard { watch, ended: false, on_drop: BodyEnd::Cancelled };
        let remaining = body.size_hint().exact();
        if body.is_end_stream() {
            guard.end(BodyEnd::Complete);
        } else if remaining == Some(0) {
            guard.on_drop = BodyEnd::Complete;
        }
        Self { body, guard, remaining }
    }

    /// Watches the body of an answer to `method`. One that no server sends (RFC 9110 section
    /// 6.4.1: to HEAD, and with 1xx, 204 and 304) has ended with this call.
    pub fn of_response(response: Response<B>, method: &Method, watch: W) -> Response<Self> {
        let (parts, body) = response.into_parts();
        let mut watched = Self::new(body, watch);
        if watched.remaining.is_none() {
            watched.remaining = content_length(&parts.headers);
        }
        let bodiless = method == Method::HEAD
            || parts.status.is_informational()
            || parts.status == StatusCode::NO_CONTENT
            || parts.status == StatusCode::NOT_MODIFIED;
        if bodiless {
            watched.guard.end(BodyEnd::Complete);
        } else if watched.remaining == Some(0) {
            watched.guard.on_drop = BodyEnd::Complete;
        }
        Response::from_parts(parts, watched)
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

/// The announced length, if there is one that can be read: digits alone (RFC 9110 section 8.6).
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    // `parse` takes a leading plus sign as well.
    length.bytes().all(|digit| digit.is_ascii_digit()).then(|| length.parse().ok())?
}

/// Whether an answer has a content coding, so that its bytes are not what they say. `identity` is
/// none (RFC 9110 section 12.5.3).
pub(crate) fn is_coded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// Fields that say what a body's bytes are (RFC 9530; RFC 3230; RFC 1864), and would be a lie of
/// others.
pub(crate) const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// Removes what would be a lie of other bytes.
pub(crate) fn remove_digests(fields: &mut HeaderMap) {
    for name in DIGESTS {
        fields.remove(name);
    }
}

// === impl EndGuard ===

/// Tells the end exactly once.
#[derive(Debug)]
struct EndGuard<W: Watch> {
    watch: W,
    ended: bool,
    // What a drop before the end means.
    on_drop: BodyEnd,
}

impl<W: Watch> EndGuard<W> {
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
