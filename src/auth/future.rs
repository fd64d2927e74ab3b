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
    authentication::{Authentication, Decision},
    method::{Waited, Waiting},
};
use crate::{
    body::ResponseBody,
    context::{Layer, RequestContext},
    identity::Identity,
    lock::Lock,
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

/// A request that waits for keys or for the result of a look-up.
pub(super) struct WaitingRequest<S, B> {
    // The lock is never taken. It makes the future `Sync` whatever waits in it.
    pub(super) waiting: Lock<Waiting>,
    pub(super) authentication: Arc<Authentication>,
    pub(super) responder: Responder,
    pub(super) admission: Admission,
    pub(super) inner: S,
    pub(super) request: Request<B>,
}

/// Where the identity goes.
pub(super) struct Admission {
    pub(super) context: RequestContext,
    pub(super) extension: bool,
}

impl Admission {
    /// Hands the verified identity to the inner service.
    pub(super) fn admit<B>(
        &self,
        authentication: &Authentication,
        request: &mut Request<B>,
        identity: Arc<Identity>,
    ) {
        authentication.remove_credentials(request);
        if self.extension {
            request.extensions_mut().insert(Arc::clone(&identity));
        }
        self.context.set_identity(identity);
        self.context.pass(Layer::Auth);
    }
}

impl<F, S, B> ResponseFuture<F, S, B> {
    /// Passes a request on. A function of its own, so that the future is made in its place.
    #[inline(never)]
    pub(super) fn pass(inner: &mut S, request: Request<B>) -> Self
    where
        S: Service<Request<B>, Future = F>,
    {
        Self { state: ResponseState::Pass { future: inner.call(request) } }
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
                    return future.poll(cx).map_ok(|response| response.map(ResponseBody::inner));
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
                    let waited = ready!(request.waiting.get_mut().as_mut().poll(cx));
                    let Some(request) = waiting.take() else {
                        return Poll::Pending;
                    };
                    request.resume(waited)
                }
            };
            this.state.set(next);
        }
    }
}

impl<S, B> WaitingRequest<S, B> {
    fn resume(mut self: Box<Self>, waited: Waited) -> ResponseState<S::Future, S, B>
    where
        S: Service<Request<B>>,
    {
        let head = self.authentication.head(&self.request, &self.admission.context);
        match self.authentication.resume(&head, waited) {
            Decision::Allow(identity) => {
                let Self { authentication, admission, mut inner, mut request, .. } = *self;
                admission.admit(&authentication, &mut request, identity);
                ResponseState::Pass { future: inner.call(request) }
            }
            Decision::Reject(rejection) => {
                let pending = self.responder.pending(rejection, self.admission.context);
                ResponseState::Reject { pending: Some(pending) }
            }
            Decision::Wait(waiting) => {
                self.waiting = Lock::new(waiting);
                ResponseState::Wait { waiting: Some(self) }
            }
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
