use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::{
    context::RequestContext,
    payload::error::{BoxError, PayloadError},
};

/// A body of any type with one error type. It can be boxed.
pub(crate) trait ErasedBody {
    fn poll_erased(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame;

    fn has_ended(&self) -> bool;

    fn hint(&self) -> SizeHint;
}

pub(crate) type PolledFrame = Poll<Option<Result<Frame<Bytes>, PayloadError>>>;

impl<B: Body<Data = Bytes>> ErasedBody for B
where
    B::Error: Into<BoxError>,
{
    fn poll_erased(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        self.poll_frame(cx).map_err(|error| error.into().into())
    }

    fn has_ended(&self) -> bool {
        self.is_end_stream()
    }

    fn hint(&self) -> SizeHint {
        self.size_hint()
    }
}

/// The bounds on the size of a body and on its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    pub(crate) max_bytes: u64,
    pub(crate) timeout: Duration,
}

impl BodyLimits {
    pub(crate) const NONE: Self = Self { max_bytes: u64::MAX, timeout: Duration::MAX };

    fn stricter(self, other: Self) -> Self {
        Self {
            max_bytes: self.max_bytes.min(other.max_bytes),
            timeout: self.timeout.min(other.timeout),
        }
    }
}

pin_project! {
    /// A body that enforces its limits and counts its bytes while it streams.
    pub(crate) struct BoundedBody<B: ?Sized> {
        limits: BodyLimits,
        // Bytes received so far.
        read: u64,
        over: bool,
        context: Option<RequestContext>,
        // Created on the first `Pending`. A body that is ready needs no timer. Boxed, because every
        // layer around moves the future of the request, which has it.
        sleep: Option<Pin<Box<Sleep>>>,
        #[pin]
        body: B,
    }
}

impl<B> BoundedBody<B> {
    pub(crate) const fn new(body: B, limits: BodyLimits, context: Option<RequestContext>) -> Self {
        Self { limits, read: 0, over: false, context, sleep: None, body }
    }
}

impl<B: ErasedBody + ?Sized> BoundedBody<B> {
    /// Applies the stricter of both limits. Counts the bytes in `context` unless they are counted
    /// already.
    pub(crate) fn bind(self: Pin<&mut Self>, limits: BodyLimits, context: &RequestContext) {
        let this = self.project();
        *this.limits = this.limits.stricter(limits);
        this.context.get_or_insert_with(|| context.clone());
    }

    pub(crate) fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        if self.over {
            return Poll::Ready(None);
        }
        let next = match self.as_mut().project().body.poll_erased(cx) {
            Poll::Ready(Some(Ok(frame))) => self.as_mut().count(frame).map(Some).transpose(),
            Poll::Ready(ended) => ended,
            Poll::Pending => {
                ready!(self.as_mut().poll_timeout(cx));
                Some(Err(PayloadError::TimedOut(self.limits.timeout)))
            }
        };
        *self.project().over = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }

    /// Ready when the timeout has elapsed.
    pub(crate) fn poll_timeout(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let timeout = this.limits.timeout;
        if timeout == Duration::MAX {
            return Poll::Pending;
        }
        this.sleep.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx)
    }

    fn count(self: Pin<&mut Self>, frame: Frame<Bytes>) -> Result<Frame<Bytes>, PayloadError> {
        let this = self.project();
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        *this.read = this.read.saturating_add(length);
        if let Some(context) = this.context {
            // An outer layer may have counted the same bytes already.
            context.add_bytes_in(this.read.saturating_sub(context.bytes_in()));
        }
        let limit = this.limits.max_bytes;
        if *this.read > limit { Err(PayloadError::TooLarge(Some(limit))) } else { Ok(frame) }
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.limits.timeout
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.over || self.body.has_ended()
    }

    pub(crate) fn hint(&self) -> SizeHint {
        if self.over { SizeHint::with_exact(0) } else { self.body.hint() }
    }
}
