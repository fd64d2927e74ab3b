//! What the tests share: scripted bodies and a service that keeps the tower contract to the letter.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::UnboundedReceiver;
use tower::Service;

/// One answer of a [`ScriptedBody`] to `poll_frame`. After the last, the body has ended.
#[derive(Debug)]
pub enum Step {
    Data(&'static [u8]),
    Bytes(Bytes),
    Trailers(HeaderMap),
    Error,
    /// Pending, and woken at once.
    Pending,
    /// Pending for ever.
    Stall,
}

/// A body that answers as it was told.
#[derive(Debug, Default)]
pub struct ScriptedBody {
    steps: VecDeque<Step>,
    exact: Option<u64>,
    live: Option<UnboundedReceiver<Step>>,
}

impl ScriptedBody {
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), exact: None, live: None }
    }

    /// Answers as it is being told. Ends when nobody is left to tell it.
    pub fn live(steps: UnboundedReceiver<Step>) -> Self {
        Self { live: Some(steps), ..Self::default() }
    }

    /// Announces a length, true or not.
    pub fn announce(mut self, length: u64) -> Self {
        self.exact = Some(length);
        self
    }

    /// `data`, a frame a piece of at most `size` bytes.
    pub fn chunked(data: &[u8], size: usize) -> Self {
        Self::new(data.chunks(size).map(|piece| Step::Bytes(Bytes::copy_from_slice(piece))))
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(live) = &mut self.live {
            match live.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(step) => self.steps.extend(step),
            }
        }
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(data))))),
            Some(Step::Bytes(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Step::Error) => Poll::Ready(Some(Err(io::Error::other("scripted")))),
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Stall) => {
                self.steps.push_front(Step::Stall);
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A service that panics when an instance is called that was not made ready, and whose clones
/// never are: the contract of `tower_service::Service`, "be careful when cloning inner services".
#[derive(Debug)]
pub struct Probe<F> {
    respond: F,
    ready: bool,
}

impl<F> Probe<F> {
    pub fn new(respond: F) -> Self {
        Self { respond, ready: false }
    }
}

impl<F: Clone> Clone for Probe<F> {
    fn clone(&self) -> Self {
        Self { respond: self.respond.clone(), ready: false }
    }
}

impl<F, B, R> Service<Request<B>> for Probe<F>
where
    F: FnMut(Request<B>) -> Response<R>,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Ready<Result<Response<R>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called an instance that was not ready");
        ready(Ok((self.respond)(request)))
    }
}
