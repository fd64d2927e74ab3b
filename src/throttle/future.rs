use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use super::ResponseBody;
use crate::{
    context::RequestContext,
    rejection::{Rejection, Responder},
};

pin_project! {
    /// The future of [`Throttle`](super::Throttle).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, S, B> {
        #[pin]
        state: State<F>,
        // Whoever waits for a shared store needs both.
        later: PhantomData<fn(S, B)>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Refused { refused: Option<(Rejection, Responder, RequestContext)> },
        Passing { #[pin] future: F },
    }
}

impl<F, S, B> ResponseFuture<F, S, B> {
    pub(super) const fn refused(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let refused = Some((rejection, responder, context));
        Self { state: State::Refused { refused }, later: PhantomData }
    }

    pub(super) const fn passing(future: F) -> Self {
        Self { state: State::Passing { future }, later: PhantomData }
    }
}

impl<F, S, B, R, E> Future for ResponseFuture<F, S, B>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Passing { future } => {
                Poll::Ready(Ok(ready!(future.poll(cx))?.map(ResponseBody::inner)))
            }
            StateProj::Refused { refused } => {
                let Some((rejection, responder, context)) = refused.take() else {
                    return Poll::Pending;
                };
                Poll::Ready(Ok(responder.respond(rejection, &context)))
            }
        }
    }
}

impl<F, S, B> fmt::Debug for ResponseFuture<F, S, B> {
    // Without the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Refused { .. } => "refused",
            State::Passing { .. } => "passing",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
