use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::{
    place::Inner,
    readers::{Occupied, Readers},
};
use crate::lock::Lock;

/// A response body that is dropped when its reader stalls.
#[derive(Debug)]
pub struct ResponseBody {
    kind: Kind,
    // The inner body's value after its last poll. Servers read it after each frame.
    is_end_stream: bool,
    // Whether the error was returned.
    failed: bool,
}

enum Kind {
    Guarded(Occupied),
    /// The body of a disabled layer, or `None` without frames. Boxed, so that the type of an enabled
    /// layer does not grow. The lock makes it `Sync`.
    Unguarded(Option<Lock<Inner>>),
}

impl ResponseBody {
    /// Guards a body with `readers`, or passes it on without them.
    pub(super) fn new<B>(body: B, readers: Option<&Arc<Readers>>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // A body at its end has nothing to give back.
        if body.is_end_stream() {
            return Self::default();
        }
        let body: Inner = Box::pin(body.map_err(Into::into));
        let kind = match readers {
            Some(readers) => Kind::Guarded(readers.occupy(body)),
            None => Kind::Unguarded(Some(Lock::new(body))),
        };
        Self { kind, is_end_stream: false, failed: false }
    }
}

/// An empty body.
impl Default for ResponseBody {
    fn default() -> Self {
        Self { kind: Kind::Unguarded(None), is_end_stream: true, failed: false }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let guarded = match &mut this.kind {
            Kind::Guarded(guarded) => guarded,
            Kind::Unguarded(None) => return Poll::Ready(None),
            Kind::Unguarded(Some(body)) => {
                let body = body.get_mut();
                let frame = body.as_mut().poll_frame(cx);
                this.is_end_stream = body.is_end_stream() || matches!(frame, Poll::Ready(None));
                return frame.map_err(BodyError::Inner);
            }
        };
        let Some(polled) = guarded.place().poll(cx, guarded.waker()) else {
            // The reader had all frames, or had its error, before the body was dropped.
            let told = this.is_end_stream || std::mem::replace(&mut this.failed, true);
            return Poll::Ready((!told).then_some(Err(BodyError::Stalled)));
        };
        this.is_end_stream = polled.is_end_stream || matches!(polled.frame, Poll::Ready(None));
        polled.frame.map_err(BodyError::Inner)
    }

    fn is_end_stream(&self) -> bool {
        self.is_end_stream
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Guarded(guarded) if !self.is_end_stream => guarded.place().size_hint(),
            Kind::Unguarded(Some(body)) => body.lock().size_hint(),
            _ => SizeHint::with_exact(0),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guarded(guarded) => guarded.fmt(f),
            Self::Unguarded(_) => f.write_str("Unguarded"),
        }
    }
}

/// Why a response body broke off.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The client did not read for [`idle_timeout`](super::StalledReaderLayer::idle_timeout).
    Stalled,
    /// The inner service's body failed.
    Inner(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stalled => "the client stopped reading the response",
            Self::Inner(_) => "the response body failed",
        })
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Stalled => None,
            Self::Inner(error) => Some(&**error),
        }
    }
}
