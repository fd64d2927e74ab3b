use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{response_filter::ResponseFilter, scrub::BodyScrub};
use crate::body;

pin_project! {
    /// Response body for [`HfToken`](super::HfToken): the upstream's body with filtered trailers and, on
    /// request, with a masked token, or a rejection.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        body: body::ResponseBody<B>,
        filter: Option<ResponseFilter>,
        scrub: Option<Box<BodyScrub>>,
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn filtered(
        body: B,
        filter: ResponseFilter,
        scrub: Option<Box<BodyScrub>>,
    ) -> Self {
        Self { body: body::ResponseBody::inner(body), filter: Some(filter), scrub }
    }

    pub(super) const fn unchanged(body: B) -> Self {
        Self { body: body::ResponseBody::inner(body), filter: None, scrub: None }
    }

    pub(super) const fn rejection(body: body::ResponseBody<B>) -> Self {
        Self { body, filter: None, scrub: None }
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
        let mut polled = ready!(match this.scrub {
            Some(scrub) => scrub.poll_frame(this.body, cx),
            None => this.body.poll_frame(cx),
        });
        if let (Some(Ok(frame)), Some(filter)) = (&mut polled, this.filter)
            && let Some(trailers) = frame.trailers_mut()
        {
            filter.apply(trailers);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.scrub {
            Some(scrub) => scrub.is_end_stream(&self.body),
            None => self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.scrub {
            Some(scrub) => scrub.size_hint(&self.body),
            None => self.body.size_hint(),
        }
    }
}
