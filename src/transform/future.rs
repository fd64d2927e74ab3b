use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{ResponseBody, body::hide};
use crate::{
    body,
    context::RequestContext,
    rejection::{Rejection, Responder},
};

pin_project! {
    /// The future of [`Transform`](super::Transform).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        // `None` once it was answered.
        Refused { refused: Option<Refused> },
        // With the context of a request whose caller must not see the usage chunk.
        Calling { #[pin] future: F, hidden_from: Option<RequestContext> },
    }
}

struct Refused {
    rejection: Rejection,
    responder: Responder,
    context: RequestContext,
}

impl<F> ResponseFuture<F> {
    pub(super) const fn refused(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let refused = Some(Refused { rejection, responder, context });
        Self { state: State::Refused { refused } }
    }

    pub(super) const fn calling(future: F, hidden_from: Option<RequestContext>) -> Self {
        Self { state: State::Calling { future, hidden_from } }
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
            StateProj::Calling { future, hidden_from } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(match hidden_from.take() {
                    Some(context) => hide(response, &context),
                    None => response.map(body::ResponseBody::inner).map(ResponseBody::plain),
                }))
            }
            StateProj::Refused { refused } => {
                let Some(Refused { rejection, responder, context }) = refused.take() else {
                    return Poll::Pending;
                };
                Poll::Ready(Ok(responder.respond(rejection, &context).map(ResponseBody::plain)))
            }
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    // Without the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Refused { .. } => "refused",
            State::Calling { .. } => "calling",
        };
        f.debug_tuple("ResponseFuture").field(&state).finish()
    }
}
