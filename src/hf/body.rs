use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Scrub;
use crate::body;

pin_project! {
    /// The upstream's body, its trailers without the token; or a refusal.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        body: body::ResponseBody<B>,
        scrub: Option<Scrub>,
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn scrubbed(body: B, scrub: Scrub) -> Self {
        Self { body: body::ResponseBody::inner(body), scrub: Some(scrub) }
    }

    pub(super) const fn refusal(body: body::ResponseBody<B>) -> Self {
        Self { body, scrub: None }
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
        if let (Some(Ok(frame)), Some(scrub)) = (&mut polled, this.scrub)
            && let Some(trailers) = frame.trailers_mut()
        {
            scrub.clean(trailers);
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
