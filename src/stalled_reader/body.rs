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

use super::readers::{Occupied, Readers};

/// A response body that is dropped when its reader stalls.
#[derive(Debug)]
pub struct ResponseBody {
    // `None` for a body without frames.
    guarded: Option<Occupied>,
    // The inner body's value after its last poll. Servers read it after each frame.
    is_end_stream: bool,
    // Whether the error was returned.
    failed: bool,
}

impl ResponseBody {
    pub(super) fn new<B>(body: B, readers: &Arc<Readers>) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let is_end_stream = body.is_end_stream();
        // A body at its end has nothing to give back.
        let guarded = (!is_end_stream).then(|| readers.occupy(Box::pin(body.map_err(Into::into))));
        Self { guarded, is_end_stream, failed: false }
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
        let Some(guarded) = &this.guarded else { return Poll::Ready(None) };
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
        match &self.guarded {
            Some(guarded) if !self.is_end_stream => guarded.place().size_hint(),
            _ => SizeHint::with_exact(0),
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
