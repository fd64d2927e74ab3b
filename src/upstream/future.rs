use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::ResponseBody,
    call::{Called, Peeking, UpstreamCall},
    queued::Queued,
};
use crate::{
    context::RequestContext,
    load_limit::NoPermit,
    rejection::{Refusal, Rejection, Responder},
};

pin_project! {
    /// Response future for [`Upstream`](super::Upstream). Dropping it drops the future of the HTTP
    /// client.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, S, B, R> {
        #[pin]
        state: ResponseState<F, S, B, R>,
        responder: Responder,
        context: RequestContext,
    }
}

pin_project! {
    #[project = ResponseStateProj]
    #[derive(Debug)]
    enum ResponseState<F, S, B, R> {
        // `None` after completion.
        Reject { rejection: Option<Rejection> },
        // Boxed, since only a busy upstream makes requests wait.
        Queued { queued: Option<Box<Queued<S, B>>> },
        Pass { #[pin] call: UpstreamCall<F> },
        // Boxed, since only an upstream that is busy or cold is read ahead.
        Peek { peeking: Box<Peeking<R>> },
    }
}

impl<F, S, B, R> ResponseState<F, S, B, R> {
    const DONE: Self = Self::Reject { rejection: None };
}

impl<F, S, B, R> ResponseFuture<F, S, B, R> {
    pub(super) const fn reject(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = ResponseState::Reject { rejection: Some(rejection) };
        Self { state, responder, context }
    }

    pub(super) fn queued(
        queued: Queued<S, B>,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = ResponseState::Queued { queued: Some(Box::new(queued)) };
        Self { state, responder, context }
    }

    pub(super) const fn pass(
        call: UpstreamCall<F>,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { state: ResponseState::Pass { call }, responder, context }
    }
}

impl<F, S, B, R, E> Future for ResponseFuture<F, S, B, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    S: Service<Request<B>, Future = F>,
    E: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<Response<ResponseBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let rejection = loop {
            let next = match this.state.as_mut().project() {
                ResponseStateProj::Reject { rejection } => match rejection.take() {
                    Some(rejection) => break rejection,
                    // A poll after completion stays pending.
                    None => return Poll::Pending,
                },
                ResponseStateProj::Queued { queued } => {
                    match ready!(Queued::poll(queued, cx, this.context)) {
                        Ok(call) => ResponseState::Pass { call },
                        Err(reason) => break no_slot(reason, this.context),
                    }
                }
                ResponseStateProj::Pass { call } => match ready!(call.poll(cx, this.context)) {
                    Ok(Called::Response { head, body, parts }) => {
                        this.state.set(ResponseState::DONE);
                        return Poll::Ready(Ok(parts.respond(head, body, this.context)));
                    }
                    Ok(Called::Peeking(peeking)) => ResponseState::Peek { peeking },
                    Err(rejection) => break rejection,
                },
                ResponseStateProj::Peek { peeking } => {
                    let response = ready!(peeking.poll(cx, this.context));
                    this.state.set(ResponseState::DONE);
                    return Poll::Ready(Ok(response));
                }
            };
            this.state.set(next);
        };
        // Drops the client's future and a connection attempt at once.
        this.state.set(ResponseState::DONE);
        this.context.end_attempt(this.context.attempt_number());
        Poll::Ready(Ok(this.responder.respond(rejection, this.context).map(ResponseBody::new)))
    }
}

/// Rejects a request that gets no slot.
pub(super) fn no_slot(reason: NoPermit, context: &RequestContext) -> Rejection {
    let rejection = match reason {
        NoPermit::Full => Rejection::new(Refusal::Overloaded),
        NoPermit::Share => {
            context.set_limited_by(Arc::from("caller-share"));
            Rejection::new(Refusal::Throttled)
                .with_detail("too many requests of this caller are in flight: wait until one ends")
        }
    };
    rejection.with_retry_after(Duration::from_secs(1))
}
