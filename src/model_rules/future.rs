use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::list::{Accepted, List, Reading};
use crate::{
    body::ResponseBody,
    context::RequestContext,
    rejection::{Rejection, Responder},
};

pin_project! {
    /// The future of [`EnforceModelRules`](super::EnforceModelRules).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, R> {
        #[pin]
        state: State<F, R>,
        responder: Responder,
        context: RequestContext,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R> {
        // `None` once it was answered.
        Refused { rejection: Option<Rejection> },
        Passing { #[pin] future: F },
        Listing { #[pin] future: F, list: Option<Box<List>> },
        // Boxed, as the list is: requests that pass need no room for it.
        Reading { reading: Box<Reading<R>> },
    }
}

impl<F, R> ResponseFuture<F, R> {
    pub(super) const fn refused(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { state: State::Refused { rejection: Some(rejection) }, responder, context }
    }

    pub(super) const fn passing(future: F, responder: Responder, context: RequestContext) -> Self {
        Self { state: State::Passing { future }, responder, context }
    }

    pub(super) fn listing(
        future: F,
        list: List,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let list = Some(Box::new(list));
        Self { state: State::Listing { future, list }, responder, context }
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
            // ## Listing => (Reading | Refused)
            // ## Reading => Refused
            let next = match this.state.as_mut().project() {
                StateProj::Passing { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                StateProj::Refused { rejection } => {
                    // `None` when it is polled after it was ready.
                    let Some(rejection) = rejection.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(this.responder.respond(rejection, this.context)));
                }
                StateProj::Listing { future, list } => {
                    let response = ready!(future.poll(cx))?;
                    let Some(list) = list.take() else { return Poll::Pending };
                    match list.accept(response) {
                        Ok(Accepted::Whole(response)) => return Poll::Ready(Ok(response)),
                        Ok(Accepted::Reading(reading)) => {
                            State::Reading { reading: Box::new(reading) }
                        }
                        Err(rejection) => State::Refused { rejection: Some(rejection) },
                    }
                }
                StateProj::Reading { reading } => match ready!(reading.poll(cx)) {
                    Ok(response) => return Poll::Ready(Ok(response)),
                    Err(rejection) => State::Refused { rejection: Some(rejection) },
                },
            };
            this.state.set(next);
        }
    }
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    // Without the answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ResponseFuture")
            .field(match &self.state {
                State::Refused { .. } => &"refused",
                State::Passing { .. } => &"passing",
                State::Listing { .. } => &"listing",
                State::Reading { .. } => &"reading",
            })
            .finish()
    }
}
