use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{body::ResponseBody, open_record::OpenRecord};
use crate::body::BodyEnd;

pin_project! {
    /// The future of [`AccessLog`](super::AccessLog). Its drop before the head cancels the request.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        // Dropped before the record, which shows what the drop notes in the context.
        #[pin]
        inner: F,
        record: OpenRecord,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: F, record: OpenRecord) -> Self {
        Self { inner, record }
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
        let mut record = this.record.take();
        if result.is_err() {
            record.close(BodyEnd::Error);
        }
        Poll::Ready(result.map(|response| ResponseBody::new(response, record)))
    }
}
