use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{body::ResponseBody, record::Entry};
use crate::body::BodyEnd;

pin_project! {
    /// The future of [`AccessLog`](super::AccessLog). Dropped before the head, the request was
    /// cancelled.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // Dropped before the entry: what it notes in the context as it goes is part of the record.
        #[pin]
        inner: F,
        entry: Entry,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: F, entry: Entry) -> Self {
        Self { inner, entry }
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
        let result = ready!(this.inner.poll(cx));
        let mut entry = this.entry.take();
        if result.is_err() {
            entry.close(BodyEnd::Error);
        }
        Poll::Ready(result.map(|response| ResponseBody::of(response, entry)))
    }
}
