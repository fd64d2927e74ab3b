use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Response, Version};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    Deadlines,
    body::{ResponseBody, TimedBody, expiry},
    failure,
    slots::Slot,
};
use crate::{
    body::{self, WatchedBody},
    context::RequestContext,
    hop_by_hop,
    rejection::{Refusal, Rejection, Responder},
};

pin_project! {
    /// The future of [`Upstream`](super::Upstream). Dropping it drops the client's.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
        responder: Responder,
        context: RequestContext,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        // `None` once it was answered: what was called is gone by then.
        Refused { rejection: Option<Rejection> },
        Calling { #[pin] call: Call<F> },
    }
}

pin_project! {
    #[derive(Debug)]
    pub(super) struct Call<F> {
        #[pin]
        future: F,
        // Made when there is something to wait for.
        #[pin]
        timer: Option<Sleep>,
        started: Option<Instant>,
        deadlines: Deadlines,
        method: Method,
        slot: Option<Slot>,
    }
}

impl<F> Call<F> {
    pub(super) const fn new(future: F, deadlines: Deadlines, method: Method, slot: Slot) -> Self {
        Self { future, timer: None, started: None, deadlines, method, slot: Some(slot) }
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn refused(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { state: State::Refused { rejection: Some(rejection) }, responder, context }
    }

    pub(super) const fn calling(
        call: Call<F>,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { state: State::Calling { call }, responder, context }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Output = Result<Response<ResponseBody<R>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let answer = match this.state.as_mut().project() {
            StateProj::Refused { rejection } => match rejection.take() {
                Some(rejection) => Err(rejection),
                // Polled after it was ready.
                None => return Poll::Pending,
            },
            StateProj::Calling { call } => match call.poll(cx, this.context) {
                Poll::Ready(answer) => answer,
                Poll::Pending => return Poll::Pending,
            },
        };
        // The client's future, and with it a connection that is waited for, goes now.
        this.state.set(State::Refused { rejection: None });
        Poll::Ready(Ok(match answer {
            Ok(response) => response,
            Err(rejection) => {
                this.responder.respond(rejection, this.context).map(ResponseBody::new)
            }
        }))
    }
}

impl<F, R, E> Call<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        context: &RequestContext,
    ) -> Poll<Result<Response<ResponseBody<R>>, Rejection>> {
        let mut this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(Ok(response)) => {
                let Some(slot) = this.slot.take() else { return Poll::Pending };
                Poll::Ready(accept(response, context).map(|response| {
                    let timed = |body| TimedBody::new(body, *this.deadlines, *this.started);
                    WatchedBody::of_response(response.map(timed), this.method, slot)
                        .map(body::ResponseBody::inner)
                        .map(ResponseBody::new)
                }))
            }
            Poll::Ready(Err(error)) => {
                failure::warn("the upstream cannot be reached", error);
                Poll::Ready(Err(Rejection::new(Refusal::UpstreamUnavailable)))
            }
            Poll::Pending => {
                if this.timer.is_none() {
                    let started = *this.started.insert(Instant::now());
                    let patience = this.deadlines.head.min(this.deadlines.total);
                    let deadline = expiry(Some(started), patience);
                    this.timer.set(deadline.map(sleep_until));
                }
                match this.timer.as_mut().as_pin_mut().map(|timer| timer.poll(cx)) {
                    Some(Poll::Ready(())) => {
                        Poll::Ready(Err(Rejection::new(Refusal::UpstreamTimeout)))
                    }
                    Some(Poll::Pending) | None => Poll::Pending,
                }
            }
        }
    }
}

/// Makes the upstream's answer one of ours.
fn accept<R>(
    mut response: Response<R>,
    context: &RequestContext,
) -> Result<Response<R>, Rejection> {
    // A refusal of a layer further in is not the upstream's word.
    if response.extensions().get::<Rejection>().is_none() {
        context.set_upstream_status(response.status());
    }
    // Clients swallow what is interim (RFC 9110 section 15.2). One that gets here is a switch of
    // protocols, which nobody asked for: `upgrade` was removed on the way out.
    if response.status().is_informational() {
        return Err(Rejection::new(Refusal::UpstreamUnavailable)
            .with_detail("the upstream did not finish its answer"));
    }
    hop_by_hop::strip_connection_fields(response.headers_mut());
    // The version, too, is of the connection (RFC 9110 section 2.5): a server that is given 1.0
    // answers in 1.0.
    *response.version_mut() = Version::HTTP_11;
    Ok(response)
}
