use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Response, Version, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    body::{ResponseBody, TimedBody},
    deadlines::{Deadlines, deadline},
    failure::{log_failure, log_timeout},
    slots::Slot,
};
use crate::{
    body::{self, WatchedBody},
    context::RequestContext,
    hop_by_hop,
    rejection::{Refusal, Rejection, Responder},
};

pin_project! {
    /// Response future for [`Upstream`](super::Upstream). Dropping it drops the future of the HTTP
    /// client.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        state: ResponseState<F>,
        responder: Responder,
        context: RequestContext,
    }
}

pin_project! {
    #[project = ResponseStateProj]
    #[derive(Debug)]
    enum ResponseState<F> {
        // `None` after completion.
        Reject { rejection: Option<Rejection> },
        Pass { #[pin] call: UpstreamCall<F> },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn reject(
        rejection: Rejection,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        let state = ResponseState::Reject { rejection: Some(rejection) };
        Self { state, responder, context }
    }

    pub(super) const fn pass(
        call: UpstreamCall<F>,
        responder: Responder,
        context: RequestContext,
    ) -> Self {
        Self { state: ResponseState::Pass { call }, responder, context }
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
        let result = match this.state.as_mut().project() {
            ResponseStateProj::Reject { rejection } => match rejection.take() {
                Some(rejection) => Err(rejection),
                // A poll after completion stays pending.
                None => return Poll::Pending,
            },
            ResponseStateProj::Pass { call } => ready!(call.poll(cx, this.context)),
        };
        // Drops the client's future and a connection attempt at once.
        this.state.set(ResponseState::Reject { rejection: None });
        Poll::Ready(Ok(result.unwrap_or_else(|rejection| {
            this.responder.respond(rejection, this.context).map(ResponseBody::new)
        })))
    }
}

pin_project! {
    /// A call of the HTTP client with its deadline and its slot.
    #[derive(Debug)]
    pub(super) struct UpstreamCall<F> {
        #[pin]
        future: F,
        // Created by the first poll that has to wait.
        #[pin]
        timer: Option<Sleep>,
        started: Option<Instant>,
        deadlines: Arc<Deadlines>,
        is_for_head: bool,
        slot: Option<Slot>,
    }
}

impl<F> UpstreamCall<F> {
    pub(super) const fn new(
        future: F,
        deadlines: Arc<Deadlines>,
        is_for_head: bool,
        slot: Slot,
    ) -> Self {
        Self { future, timer: None, started: None, deadlines, is_for_head, slot: Some(slot) }
    }
}

impl<F, R, E> UpstreamCall<F>
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
                // The response is put together once, because each time moves it.
                let (mut head, body) = response.into_parts();
                if let Err(rejection) = forward(&mut head, context) {
                    return Poll::Ready(Err(rejection));
                }
                let deadlines = Arc::clone(this.deadlines);
                let body = TimedBody::new(body, deadlines, *this.started, context.clone());
                let body = WatchedBody::of_head(body, &head, *this.is_for_head, slot);
                let body = ResponseBody::new(body::ResponseBody::inner(body));
                Poll::Ready(Ok(Response::from_parts(head, body)))
            }
            Poll::Ready(Err(error)) => {
                log_failure("the upstream cannot be reached", Some(context), error);
                Poll::Ready(Err(Rejection::new(Refusal::UpstreamUnavailable)))
            }
            Poll::Pending => {
                if this.timer.is_none() {
                    let started = *this.started.insert(Instant::now());
                    let (_setter, timeout) = this.deadlines.before_head();
                    this.timer.set(deadline(Some(started), timeout).map(sleep_until));
                }
                match this.timer.as_mut().as_pin_mut().map(|timer| timer.poll(cx)) {
                    Some(Poll::Ready(())) => {
                        let (setter, timeout) = this.deadlines.before_head();
                        log_timeout(setter, timeout, context);
                        Poll::Ready(Err(Rejection::new(Refusal::UpstreamTimeout)))
                    }
                    Some(Poll::Pending) | None => Poll::Pending,
                }
            }
        }
    }
}

/// Turns the head of the upstream's response into the one that the gateway sends.
fn forward(head: &mut Parts, context: &RequestContext) -> Result<(), Rejection> {
    // A rejection of a layer further in does not come from the upstream.
    if head.extensions.get::<Rejection>().is_none() {
        context.set_upstream_status(head.status);
    }
    // HTTP clients skip interim responses (RFC 9110 section 15.2). The remaining case is 101, which
    // is wrong because `upgrade` was removed from the request.
    if head.status.is_informational() {
        return Err(Rejection::new(Refusal::UpstreamUnavailable)
            .with_detail("the upstream did not complete its response"));
    }
    hop_by_hop::strip_connection_headers(&mut head.headers);
    // The version is hop-by-hop too (RFC 9110 section 2.5). A server would respond in HTTP/1.0 to a
    // response that says 1.0.
    head.version = Version::HTTP_11;
    Ok(())
}
