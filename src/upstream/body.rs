use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    deadlines::{Deadlines, deadline},
    failure::{log_failure, log_timeout},
    peek::Peekable,
    settings::Settings,
};
use crate::{
    body::{self, WatchedBody},
    context::RequestContext,
    error_debug::debug_as_message,
    load_limit::LoadPermit,
};

/// Why a response body broke off. The connection to the upstream is closed.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BodyError {
    /// No byte of the body arrived within
    /// [`first_byte_timeout`](super::UpstreamLayer::first_byte_timeout).
    FirstByteTimeout,
    /// No further byte arrived within
    /// [`idle_timeout`](super::UpstreamLayer::idle_timeout).
    IdleTimeout,
    /// The response took longer than [`total_timeout`](super::UpstreamLayer::total_timeout).
    TotalTimeout,
    /// The upstream or the connection to it failed. The log has the kind of the error.
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

debug_as_message!(BodyError);

impl Error for BodyError {}

pin_project! {
    /// Response body for [`Upstream`](super::Upstream): the upstream's body with its deadlines, or a
    /// rejection.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        body: body::ResponseBody<WatchedBody<TimedBody<B>, LoadPermit>>,
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn new(
        body: body::ResponseBody<WatchedBody<TimedBody<B>, LoadPermit>>,
    ) -> Self {
        Self { body }
    }
}

/// An empty body.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::new(body::ResponseBody::default())
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
    /// A body that fails when a deadline passes.
    #[derive(Debug)]
    pub(super) struct TimedBody<B> {
        // `None` after a failure. Dropping the body closes the upstream's connection.
        #[pin]
        body: Option<Peekable<B>>,
        // Armed for the earliest deadline since it last fired. A later deadline moves it only when it
        // fires, so that a fast stream seldom touches the timer. Boxed, because the body of a document
        // does not wait, and a body is moved through every layer.
        timer: Option<Pin<Box<Sleep>>>,
        settings: Arc<Settings>,
        // When the call first waited, or else the body.
        started: Option<Instant>,
        // When the reader first had to wait after the last frame.
        waiting: Option<Instant>,
        begun: bool,
        // That of the context, for its end. Zero when no layer records attempts.
        attempt: u16,
        // Names the upstream in the log.
        context: RequestContext,
    }

    impl<B> PinnedDrop for TimedBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            this.context.end_attempt(*this.attempt);
        }
    }
}

impl<B> TimedBody<B> {
    pub(super) fn new(
        body: Peekable<B>,
        settings: Arc<Settings>,
        started: Option<Instant>,
        context: RequestContext,
    ) -> Self {
        let (timer, waiting, begun) = (None, None, false);
        let attempt = context.attempt_number();
        Self { body: Some(body), timer, settings, started, waiting, begun, attempt, context }
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
            Poll::Ready(None) => {
                this.context.end_attempt(*this.attempt);
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Ok(frame))) => {
                let total = deadline(*this.started, this.settings.deadlines.total);
                if total.is_none_or(|total| Instant::now() < total) {
                    // An empty frame is not progress, because HTTP/2 peers may send them without end.
                    if frame.data_ref().is_none_or(|data| !data.is_empty()) {
                        *this.begun = true;
                        *this.waiting = None;
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                BodyError::TotalTimeout
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(error) = error {
                    let log = &this.settings.log;
                    log_failure("the upstream's body broke off", log, Some(this.context), error);
                }
                BodyError::Broken
            }
            Poll::Pending => ready!(self.as_mut().poll_deadline(cx)),
        };
        let mut this = self.project();
        if let Some((setter, timeout)) = exceeded(&this.settings.deadlines, error) {
            log_timeout(setter, timeout, &this.settings.log, this.context);
            this.context.set_timed_out();
        }
        this.body.set(None);
        this.context.end_attempt(*this.attempt);
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Peekable::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Peekable::size_hint)
    }
}

impl<B> TimedBody<B> {
    /// Waits for the next deadline and returns its error. Called when the body has no frame.
    fn poll_deadline(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BodyError> {
        let this = self.project();
        let waiting = *this.waiting.get_or_insert_with(Instant::now);
        let started = *this.started.get_or_insert(waiting);

        let (timeout, error) = if *this.begun {
            (this.settings.deadlines.idle, BodyError::IdleTimeout)
        } else {
            (this.settings.deadlines.first_byte, BodyError::FirstByteTimeout)
        };
        let frame = deadline(Some(waiting), timeout).map(|at| (at, error));
        let total = deadline(Some(started), this.settings.deadlines.total)
            .map(|at| (at, BodyError::TotalTimeout));
        let Some((deadline, error)) =
            [frame, total].into_iter().flatten().min_by_key(|(at, _)| *at)
        else {
            return Poll::Pending;
        };

        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(error);
            }
            // The timer was armed for an earlier wait.
            timer.as_mut().reset(deadline);
        }
    }
}

/// Returns the timeout of an error, with the name of its setter.
const fn exceeded(deadlines: &Deadlines, error: BodyError) -> Option<(&'static str, Duration)> {
    match error {
        BodyError::FirstByteTimeout => Some(("first_byte_timeout", deadlines.first_byte)),
        BodyError::IdleTimeout => Some(("idle_timeout", deadlines.idle)),
        BodyError::TotalTimeout => Some(("total_timeout", deadlines.total)),
        BodyError::Broken => None,
    }
}
