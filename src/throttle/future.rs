use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    ResponseBody,
    ask::{Asks, Decision},
    due::Due,
    limits::Limits,
    store::{Later, Unavailable},
};
use crate::{
    context::RequestContext,
    rejection::{Rejection, Responder},
};

pin_project! {
    /// The answer of the inner service, or a refusal. Made by [`Throttle`](super::Throttle).
    ///
    /// Dropped before its end, it gives back its places among those in flight. What a rate or a quota
    /// has counted stays counted: the request came. A decision that a shared store has not told yet
    /// may have been taken all the same.
    pub struct ResponseFuture<F, S, B> {
        #[pin]
        state: State<F, S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, S, B> {
        Pass { #[pin] future: F, due: Option<Due> },
        // Boxed: only what a shared store must decide waits, and that costs a round trip.
        Wait { waiting: Option<Box<Waiting<S, B>>> },
        Refuse { refusal: Option<(Rejection, Responder, RequestContext)> },
    }
}

/// A request that waits for a shared store.
pub(super) struct Waiting<S, B> {
    pub(super) later: Later<Result<Decision, Unavailable>>,
    pub(super) limits: Arc<Limits>,
    pub(super) asks: Asks,
    pub(super) responder: Responder,
    pub(super) context: RequestContext,
    pub(super) inner: S,
    pub(super) request: Request<B>,
}

impl<F, S, B> ResponseFuture<F, S, B> {
    pub(super) const fn pass(future: F, due: Option<Due>) -> Self {
        Self { state: State::Pass { future, due } }
    }

    pub(super) fn wait(waiting: Waiting<S, B>) -> Self {
        Self { state: State::Wait { waiting: Some(Box::new(waiting)) } }
    }

    pub(super) const fn refuse(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { state: State::Refuse { refusal: Some((rejection, responder, context)) } }
    }
}

impl<F, S, B, R, E> Future for ResponseFuture<F, S, B>
where
    F: Future<Output = Result<Response<R>, E>>,
    S: Service<Request<B>, Future = F>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Pass { future, due } => {
                    return match future.poll(cx) {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(Ok(response)) if due.is_none() => {
                            Poll::Ready(Ok(response.map(ResponseBody::inner)))
                        }
                        Poll::Ready(ended) => {
                            // An error gives the places back at once.
                            let due = due.take();
                            Poll::Ready(ended.map(|response| match due {
                                Some(due) => due.answered(response),
                                None => response.map(ResponseBody::inner),
                            }))
                        }
                    };
                }
                StateProj::Refuse { refusal } => {
                    let Some((rejection, responder, context)) = refusal.take() else {
                        return Poll::Pending;
                    };
                    let response = responder.respond(rejection, &context);
                    return Poll::Ready(Ok(response.map(ResponseBody::refusal)));
                }
                StateProj::Wait { waiting } => {
                    let Some(held) = waiting else {
                        return Poll::Pending;
                    };
                    let decision = ready!(held.later.as_mut().poll(cx));
                    let Some(held) = waiting.take() else {
                        return Poll::Pending;
                    };
                    held.go_on(decision)
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> Waiting<S, B> {
    fn go_on(self, decision: Result<Decision, Unavailable>) -> State<S::Future, S, B>
    where
        S: Service<Request<B>>,
    {
        let Self { later: _, limits, asks, responder, context, mut inner, request } = self;
        match limits.judge(&asks, decision.as_ref(), &context) {
            Ok(decision) => {
                let due = decision
                    .and_then(|decision| Due::new(&limits, &asks, decision, request.method()));
                State::Pass { future: inner.call(request), due }
            }
            Err(rejection) => State::Refuse { refusal: Some((rejection, responder, context)) },
        }
    }
}

impl<F, S, B> fmt::Debug for ResponseFuture<F, S, B> {
    // Without the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Pass { .. } => "pass",
            State::Wait { .. } => "wait",
            State::Refuse { .. } => "refuse",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
