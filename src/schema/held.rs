use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::{
    body::ResponseBody,
    response::{Expectation, Kept},
};
use crate::{
    rejection::{Refusal, Rejection},
    turn,
};

pin_project! {
    /// An answer that is held back until it is checked.
    pub(super) struct Held<B> {
        #[pin]
        body: B,
        // Made when there is something to wait for.
        #[pin]
        timer: Option<Sleep>,
        // `None` once it was given away.
        taken: Option<Taken>,
    }
}

struct Taken {
    head: Parts,
    kept: Kept,
    trailers: Option<Box<HeaderMap>>,
    expectation: Box<Expectation>,
}

impl<B> Held<B> {
    /// Frames that are taken before others get their turn.
    const AT_ONCE: usize = 64;

    pub(super) fn new(head: Parts, body: B, expectation: Box<Expectation>) -> Self {
        let kept = expectation.kept(&head.headers);
        let taken = Taken { head, kept, trailers: None, expectation };
        Self { body, timer: None, taken: Some(taken) }
    }
}

impl<B: Body<Data = Bytes>> Future for Held<B> {
    type Output = Response<ResponseBody<B>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let read = ready!(self.as_mut().poll_body(cx));
        // Polled after it was ready, there is nothing left.
        let Some(taken) = self.project().taken.take() else { return Poll::Pending };
        Poll::Ready(match read {
            Ok(()) => taken.checked(),
            Err(rejection) => taken.expectation.refused(rejection),
        })
    }
}

impl<B: Body<Data = Bytes>> Held<B> {
    /// Reads to the end of the body.
    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        let mut this = self.project();
        let Some(taken) = this.taken else { return Poll::Pending };
        let mut turns = 0..Self::AT_ONCE;
        while turns.next().is_some() {
            if this.body.is_end_stream() {
                return Poll::Ready(Ok(()));
            }
            match this.body.as_mut().poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if let Err(fault) = taken.kept.push(data) {
                            return Poll::Ready(Err(taken.expectation.fault(&fault)));
                        }
                    }
                    Err(frame) => taken.trailers = frame.into_trailers().ok().map(Box::new),
                },
                Poll::Ready(Some(Err(_))) => {
                    let rejection = Rejection::new(Refusal::UpstreamUnavailable)
                        .with_detail("the upstream's answer broke off");
                    return Poll::Ready(Err(rejection));
                }
                Poll::Pending => break,
            }
        }
        if turns.is_empty() {
            turn::end(cx);
        }

        // A body that is always ready, and gives nothing, must run into the deadline as well.
        if this.timer.is_none() {
            this.timer.set(Some(sleep(taken.expectation.deadline())));
        }
        match this.timer.as_pin_mut() {
            Some(timer) => timer.poll(cx).map(|()| Err(Rejection::new(Refusal::UpstreamTimeout))),
            None => Poll::Pending,
        }
    }
}

impl Taken {
    fn checked<B>(self) -> Response<ResponseBody<B>> {
        let (body, memory) = self.kept.into_bytes();
        match self.expectation.check(body.clone()) {
            Ok(()) => {
                let body = ResponseBody::held(memory.guard(body), self.trailers);
                Response::from_parts(self.head, body)
            }
            Err(fault) => self.expectation.refused(self.expectation.fault(&fault)),
        }
    }
}
