use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Response, Version, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    body::{ResponseBody, TimedBody},
    deadlines::deadline,
    failure::{log_failure, log_timeout},
    settings::Settings,
};
use crate::{
    body::{self, WatchedBody},
    context::RequestContext,
    hop_by_hop,
    load_limit::LoadPermit,
    rejection::{Refusal, Rejection},
};

pin_project! {
    /// A call of the HTTP client with its deadline and its slot.
    #[derive(Debug)]
    pub(super) struct UpstreamCall<F> {
        #[pin]
        future: F,
        // Created by the first poll that has to wait.
        #[pin]
        timer: Option<Sleep>,
        // When the request was queued, or else when the call first waited.
        started: Option<Instant>,
        settings: Arc<Settings>,
        is_for_head: bool,
        slot: Option<LoadPermit>,
    }
}

impl<F> UpstreamCall<F> {
    pub(super) const fn new(
        future: F,
        settings: Arc<Settings>,
        is_for_head: bool,
        slot: LoadPermit,
        started: Option<Instant>,
    ) -> Self {
        Self { future, timer: None, started, settings, is_for_head, slot: Some(slot) }
    }
}

impl<F, R, E> UpstreamCall<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub(super) fn poll(
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
                let settings = Arc::clone(this.settings);
                let body = TimedBody::new(body, settings, *this.started, context.clone());
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
                    let started = *this.started.get_or_insert_with(Instant::now);
                    let (_setter, timeout) = this.settings.deadlines.before_head();
                    this.timer.set(deadline(Some(started), timeout).map(sleep_until));
                }
                match this.timer.as_mut().as_pin_mut().map(|timer| timer.poll(cx)) {
                    Some(Poll::Ready(())) => {
                        let (setter, timeout) = this.settings.deadlines.before_head();
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
