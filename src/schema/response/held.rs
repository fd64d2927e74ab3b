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
    expectation::{Expectation, ResponseCopy},
};
use crate::{
    rejection::{Refusal, Rejection},
    yield_now,
};

pin_project! {
    /// A response that is held back until it was checked.
    pub(crate) struct HeldResponse<B> {
        #[pin]
        body: B,
        // Created on the first `Pending`.
        #[pin]
        timer: Option<Sleep>,
        // `None` once the response was returned.
        parts: Option<HeldParts>,
    }
}

struct HeldParts {
    head: Parts,
    copy: ResponseCopy,
    trailers: Option<Box<HeaderMap>>,
    expectation: Box<Expectation>,
}

impl<B> HeldResponse<B> {
    /// Frames until the task yields.
    const MAX_FRAMES: usize = 64;

    pub(crate) fn new(head: Parts, body: B, expectation: Box<Expectation>) -> Self {
        let copy = expectation.copy(&head.headers);
        let parts = HeldParts { head, copy, trailers: None, expectation };
        Self { body, timer: None, parts: Some(parts) }
    }
}

impl<B: Body<Data = Bytes>> Future for HeldResponse<B> {
    type Output = Response<ResponseBody<B>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let read = ready!(self.as_mut().poll_body(cx));
        // Polled again after completion.
        let Some(parts) = self.project().parts.take() else { return Poll::Pending };
        Poll::Ready(match read {
            Ok(()) => parts.checked(),
            Err(rejection) => parts.expectation.rejected(rejection).map(ResponseBody::new),
        })
    }
}

impl<B: Body<Data = Bytes>> HeldResponse<B> {
    /// Reads the body to its end.
    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        let mut this = self.project();
        let Some(parts) = this.parts else { return Poll::Pending };
        let mut turns = 0..Self::MAX_FRAMES;
        while turns.next().is_some() {
            if this.body.is_end_stream() {
                return Poll::Ready(Ok(()));
            }
            match this.body.as_mut().poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if let Err(fault) = parts.copy.push(data) {
                            return Poll::Ready(Err(parts.expectation.fault(&fault)));
                        }
                    }
                    Err(frame) => parts.trailers = frame.into_trailers().ok().map(Box::new),
                },
                Poll::Ready(Some(Err(_))) => {
                    let rejection = Rejection::new(Refusal::UpstreamUnavailable)
                        .with_detail("the upstream's response ended early");
                    return Poll::Ready(Err(rejection));
                }
                Poll::Pending => break,
            }
        }
        if turns.is_empty() {
            yield_now::wake_later(cx);
        }

        // The timeout must also end a body that is always ready without data.
        if this.timer.is_none() {
            this.timer.set(Some(sleep(parts.expectation.timeout())));
        }
        match this.timer.as_pin_mut() {
            Some(timer) => timer.poll(cx).map(|()| Err(Rejection::new(Refusal::UpstreamTimeout))),
            None => Poll::Pending,
        }
    }
}

impl HeldParts {
    fn checked<B>(self) -> Response<ResponseBody<B>> {
        let (body, memory) = self.copy.into_bytes();
        match self.expectation.check(body.clone()) {
            Ok(()) => {
                let body = ResponseBody::held(memory.guard(body), self.trailers);
                Response::from_parts(self.head, body)
            }
            Err(fault) => {
                let rejection = self.expectation.fault(&fault);
                self.expectation.rejected(rejection).map(ResponseBody::new)
            }
        }
    }
}
