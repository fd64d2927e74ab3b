use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{body::ResponseBody, rejection::PendingRejection};

pin_project! {
    /// Response future for [`NameRoute`](super::NameRoute).
    pub struct ResponseFuture<F> {
        #[pin]
        state: ResponseState<F>,
    }
}

pin_project! {
    #[project = ResponseStateProj]
    enum ResponseState<F> {
        Pass { #[pin] future: F },
        // Boxed, because few requests are rejected.
        Reject { pending: Option<Box<PendingRejection>> },
    }
}

impl<F> ResponseFuture<F> {
    /// Passes a request on. A function of its own, so that the future is made in its place.
    #[inline(never)]
    pub(super) fn pass<S, B>(inner: &mut S, request: Request<B>) -> Self
    where
        S: Service<Request<B>, Future = F>,
    {
        Self { state: ResponseState::Pass { future: inner.call(request) } }
    }

    pub(super) fn reject(pending: PendingRejection) -> Self {
        Self { state: ResponseState::Reject { pending: Some(Box::new(pending)) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            ResponseStateProj::Pass { future } => {
                future.poll(cx).map_ok(|response| response.map(ResponseBody::inner))
            }
            ResponseStateProj::Reject { pending } => {
                // A poll after completion stays pending.
                pending.take().map_or(Poll::Pending, |pending| Poll::Ready(Ok(pending.respond())))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            ResponseState::Pass { .. } => "pass",
            ResponseState::Reject { .. } => "reject",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
