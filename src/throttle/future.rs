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

use super::{body::ResponseBody, on_response::OnResponse};
use crate::{
    context::{Layer, RequestContext},
    limits::{Decision, LimitSet, PermitRequests, StoreFuture, StoreUnavailable},
    rejection::{PendingRejection, Responder},
};

pin_project! {
    /// The response future of [`Throttle`](super::Throttle).
    ///
    /// Dropping it gives permits in flight back. Rates and quotas keep the request's permits. If it is
    /// dropped while a shared store decides, the store may still take them.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, S, B> {
        #[pin]
        state: State<F, S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, S, B> {
        Pass { #[pin] future: F, on_response: Option<OnResponse> },
        // Boxed, since only a shared store makes requests wait, and that costs a round trip.
        Wait { waiting: Option<Box<Waiting<S, B>>> },
        Reject { pending: Option<PendingRejection> },
    }
}

/// A request that waits for a shared store.
pub(super) struct Waiting<S, B> {
    pub(super) place: Layer,
    pub(super) decision: StoreFuture<Result<Decision, StoreUnavailable>>,
    pub(super) limits: Arc<LimitSet>,
    pub(super) permit_requests: PermitRequests,
    pub(super) responder: Responder,
    pub(super) context: RequestContext,
    pub(super) inner: S,
    pub(super) request: Request<B>,
}

impl<F, S, B> ResponseFuture<F, S, B> {
    /// Passes a request on. A function of its own, so that the future is made in its place.
    #[inline(never)]
    pub(super) fn pass(inner: &mut S, request: Request<B>) -> Self
    where
        S: Service<Request<B>, Future = F>,
    {
        Self { state: State::Pass { future: inner.call(request), on_response: None } }
    }

    pub(super) const fn acting(future: F, on_response: OnResponse) -> Self {
        Self { state: State::Pass { future, on_response: Some(on_response) } }
    }

    pub(super) fn wait(waiting: Waiting<S, B>) -> Self {
        Self { state: State::Wait { waiting: Some(Box::new(waiting)) } }
    }

    pub(super) const fn reject(pending: PendingRejection) -> Self {
        Self { state: State::Reject { pending: Some(pending) } }
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
                StateProj::Pass { future, on_response } => {
                    return match future.poll(cx) {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(Ok(mut response)) => {
                            let release = on_response
                                .take()
                                .and_then(|on_response| on_response.apply(&mut response));
                            Poll::Ready(Ok(match release {
                                Some(release) => ResponseBody::releasing(response, release),
                                None => response.map(ResponseBody::inner),
                            }))
                        }
                        Poll::Ready(Err(error)) => {
                            // Gives permits in flight back at once.
                            *on_response = None;
                            Poll::Ready(Err(error))
                        }
                    };
                }
                StateProj::Reject { pending } => {
                    let Some(pending) = pending.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(pending.respond().map(ResponseBody::rejection)));
                }
                StateProj::Wait { waiting } => {
                    let Some(request) = waiting else {
                        return Poll::Pending;
                    };
                    let decision = ready!(request.decision.as_mut().poll(cx));
                    let Some(request) = waiting.take() else {
                        return Poll::Pending;
                    };
                    request.proceed(decision)
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> Waiting<S, B> {
    fn proceed(self, decision: Result<Decision, StoreUnavailable>) -> State<S::Future, S, B>
    where
        S: Service<Request<B>>,
    {
        let Self { place, limits, permit_requests, responder, context, mut inner, request, .. } =
            self;
        match limits.check(&permit_requests, decision.as_ref(), &context) {
            Ok(decision) => {
                let on_response = decision.and_then(|decision| {
                    OnResponse::new(&limits, &permit_requests, decision, request.method())
                });
                context.pass(place);
                State::Pass { future: inner.call(request), on_response }
            }
            Err(rejection) => {
                State::Reject { pending: Some(responder.pending(rejection, context)) }
            }
        }
    }
}

impl<F, S, B> fmt::Debug for ResponseFuture<F, S, B> {
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
