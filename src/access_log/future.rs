use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

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
    /// Calls the inner service. A function of its own, so that the future is made in its place.
    #[inline(never)]
    pub(super) fn pass<S, R>(inner: &mut S, request: R, record: &mut OpenRecord) -> Self
    where
        S: Service<R, Future = F>,
    {
        record.enter_service();
        let inner = inner.call(request);
        record.leave_service();
        Self { state: State::Pass { inner }, record: record.take() }
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
        match this.state.project() {
            StateProj::Pass { inner } => {
                this.record.enter_service();
                let polled = inner.poll(cx);
                this.record.leave_service();
                match polled {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok(response)) => {
                        let wrap = body::ResponseBody::inner;
                        Poll::Ready(Ok(ResponseBody::new(response, wrap, this.record.take())))
                    }
                    Poll::Ready(Err(error)) => {
                        this.record.take().close(BodyEnd::Error);
                        Poll::Ready(Err(error))
                    }
                }
            }
            StateProj::Reject { pending } => match pending.take() {
                Some(pending) => {
                    let (response, record) = (pending.respond(), this.record.take());
                    Poll::Ready(Ok(ResponseBody::new(response, |body| body, record)))
                }
                // A poll after completion stays pending.
                None => Poll::Pending,
            },
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("record", &self.record).finish_non_exhaustive()
    }
}
