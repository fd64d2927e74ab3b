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
    keys::{FetchResult, Waiter},
    token::{TokenVerifier, Verdict},
};
use crate::{
    body::ResponseBody,
    context::RequestContext,
    identity::Identity,
    rejection::{PendingRejection, Responder},
};

pin_project! {
    /// Response future for [`Auth`](super::Auth).
    pub struct ResponseFuture<F, S, B> {
        #[pin]
        state: ResponseState<F, S, B>,
    }
}

pin_project! {
    #[project = ResponseStateProj]
    enum ResponseState<F, S, B> {
        Pass { #[pin] future: F },
        // Boxed, because few requests wait and the other variants would be as large.
        Wait { waiting: Option<Box<WaitingRequest<S, B>>> },
        Reject { pending: Option<PendingRejection> },
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
    pub(super) extension: bool,
}

/// Hands the verified identity to the inner service.
pub(super) fn admit<B>(
    request: &mut Request<B>,
    context: &RequestContext,
    identity: Arc<Identity>,
    extension: bool,
) {
    if extension {
        request.extensions_mut().insert(Arc::clone(&identity));
    }
    context.set_identity(identity);
}

impl<F, S, B> ResponseFuture<F, S, B> {
    pub(super) const fn pass(future: F) -> Self {
        Self { state: ResponseState::Pass { future } }
    }

    pub(super) fn wait(waiting: WaitingRequest<S, B>) -> Self {
        Self { state: ResponseState::Wait { waiting: Some(Box::new(waiting)) } }
    }

    pub(super) const fn reject(pending: PendingRejection) -> Self {
        Self { state: ResponseState::Reject { pending: Some(pending) } }
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
                ResponseStateProj::Reject { pending } => {
                    // A poll after completion stays pending.
                    let Some(pending) = pending.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(pending.respond()));
                }
                ResponseStateProj::Wait { waiting } => {
                    let Some(request) = waiting else {
                        return Poll::Pending;
                    };
                    // The verifier reads the outcome from the source.
                    let _outcome = ready!(Pin::new(&mut request.waiter).poll(cx));
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
        let Self { waiter, verifier, responder, context, mut inner, mut request, extension } = self;
        // Returns the wait permit.
        drop(waiter);
        match verifier.verify(request.headers(), true) {
            Verdict::Allow(identity) => {
                admit(&mut request, &context, identity, extension);
                ResponseState::Pass { future: inner.call(request) }
            }
            Verdict::Reject(rejection) => {
                ResponseState::Reject { pending: Some(responder.pending(rejection, context)) }
            }
            // Never returned for a request that has waited.
            Verdict::Wait(waiter) => ResponseState::Wait {
                waiting: Some(Box::new(Self {
                    waiter,
                    verifier,
                    responder,
                    context,
                    inner,
                    request,
                    extension,
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
            ResponseState::Reject { .. } => "reject",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
