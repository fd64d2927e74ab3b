use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{
    list_filter::ListFilter,
    list_reader::{ListReader, ListResponse},
};
use crate::{
    body::ResponseBody,
    context::RequestContext,
    rejection::{Rejection, Responder},
};

pin_project! {
    /// Response future for [`EnforceModelRules`](super::EnforceModelRules).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        state: ResponseState<F, R>,
        // `None` when the layer is disabled and rejects nothing.
        responder: Option<(Responder, RequestContext)>,
    }
}

pin_project! {
    #[project = ResponseStateProj]
    enum ResponseState<F, R> {
        // `None` after completion.
        Reject { rejection: Option<Rejection> },
        Pass { #[pin] future: F },
        // Boxed, because few requests are for a list.
        Filter { #[pin] future: F, filter: Option<Box<ListFilter>> },
        Read { reader: Box<ListReader<R>> },
    }
}

impl<F, R> ResponseFuture<F, R> {
    pub(super) const fn reject(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = ResponseState::Reject { rejection: Some(rejection) };
        Self { state, responder: Some((responder, context)) }
    }

    pub(super) const fn unchanged(future: F) -> Self {
        Self { state: ResponseState::Pass { future }, responder: None }
    }

    pub(super) const fn pass(future: F, responder: Responder, context: RequestContext) -> Self {
        Self { state: ResponseState::Pass { future }, responder: Some((responder, context)) }
    }

    pub(super) fn filter(
        future: F,
        filter: ListFilter,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = ResponseState::Filter { future, filter: Some(Box::new(filter)) };
        Self { state, responder: Some((responder, context)) }
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            // Filter => Read | Reject
            // Read => Reject
            let next = match this.state.as_mut().project() {
                ResponseStateProj::Pass { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                ResponseStateProj::Reject { rejection } => {
                    // A poll after completion stays pending.
                    let (Some(rejection), Some((responder, context))) =
                        (rejection.take(), &this.responder)
                    else {
                        return Poll::Pending;
                    };
                    return Poll::Ready(Ok(responder.respond(rejection, context)));
                }
                ResponseStateProj::Filter { future, filter } => {
                    let response = ready!(future.poll(cx))?;
                    let Some(filter) = filter.take() else { return Poll::Pending };
                    match ListResponse::new(*filter, response) {
                        Ok(ListResponse::Complete(response)) => return Poll::Ready(Ok(response)),
                        Ok(ListResponse::Incomplete(reader)) => {
                            ResponseState::Read { reader: Box::new(reader) }
                        }
                        Err(rejection) => ResponseState::Reject { rejection: Some(rejection) },
                    }
                }
                ResponseStateProj::Read { reader } => match ready!(reader.poll(cx)) {
                    Ok(response) => return Poll::Ready(Ok(response)),
                    Err(rejection) => ResponseState::Reject { rejection: Some(rejection) },
                },
            };
            this.state.set(next);
        }
    }
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    // Without the list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            ResponseState::Reject { .. } => "reject",
            ResponseState::Pass { .. } => "pass",
            ResponseState::Filter { .. } => "filter",
            ResponseState::Read { .. } => "read",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
