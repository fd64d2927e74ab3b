//! A response body that owns something until it is dropped.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Bytes, HttpBody},
    http::Response,
};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    pub(crate) struct Held<B, O> {
        #[pin]
        body: B,
        owned: O,
    }
}

impl<B, O> Held<B, O> {
    pub(crate) const fn new(body: B, owned: O) -> Self {
        Self { body, owned }
    }

    pub(crate) fn of_response(response: Response<B>, owned: O) -> Response<Self> {
        response.map(|body| Self::new(body, owned))
    }
}

impl<B: HttpBody<Data = Bytes>, O> HttpBody for Held<B, O> {
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
