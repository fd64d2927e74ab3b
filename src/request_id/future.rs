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
    span::SpanEnd,
};

pin_project! {
    /// The future of [`RequestId`](super::RequestId).
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: InSpan<F>,
        // `None` when an outer layer sets the header.
        id: Option<HeaderValue>,
        amzn: bool,
        end: SpanEnd,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn unchanged(inner: F) -> Self {
        let inner = InSpan { inner: Some(inner), span: Span::none() };
        Self { inner, id: None, amzn: false, end: SpanEnd::none() }
    }

    pub(super) const fn new(
        inner: F,
        span: Span,
        end: SpanEnd,
        id: HeaderValue,
        amzn: bool,
    ) -> Self {
        Self { inner: InSpan { inner: Some(inner), span }, id: Some(id), amzn, end }
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
        let mut response = ready!(future.poll(cx))?;
        this.end.respond(inner.span, response.status());
        if let Some(id) = this.id.take() {
            let headers = response.headers_mut();
            if *this.amzn {
                headers.insert(X_AMZN_REQUESTID, id.clone());
            }
            headers.insert(X_REQUEST_ID, id);
        }
        Poll::Ready(Ok(response.map(|body| ResponseBody {
            inner: InSpan { inner: Some(body), span: inner.span.clone() },
        })))
    }
}
