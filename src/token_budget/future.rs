use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::ResponseBody,
    reservation::{Reservation, ReservationRequest},
};
use crate::{
    limits::{Decision, StoreFuture, StoreUnavailable},
    payload::Payload,
    rejection::{PendingRejection, Responder},
};

pin_project! {
    /// The response future of [`TokenBudget`](super::TokenBudget).
    ///
    /// Dropping it before the response head charges the estimate of the prompt.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, S> {
        #[pin]
        state: State<F, S>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, S> {
        // Without a reservation where nothing is charged.
        Pass {
            #[pin]
            future: F,
            reservation: Option<Reservation>,
            is_for_head: bool,
            hide_usage: bool,
        },
        // Boxed, since only a shared store makes requests wait, and that costs a round trip.
        Wait { waiting: Option<Box<Waiting<S>>> },
        Reject { pending: Option<PendingRejection> },
    }
}

/// A request that waits for a shared store.
pub(super) struct Waiting<S> {
    pub(super) decision: StoreFuture<Result<Decision, StoreUnavailable>>,
    pub(super) reservation: ReservationRequest,
    pub(super) hide_usage: bool,
    pub(super) responder: Responder,
    pub(super) inner: S,
    pub(super) request: Request<Payload>,
}

impl<F, S> ResponseFuture<F, S> {
    /// Passes a request on. A function of its own, so that the future is made in its place.
    #[inline(never)]
    pub(super) fn pass(
        inner: &mut S,
        request: Request<Payload>,
        reservation: &mut Option<Reservation>,
        hide_usage: bool,
    ) -> Self
    where
        S: Service<Request<Payload>, Future = F>,
    {
        let is_for_head = request.method() == Method::HEAD;
        let future = inner.call(request);
        let reservation = reservation.take();
        Self { state: State::Pass { future, reservation, is_for_head, hide_usage } }
    }

    pub(super) fn wait(waiting: Waiting<S>) -> Self {
        Self { state: State::Wait { waiting: Some(Box::new(waiting)) } }
    }

    pub(super) const fn reject(pending: PendingRejection) -> Self {
        Self { state: State::Reject { pending: Some(pending) } }
    }
}

impl<F, S, R, E> Future for ResponseFuture<F, S>
where
    F: Future<Output = Result<Response<R>, E>>,
    S: Service<Request<Payload>, Future = F>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Pass { future, reservation, is_for_head, hide_usage } => {
                    return match future.poll(cx) {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(Ok(mut response)) => {
                            Poll::Ready(Ok(match reservation.take() {
                                Some(mut own) => {
                                    own.on_response(&mut response);
                                    ResponseBody::settling(response, *is_for_head, own, *hide_usage)
                                }
                                None => response.map(ResponseBody::inner),
                            }))
                        }
                        Poll::Ready(Err(error)) => {
                            *reservation = None;
                            Poll::Ready(Err(error))
                        }
                    };
                }
                StateProj::Reject { pending } => {
                    let Some(pending) = pending.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(pending.respond().map(ResponseBody::plain)));
                }
                StateProj::Wait { waiting } => {
                    let Some(request) = waiting else { return Poll::Pending };
                    let decision = ready!(request.decision.as_mut().poll(cx));
                    let Some(request) = waiting.take() else { return Poll::Pending };
                    request.proceed(decision)
                }
            };
            this.state.set(next);
        }
    }
}

impl<S: Service<Request<Payload>>> Waiting<S> {
    fn proceed(self, decision: Result<Decision, StoreUnavailable>) -> State<S::Future, S> {
        let Self { decision: _, reservation, hide_usage, responder, mut inner, request } = self;
        match reservation.finish(decision) {
            Ok(reservation) => {
                let is_for_head = request.method() == Method::HEAD;
                let future = inner.call(request);
                State::Pass { future, reservation: Some(reservation), is_for_head, hide_usage }
            }
            Err((rejection, context)) => {
                State::Reject { pending: Some(responder.pending(rejection, context)) }
            }
        }
    }
}

impl<F, S> fmt::Debug for ResponseFuture<F, S> {
    // Without the request, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Pass { .. } => "pass",
            State::Wait { .. } => "wait",
            State::Reject { .. } => "reject",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
