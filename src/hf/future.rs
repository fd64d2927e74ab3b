use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{ResponseBody, Scrub};
use crate::{
    context::RequestContext,
    rejection::{Refusal, Rejection, Responder},
};

pin_project! {
    /// The future of [`HfToken`](super::HfToken).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
        responder: Responder,
        context: RequestContext,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        // `None` once it was answered.
        Refused { rejection: Option<Rejection> },
        Calling { #[pin] future: F, scrub: Option<Scrub> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn refused(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { state: State::Refused { rejection: Some(rejection) }, responder, context }
    }

    pub(super) const fn calling(
        future: F,
        scrub: Scrub,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { state: State::Calling { future, scrub: Some(scrub) }, responder, context }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = match this.state.project() {
            StateProj::Refused { rejection } => rejection.take().map(Err),
            StateProj::Calling { future, scrub } => {
                let response = ready!(future.poll(cx)?);
                scrub.take().map(|scrub| accept(response, scrub, this.context))
            }
        };
        match answer {
            Some(Ok(response)) => Poll::Ready(Ok(response)),
            Some(Err(rejection)) => {
                let response = this.responder.respond(rejection, this.context);
                Poll::Ready(Ok(response.map(ResponseBody::refusal)))
            }
            // Polled after it was ready.
            None => Poll::Pending,
        }
    }
}

fn accept<R>(
    mut response: Response<R>,
    scrub: Scrub,
    context: &RequestContext,
) -> Result<Response<ResponseBody<R>>, Rejection> {
    let status = response.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
        context.set_upstream_status(status);
        tracing::warn!(status = status.as_u16(), "the upstream refused the gateway's token");
        return Err(Rejection::new(Refusal::UpstreamUnavailable)
            .with_detail("the upstream refused the gateway's token"));
    }
    response.extensions_mut().clear();
    scrub.clean(response.headers_mut());
    Ok(response.map(|body| ResponseBody::scrubbed(body, scrub)))
}
