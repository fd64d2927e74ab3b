use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::{ResponseBody, hide_usage};
use crate::{context::RequestContext, payload::Payload, rejection::PendingRejection};

pin_project! {
    /// Response future for [`Transform`](super::Transform).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: ResponseState<F>,
    }
}

pin_project! {
    #[project = ResponseStateProj]
    enum ResponseState<F> {
        // `None` after completion.
        Reject { pending: Option<PendingRejection> },
        // With the context of a request whose client must not see the usage chunk.
        Pass { #[pin] future: F, hide_usage: Option<RequestContext> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn reject(pending: PendingRejection) -> Self {
        Self { state: ResponseState::Reject { pending: Some(pending) } }
    }

    /// Passes a request on. A function of its own, so that the future is made in its place.
    #[inline(never)]
    pub(super) fn pass<S>(
        inner: &mut S,
        request: Request<Payload>,
        hide_usage: &mut Option<RequestContext>,
    ) -> Self
    where
        S: Service<Request<Payload>, Future = F>,
    {
        let future = inner.call(request);
        Self { state: ResponseState::Pass { future, hide_usage: hide_usage.take() } }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            ResponseStateProj::Pass { future, hide_usage: context } => {
                future.poll(cx).map_ok(|response| match context.take() {
                    Some(context) => hide_usage(response, &context),
                    None => response.map(ResponseBody::inner),
                })
            }
            ResponseStateProj::Reject { pending } => {
                // A poll after completion stays pending.
                let Some(pending) = pending.take() else { return Poll::Pending };
                Poll::Ready(Ok(pending.respond().map(ResponseBody::unchanged)))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    // Without the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            ResponseState::Reject { .. } => "reject",
            ResponseState::Pass { .. } => "pass",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
