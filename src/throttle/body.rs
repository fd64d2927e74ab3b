use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::in_flight::InFlight;
use crate::body::{self, WatchedBody};

pin_project! {
    /// The body of an answer, which gives back its places among those in flight at its end; or a
    /// refusal.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        body: body::ResponseBody<WatchedBody<B, InFlight>>,
    }
}

impl<B> ResponseBody<B> {
    pub(super) const fn refusal(body: body::ResponseBody<WatchedBody<B, InFlight>>) -> Self {
        Self { body }
    }
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    /// The answer to a `method` request.
    pub(super) fn of_response(
        response: Response<B>,
        method: &Method,
        in_flight: InFlight,
    ) -> Response<Self> {
        WatchedBody::of_response(response, method, in_flight)
            .map(|body| Self { body: body::ResponseBody::inner(body) })
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
