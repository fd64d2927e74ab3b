use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tracing::Span;

use super::in_span::InSpan;

pin_project! {
    /// The body of the inner service, run in the request's span. It passes frames unchanged.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        pub(super) inner: InSpan<B>,
    }
}

/// An empty body.
impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { inner: InSpan { inner: Some(B::default()), span: Span::none() } }
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let inner = self.project().inner.project();
        let _entered = inner.span.enter();
        inner.inner.as_pin_mut().map_or(Poll::Ready(None), |body| body.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
