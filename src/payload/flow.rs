use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::LengthLimitError;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use crate::{
    context::RequestContext,
    rejection::{Refusal, Rejection},
};

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Why a body could not be read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum PayloadError {
    /// It has more bytes than the limit, which is given where it is known.
    TooLarge(Option<u64>),
    /// It did not arrive within the deadline, which is given.
    TimedOut(Duration),
    /// The caller's connection broke, or a layer further out cut it off.
    Broken(Box<dyn Error + Send + Sync>),
}

impl PayloadError {
    /// The refusal that says so.
    #[must_use]
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::TooLarge(None) => Rejection::new(Refusal::PayloadTooLarge)
                .with_detail("the body is larger than a layer further out allows"),
            Self::TooLarge(Some(_)) => Rejection::new(Refusal::PayloadTooLarge)
                .with_detail(format!("{self}; PayloadLayer::limit sets this bound")),
            Self::TimedOut(_) => Rejection::new(Refusal::PayloadTimeout)
                .with_detail(format!("{self}; PayloadLayer::deadline sets this bound")),
            Self::Broken(_) => {
                Rejection::new(Refusal::MalformedPayload).with_detail("the body broke off")
            }
        }
    }
}

impl From<BoxError> for PayloadError {
    /// Keeps what a body further in has found out, whatever it was wrapped into on the way.
    fn from(error: BoxError) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
        while let Some(known) = cause {
            match known.downcast_ref() {
                Some(Self::TooLarge(limit)) => return Self::TooLarge(*limit),
                Some(Self::TimedOut(deadline)) => return Self::TimedOut(*deadline),
                Some(Self::Broken(_)) | None => {}
            }
            if known.is::<LengthLimitError>() {
                return Self::TooLarge(None);
            }
            cause = known.source();
        }
        Self::Broken(error)
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(None) => f.write_str("the body is too large"),
            Self::TooLarge(Some(limit)) => write!(f, "the body is larger than {limit} bytes"),
            Self::TimedOut(deadline) => write!(f, "the body did not arrive within {deadline:?}"),
            Self::Broken(_) => f.write_str("the body broke off"),
        }
    }
}

impl Error for PayloadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Broken(error) => Some(&**error),
            Self::TooLarge(_) | Self::TimedOut(_) => None,
        }
    }
}

/// A body of any type, with one type of error, so that it can be boxed.
pub(super) trait Source {
    fn poll_source(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame;

    fn has_ended(&self) -> bool;

    fn hint(&self) -> SizeHint;
}

pub(super) type PolledFrame = Poll<Option<Result<Frame<Bytes>, PayloadError>>>;

impl<B: Body<Data = Bytes>> Source for B
where
    B::Error: Into<BoxError>,
{
    fn poll_source(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        self.poll_frame(cx).map_err(|error| error.into().into())
    }

    fn has_ended(&self) -> bool {
        self.is_end_stream()
    }

    fn hint(&self) -> SizeHint {
        self.size_hint()
    }
}

/// How much of a body is taken, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) deadline: Duration,
}

impl Limits {
    pub(super) const NONE: Self = Self { bytes: u64::MAX, deadline: Duration::MAX };

    fn stricter(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), deadline: self.deadline.min(other.deadline) }
    }
}

pin_project! {
    /// A body that is held to its limits, and counted, while it flows.
    pub(super) struct Flow<B: ?Sized> {
        limits: Limits,
        // Bytes that came so far.
        read: u64,
        over: bool,
        context: Option<RequestContext>,
        // Made when the body is first waited for: one that is there already needs no timer.
        #[pin]
        sleep: Option<Sleep>,
        #[pin]
        body: B,
    }
}

impl<B> Flow<B> {
    pub(super) const fn new(body: B, limits: Limits, context: Option<RequestContext>) -> Self {
        Self { limits, read: 0, over: false, context, sleep: None, body }
    }
}

impl<B: Source + ?Sized> Flow<B> {
    /// Holds it to `limits` as well, and counts it in `context` unless it is counted already.
    pub(super) fn bind(self: Pin<&mut Self>, limits: Limits, context: &RequestContext) {
        let this = self.project();
        *this.limits = this.limits.stricter(limits);
        this.context.get_or_insert_with(|| context.clone());
    }

    pub(super) fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        if self.over {
            return Poll::Ready(None);
        }
        let next = match self.as_mut().project().body.poll_source(cx) {
            Poll::Ready(Some(Ok(frame))) => self.as_mut().count(frame).map(Some).transpose(),
            Poll::Ready(ended) => ended,
            Poll::Pending => {
                ready!(self.as_mut().poll_deadline(cx));
                Some(Err(PayloadError::TimedOut(self.limits.deadline)))
            }
        };
        *self.project().over = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }

    /// Ready once the time is up.
    pub(super) fn poll_deadline(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.limits.deadline == Duration::MAX {
            return Poll::Pending;
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep(this.limits.deadline)));
        }
        this.sleep.as_pin_mut().map_or(Poll::Pending, |sleep| sleep.poll(cx))
    }

    fn count(self: Pin<&mut Self>, frame: Frame<Bytes>) -> Result<Frame<Bytes>, PayloadError> {
        let this = self.project();
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        *this.read = this.read.saturating_add(length);
        if let Some(context) = this.context {
            // A layer further out may have counted the same bytes already.
            context.add_bytes_in(this.read.saturating_sub(context.bytes_in()));
        }
        let limit = this.limits.bytes;
        if *this.read > limit { Err(PayloadError::TooLarge(Some(limit))) } else { Ok(frame) }
    }

    pub(super) const fn deadline(&self) -> Duration {
        self.limits.deadline
    }

    pub(super) fn has_ended(&self) -> bool {
        self.over || self.body.has_ended()
    }

    pub(super) fn hint(&self) -> SizeHint {
        if self.over { SizeHint::with_exact(0) } else { self.body.hint() }
    }
}
