use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    shared_future::Waiter,
    fetcher::FetchResult,
    verifier::{Verdict, TokenVerifier},
};
use crate::{
    body::ResponseBody,
    context::RequestContext,
    rejection::{Rejection, Responder},
};

pin_project! {
    /// The answer of the inner service, or a refusal. Made by [`Auth`](super::Auth).
    pub struct ResponseFuture<F, S, B> {
        #[pin]
        state: ResponseState<F, S, B>,
    }
}

pin_project! {
    #[project = ResponseStateProj]
    enum ResponseState<F, S, B> {
        Pass { #[pin] future: F },
        // Boxed: few requests ever wait for keys, and all others would be as large.
        Wait { waiting: Option<Box<WaitingRequest<S, B>>> },
        Reject { refusal: Option<(Rejection, Responder, RequestContext)> },
    }
}

/// A request that waits for keys.
pub(super) struct WaitingRequest<S, B> {
    pub(super) waiter: Waiter<FetchResult>,
    pub(super) verifier: Arc<TokenVerifier>,
    pub(super) responder: Responder,
    pub(super) context: RequestContext,
    pub(super) inner: S,
    pub(super) request: Request<B>,
}

impl<F, S, B> ResponseFuture<F, S, B> {
    pub(super) const fn pass(future: F) -> Self {
        Self { state: ResponseState::Pass { future } }
    }

    pub(super) fn wait(waiting: WaitingRequest<S, B>) -> Self {
        Self { state: ResponseState::Wait { waiting: Some(Box::new(waiting)) } }
    }

    pub(super) const fn reject(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { state: ResponseState::Reject { refusal: Some((rejection, responder, context)) } }
    }
}

impl<F, S, B, R, E> Future for ResponseFuture<F, S, B>
where
    F: Future<Output = Result<Response<R>, E>>,
    S: Service<Request<B>, Future = F>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                ResponseStateProj::Pass { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                ResponseStateProj::Reject { refusal } => {
                    let Some((rejection, responder, context)) = refusal.take() else {
                        // Polled after its end: never ready again.
                        return Poll::Pending;
                    };
                    return Poll::Ready(Ok(responder.respond(rejection, &context)));
                }
                ResponseStateProj::Wait { waiting } => {
                    let Some(request) = waiting else {
                        return Poll::Pending;
                    };
                    // How the fetch ended is seen by the keys that are there now.
                    let _ended = ready!(Pin::new(&mut request.waiter).poll(cx));
                    let Some(request) = waiting.take() else {
                        return Poll::Pending;
                    };
                    request.resume()
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> WaitingRequest<S, B> {
    fn resume(self) -> ResponseState<S::Future, S, B>
    where
        S: Service<Request<B>>,
    {
        let Self { waiter, verifier, responder, context, mut inner, request } = self;
        // Gives the seat back.
        drop(waiter);
        match verifier.verify(request.headers(), true) {
            Verdict::Allow(identity) => {
                context.set_identity(identity);
                ResponseState::Pass { future: inner.call(request) }
            }
            Verdict::Reject(rejection) => {
                ResponseState::Reject { refusal: Some((rejection, responder, context)) }
            }
            // Not said to one that has waited.
            Verdict::Wait(waiter) => ResponseState::Wait {
                waiting: Some(Box::new(Self {
                    waiter,
                    verifier,
                    responder,
                    context,
                    inner,
                    request,
                })),
            },
        }
    }
}

impl<F, S, B> fmt::Debug for ResponseFuture<F, S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            ResponseState::Pass { .. } => "pass",
            ResponseState::Wait { .. } => "wait",
            ResponseState::Reject { .. } => "refuse",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
