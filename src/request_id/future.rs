use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Response};
use pin_project_lite::pin_project;
use tracing::Span;

use super::{
    body::ResponseBody,
    in_span::InSpan,
    inbound::{X_AMZN_REQUESTID, X_REQUEST_ID},
    span,
};
use crate::context::RequestContext;

pin_project! {
    /// The future of [`RequestId`](super::RequestId).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: InSpan<F>,
        // `None` when an outer layer sets the header.
        id: Option<HeaderValue>,
        extras: Option<Box<Extras>>,
    }
}

/// Boxed, because few responses need it and the future is moved with each request.
#[derive(Debug)]
struct Extras {
    /// For the span. `None` when nobody listens.
    context: Option<RequestContext>,
    /// Whether the id goes into `x-amzn-requestid` too.
    amzn: bool,
}

impl<F> ResponseFuture<F> {
    pub(super) const fn unchanged(inner: F) -> Self {
        let inner = InSpan { inner: Some(inner), span: Span::none() };
        Self { inner, id: None, extras: None }
    }

    pub(super) fn new(
        inner: F,
        span: Span,
        id: HeaderValue,
        context: &RequestContext,
        amzn: bool,
    ) -> Self {
        let context = (!span.is_disabled()).then(|| context.clone());
        let extras = (amzn || context.is_some()).then(|| Box::new(Extras { context, amzn }));
        Self { inner: InSpan { inner: Some(inner), span }, id: Some(id), extras }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let inner = this.inner.project();
        let _entered = inner.span.enter();
        let Some(future) = inner.inner.as_pin_mut() else { return Poll::Pending };
        let result = ready!(future.poll(cx));
        let extras = this.extras.take();
        if let Some(context) = extras.as_ref().and_then(|extras| extras.context.as_ref()) {
            span::end(inner.span, context, result.as_ref().ok().map(Response::status));
        }
        let mut response = result?;
        if let Some(id) = this.id.take() {
            let headers = response.headers_mut();
            if extras.is_some_and(|extras| extras.amzn) {
                headers.insert(X_AMZN_REQUESTID, id.clone());
            }
            headers.insert(X_REQUEST_ID, id);
        }
        Poll::Ready(Ok(response.map(|body| ResponseBody {
            inner: InSpan { inner: Some(body), span: inner.span.clone() },
        })))
    }
}
