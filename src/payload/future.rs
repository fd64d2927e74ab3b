use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::{bounded::BoundedBody, payload::Payload},
    read::reader::BodyReader,
};
use crate::{body::ResponseBody, rejection::PendingRejection};

pin_project! {
    /// The future of [`BufferPayload`](super::BufferPayload).
    pub struct ResponseFuture<B, S, F> {
        #[pin]
        state: State<B, S, F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[project_replace = StateOwn]
    enum State<B, S, F> {
        Reading { #[pin] body: BoundedBody<B>, reader: BodyReader<S> },
        Calling { #[pin] future: F },
        Rejected { rejection: PendingRejection },
        Done,
    }
}

impl<B, S, F> ResponseFuture<B, S, F> {
    pub(super) const fn reading(body: BoundedBody<B>, reader: BodyReader<S>) -> Self {
        Self { state: State::Reading { body, reader } }
    }

    pub(super) const fn calling(future: F) -> Self {
        Self { state: State::Calling { future } }
    }

    pub(super) const fn rejected(rejection: PendingRejection) -> Self {
        Self { state: State::Rejected { rejection } }
    }
}

impl<B, S, R> Future for ResponseFuture<B, S, S::Future>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    S: Service<Request<Payload>, Response = Response<R>>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            // ## Reading => (Calling | Rejected)
            // ## Rejected => Done
            let next = match state.as_mut().project() {
                StateProj::Reading { body, reader } => {
                    let read = ready!(reader.poll(body, cx));
                    match reader.finish(read) {
                        Some(Ok(future)) => State::Calling { future },
                        Some(Err(rejection)) => State::Rejected { rejection },
                        None => return Poll::Pending,
                    }
                }
                StateProj::Calling { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                StateProj::Rejected { .. } | StateProj::Done => {
                    return match state.project_replace(State::Done) {
                        StateOwn::Rejected { rejection } => Poll::Ready(Ok(rejection.respond())),
                        _ => Poll::Pending,
                    };
                }
            };
            state.set(next);
        }
    }
}

impl<B, S, F> fmt::Debug for ResponseFuture<B, S, F> {
    // Without the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResponseFuture")
            .field(match &self.state {
                State::Reading { .. } => &"reading",
                State::Calling { .. } => &"calling",
                State::Rejected { .. } => &"rejected",
                State::Done => &"done",
            })
            .finish()
    }
}
