use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::response_filter::ResponseFilter;
use crate::body;

pin_project! {
    /// Response body for [`HfToken`](super::HfToken): the upstream's body with filtered trailers, or a
    /// rejection.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        body: body::ResponseBody<B>,
        filter: Option<ResponseFilter>,
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn filtered(body: B, filter: ResponseFilter) -> Self {
        Self { body: body::ResponseBody::inner(body), filter: Some(filter) }
    }

    pub(super) const fn unchanged(body: B) -> Self {
        Self { body: body::ResponseBody::inner(body), filter: None }
    }

    pub(super) const fn rejection(body: body::ResponseBody<B>) -> Self {
        Self { body, filter: None }
    }
}

/// An empty body.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::rejection(body::ResponseBody::default())
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let mut polled = ready!(this.body.poll_frame(cx));
        if let (Some(Ok(frame)), Some(filter)) = (&mut polled, this.filter)
            && let Some(trailers) = frame.trailers_mut()
        {
            filter.apply(trailers);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
