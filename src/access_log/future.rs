use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{body::ResponseBody, open_record::OpenRecord};
use crate::{
    body::{self, BodyEnd},
    rejection::PendingRejection,
};

pin_project! {
    /// The future of [`AccessLog`](super::AccessLog). Its drop before the head cancels the request.
    pub struct ResponseFuture<F> {
        // Dropped before the record, which shows what the drop notes in the context.
        #[pin]
        state: State<F>,
        record: OpenRecord,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Pass { #[pin] inner: F },
        // Boxed, because few requests are rejected.
        Reject { pending: Option<Box<PendingRejection>> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: F, record: OpenRecord) -> Self {
        Self { state: State::Pass { inner }, record }
    }

    pub(super) fn reject(pending: PendingRejection, record: OpenRecord) -> Self {
        Self { state: State::Reject { pending: Some(Box::new(pending)) }, record }
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
        let result = match this.state.project() {
            StateProj::Pass { inner } => {
                this.record.enter_service();
                let polled = inner.poll(cx);
                this.record.leave_service();
                ready!(polled).map(|response| response.map(body::ResponseBody::inner))
            }
            StateProj::Reject { pending } => match pending.take() {
                Some(pending) => Ok(pending.respond()),
                // A poll after completion stays pending.
                None => return Poll::Pending,
            },
        };
        let mut record = this.record.take();
        if result.is_err() {
            record.close(BodyEnd::Error);
        }
        Poll::Ready(result.map(|response| ResponseBody::new(response, record)))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("record", &self.record).finish_non_exhaustive()
    }
}
