use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use pin_project_lite::pin_project;
use tracing::field::display;

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
        // `None` when the layer is disabled and rejects nothing.
        responder: Option<(Responder, RequestContext)>,
    }
}

pin_project! {
    #[project = ResponseStateProj]
    #[derive(Debug)]
    enum ResponseState<F> {
        // `None` after completion.
        Reject { rejection: Option<Rejection> },
        Pass { #[pin] future: F, filter: Option<ResponseFilter> },
        Unchanged { #[pin] future: F },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn reject(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = ResponseState::Reject { rejection: Some(rejection) };
        Self { state, responder: Some((responder, context)) }
    }

    pub(super) const fn unchanged(future: F) -> Self {
        Self { state: ResponseState::Unchanged { future }, responder: None }
    }

    pub(super) const fn pass(
        future: F,
        filter: ResponseFilter,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = ResponseState::Pass { future, filter: Some(filter) };
        Self { state, responder: Some((responder, context)) }
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
        let response = match this.state.project() {
            ResponseStateProj::Unchanged { future } => {
                let response = ready!(future.poll(cx)?);
                return Poll::Ready(Ok(response.map(ResponseBody::unchanged)));
            }
            ResponseStateProj::Reject { rejection } => Err(rejection.take()),
            ResponseStateProj::Pass { future, filter } => {
                let response = ready!(future.poll(cx)?);
                Ok((response, filter.take()))
            }
        };
        // A poll after completion stays pending.
        let Some((responder, context)) = this.responder.take() else { return Poll::Pending };
        let result = match response {
            Ok((response, Some(filter))) => filtered(response, filter, &context),
            Err(Some(rejection)) => Err(rejection),
            Ok((_, None)) | Err(None) => return Poll::Pending,
        };
        Poll::Ready(Ok(result.unwrap_or_else(|rejection| {
            responder.respond(rejection, &context).map(ResponseBody::rejection)
        })))
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
        let upstream = context.upstream().map(display);
        tracing::warn!(
            upstream,
            status = status.as_u16(),
            header = %filter.token_header(),
            "the upstream rejected the gateway's token; check the token of HfTokenLayer and the header \
             that HfTokenLayer::profile names"
        );
        return Err(Rejection::new(Refusal::UpstreamUnavailable)
            .with_detail("the upstream rejected the gateway's token"));
    }
    response.extensions_mut().clear();
    filter.apply(response.headers_mut());
    Ok(response.map(|body| ResponseBody::filtered(body, filter)))
}
