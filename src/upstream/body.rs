use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Deadlines, failure, slots::Slot};
use crate::body::{self, WatchedBody};

/// Why the body of an answer broke off. The upstream's connection is closed with it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BodyError {
    /// No byte of the body came within
    /// [`first_byte_timeout`](super::UpstreamLayer::first_byte_timeout).
    FirstByteTimeout,
    /// The body was idle for [`idle_timeout`](super::UpstreamLayer::idle_timeout).
    IdleTimeout,
    /// The answer took longer than [`total_timeout`](super::UpstreamLayer::total_timeout).
    TotalTimeout,
    /// The upstream, or the connection to it, broke. The log says how.
    Broken,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstByteTimeout => "the upstream's body did not begin in time",
            Self::IdleTimeout => "the upstream's body was idle for too long",
            Self::TotalTimeout => "the upstream's response took too long in total",
            Self::Broken => "the upstream's body broke off",
        })
    }
}

impl Error for BodyError {}

pin_project! {
    /// The upstream's body under its deadlines, or a refusal.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        body: body::ResponseBody<WatchedBody<TimedBody<B>, Slot>>,
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn new(body: body::ResponseBody<WatchedBody<TimedBody<B>, Slot>>) -> Self {
        Self { body }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pin_project! {
    /// Waits for each frame as long as it may.
    #[derive(Debug)]
    pub(super) struct TimedBody<B> {
        // `None` once it failed: dropping it is what closes the upstream's connection.
        #[pin]
        body: Option<B>,
        // Armed for the earliest deadline since it last fired. A later one moves it only then, so
        // that a stream of many frames touches the timer once in a while and not at each of them.
        #[pin]
        timer: Option<Sleep>,
        deadlines: Deadlines,
        // When the call began to wait, or the body if the call never did.
        started: Option<Instant>,
        // When the reader first found nothing, since the last frame.
        waiting: Option<Instant>,
        begun: bool,
    }
}

impl<B> TimedBody<B> {
    pub(super) const fn new(body: B, deadlines: Deadlines, started: Option<Instant>) -> Self {
        Self { body: Some(body), timer: None, deadlines, started, waiting: None, begun: false }
    }
}

impl<B> Body for TimedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut this = self.as_mut().project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let error = match body.poll_frame(cx) {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => {
                let whole = expiry(*this.started, this.deadlines.total);
                if whole.is_none_or(|whole| Instant::now() < whole) {
                    // An empty frame is no sign of life: HTTP/2 lets a peer send them for ever.
                    if frame.data_ref().is_none_or(|data| !data.is_empty()) {
                        *this.begun = true;
                        *this.waiting = None;
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                BodyError::TotalTimeout
            }
            Poll::Ready(Some(Err(error))) => {
                failure::warn("the upstream's body broke off", error);
                BodyError::Broken
            }
            Poll::Pending => ready!(self.as_mut().poll_deadline(cx)),
        };
        self.project().body.set(None);
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<B> TimedBody<B> {
    /// Ready with the deadline that passed. Called when there is no frame.
    fn poll_deadline(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BodyError> {
        let mut this = self.project();
        let waiting = *this.waiting.get_or_insert_with(Instant::now);
        let started = *this.started.get_or_insert(waiting);

        let (patience, error) = if *this.begun {
            (this.deadlines.idle, BodyError::IdleTimeout)
        } else {
            (this.deadlines.first_byte, BodyError::FirstByteTimeout)
        };
        let frame = expiry(Some(waiting), patience).map(|at| (at, error));
        let whole =
            expiry(Some(started), this.deadlines.total).map(|at| (at, BodyError::TotalTimeout));
        let Some((deadline, error)) =
            [frame, whole].into_iter().flatten().min_by_key(|(at, _)| *at)
        else {
            return Poll::Pending;
        };

        if this.timer.is_none() {
            this.timer.set(Some(sleep_until(deadline)));
        }
        while let Some(mut timer) = this.timer.as_mut().as_pin_mut() {
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                break;
            }
            // It was still armed for a wait that is over.
            timer.reset(deadline);
        }
        Poll::Ready(error)
    }
}

/// `None` when that is never.
pub(super) fn expiry(since: Option<Instant>, patience: Duration) -> Option<Instant> {
    since?.checked_add(patience)
}
