use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;

use super::{body::ResponseBody, response_filter::ResponseFilter};
use crate::{
    context::RequestContext,
    rejection::{Refusal, Rejection, Responder},
};

pin_project! {
    /// Response future for [`HfToken`](super::HfToken).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: ResponseState<F>,
        responder: Responder,
        context: RequestContext,
    }
}

pin_project! {
    #[project = ResponseStateProj]
    #[derive(Debug)]
    enum ResponseState<F> {
        // `None` after completion.
        Reject { rejection: Option<Rejection> },
        Pass { #[pin] future: F, filter: Option<ResponseFilter> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn reject(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = ResponseState::Reject { rejection: Some(rejection) };
        Self { state, responder, context }
    }

    pub(super) const fn pass(
        future: F,
        filter: ResponseFilter,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = ResponseState::Pass { future, filter: Some(filter) };
        Self { state, responder, context }
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
        let result = match this.state.project() {
            ResponseStateProj::Reject { rejection } => rejection.take().map(Err),
            ResponseStateProj::Pass { future, filter } => {
                let response = ready!(future.poll(cx)?);
                filter.take().map(|filter| filtered(response, filter, this.context))
            }
        };
        match result {
            Some(Ok(response)) => Poll::Ready(Ok(response)),
            Some(Err(rejection)) => {
                let response = this.responder.respond(rejection, this.context);
                Poll::Ready(Ok(response.map(ResponseBody::rejection)))
            }
            // A poll after completion stays pending.
            None => Poll::Pending,
        }
    }
}

/// Returns the upstream's response as the gateway sends it.
fn filtered<R>(
    mut response: Response<R>,
    filter: ResponseFilter,
    context: &RequestContext,
) -> Result<Response<ResponseBody<R>>, Rejection> {
    let status = response.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
        context.set_upstream_status(status);
        tracing::warn!(status = status.as_u16(), "the upstream rejected the gateway's token");
        return Err(Rejection::new(Refusal::UpstreamUnavailable)
            .with_detail("the upstream rejected the gateway's token"));
    }
    response.extensions_mut().clear();
    filter.apply(response.headers_mut());
    Ok(response.map(|body| ResponseBody::filtered(body, filter)))
}
