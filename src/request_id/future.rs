use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderValue, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_service::Service;
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

impl Extras {
    /// Records the head of the response, or that there is none.
    fn end(&self, span: &Span, status: Option<StatusCode>) {
        if let Some(context) = &self.context {
            span::end(span, context, status);
        }
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn unchanged<S, R>(inner: &mut S, request: R) -> Self
    where
        S: Service<R, Future = F>,
    {
        Self::pass(inner, request, &mut OnResponse { span: Span::none(), id: None, extras: None })
    }

    /// Calls the inner service. A function of its own, so that the future is made in its place.
    #[inline(never)]
    pub(super) fn pass<S, R>(inner: &mut S, request: R, own: &mut OnResponse) -> Self
    where
        S: Service<R, Future = F>,
    {
        let inner = inner.call(request);
        let span = std::mem::replace(&mut own.span, Span::none());
        Self {
            inner: InSpan { inner: Some(inner), span },
            id: own.id.take(),
            extras: own.extras.take(),
        }
    }
}

/// The layer's part of the future.
pub(super) struct OnResponse {
    span: Span,
    id: Option<HeaderValue>,
    extras: Option<Box<Extras>>,
}

impl OnResponse {
    pub(super) fn new(span: Span, id: HeaderValue, context: &RequestContext, amzn: bool) -> Self {
        let context = (!span.is_disabled()).then(|| context.clone());
        let extras = (amzn || context.is_some()).then(|| Box::new(Extras { context, amzn }));
        Self { span, id: Some(id), extras }
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
        let span = &*inner.span;
        let _entered = span.enter();
        let Some(future) = inner.inner.as_pin_mut() else { return Poll::Pending };
        match future.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(mut response)) => {
                let extras = this.extras.take();
                if let Some(extras) = &extras {
                    extras.end(span, Some(response.status()));
                }
                if let Some(id) = this.id.take() {
                    let headers = response.headers_mut();
                    if extras.is_some_and(|extras| extras.amzn) {
                        headers.insert(X_AMZN_REQUESTID, id.clone());
                    }
                    headers.insert(X_REQUEST_ID, id);
                }
                let span = span.clone();
                let in_span = |body| ResponseBody { inner: InSpan { inner: Some(body), span } };
                Poll::Ready(Ok(response.map(in_span)))
            }
            Poll::Ready(Err(error)) => {
                if let Some(extras) = this.extras.take() {
                    extras.end(span, None);
                }
                Poll::Ready(Err(error))
            }
        }
    }
}
