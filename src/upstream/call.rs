use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response, Version, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    body::{ResponseBody, TimedBody},
    busy::BusyResponse,
    deadlines::deadline,
    failure::{log_failure, log_timeout},
    peek::{Peek, Peekable},
    settings::Settings,
};
use crate::{
    body::{self, WatchedBody},
    context::RequestContext,
    hop_by_hop,
    load_limit::LoadPermit,
    log_limit::{LogLimit, warn_if_due},
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
        // `None` after completion.
        parts: Option<ResponseParts>,
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
        let parts = ResponseParts { settings, started, is_for_head, slot };
        Self { future, timer: None, parts: Some(parts) }
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
    ) -> Poll<Result<Called<R>, Rejection>> {
        let mut this = self.project();
        match context.in_attempt(|| this.future.poll(cx)) {
            Poll::Ready(Ok(response)) => {
                let Some(parts) = this.parts.take() else { return Poll::Pending };
                let (mut head, body) = response.into_parts();
                if let Err(rejection) = forward(&mut head, &parts.settings.log, context) {
                    return Poll::Ready(Err(rejection));
                }
                // A rejection of a layer further in has its own wait.
                let is_ours = head.extensions.get::<Rejection>().is_some();
                if let Some(busy) = BusyResponse::of(&head, parts.is_for_head, context)
                    && !is_ours
                {
                    if busy.wants_body() {
                        let peek = Peek::new(body, parts.settings.deadlines.first_byte);
                        let peeking = Peeking { peek, busy, parts: Some((head, parts)) };
                        return Poll::Ready(Ok(Called::Peeking(Box::new(peeking))));
                    }
                    parts.settings.conclude(busy, &mut head, &[], context);
                }
                Poll::Ready(Ok(Called::Response { head, body, parts }))
            }
            Poll::Ready(Err(error)) => {
                let Some(parts) = this.parts.take() else { return Poll::Pending };
                let log = &parts.settings.log;
                log_failure("the upstream cannot be reached", log, Some(context), error);
                Poll::Ready(Err(Rejection::new(Refusal::UpstreamUnavailable)))
            }
            Poll::Pending => {
                let Some(parts) = this.parts else { return Poll::Pending };
                if this.timer.is_none() {
                    let started = *parts.started.get_or_insert_with(Instant::now);
                    let (_setter, timeout) = parts.settings.deadlines.before_head();
                    this.timer.set(deadline(Some(started), timeout).map(sleep_until));
                }
                match this.timer.as_mut().as_pin_mut().map(|timer| timer.poll(cx)) {
                    Some(Poll::Ready(())) => {
                        let (setter, timeout) = parts.settings.deadlines.before_head();
                        log_timeout(setter, timeout, &parts.settings.log, context);
                        Poll::Ready(Err(Rejection::new(Refusal::UpstreamTimeout)))
                    }
                    Some(Poll::Pending) | None => Poll::Pending,
                }
            }
        }
    }
}

/// The end of a call.
pub(super) enum Called<R> {
    /// The caller puts the response together, because each other place would move it.
    Response { head: Parts, body: R, parts: ResponseParts },
    /// The head waits for the start of its body.
    Peeking(Box<Peeking<R>>),
}

/// The head of a response whose body may say more about it.
pub(super) struct Peeking<R> {
    peek: Peek<R>,
    busy: BusyResponse,
    parts: Option<(Parts, ResponseParts)>,
}

/// The parts that a response takes over from its call.
#[derive(Debug)]
pub(super) struct ResponseParts {
    settings: Arc<Settings>,
    // When the request was queued, or else when the call first waited.
    started: Option<Instant>,
    is_for_head: bool,
    slot: LoadPermit,
}

impl<R> Peeking<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        context: &RequestContext,
    ) -> Poll<Response<ResponseBody<R>>> {
        let Some((_, parts)) = &self.parts else { return Poll::Pending };
        let (body, start) = ready!(self.peek.poll(cx, &parts.settings.log, context));
        // A poll after completion stays pending.
        let Some((mut head, parts)) = self.parts.take() else { return Poll::Pending };
        parts.settings.conclude(self.busy, &mut head, &start, context);
        Poll::Ready(parts.respond_with(head, body, context))
    }
}

impl<R> fmt::Debug for Peeking<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peeking").field("peek", &self.peek).finish_non_exhaustive()
    }
}

impl ResponseParts {
    /// Returns the response with its unread body.
    pub(super) fn respond<R>(
        self,
        head: Parts,
        body: R,
        context: &RequestContext,
    ) -> Response<ResponseBody<R>>
    where
        R: Body<Data = Bytes>,
        R::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.respond_with(head, Peekable::Unread { body }, context)
    }

    fn respond_with<R>(
        self,
        head: Parts,
        body: Peekable<R>,
        context: &RequestContext,
    ) -> Response<ResponseBody<R>>
    where
        R: Body<Data = Bytes>,
        R::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let body = TimedBody::new(body, self.settings, self.started, context.clone());
        let body = WatchedBody::of_head(body, &head, self.is_for_head, self.slot);
        let body = ResponseBody::new(body::ResponseBody::inner(body));
        Response::from_parts(head, body)
    }
}

/// The size of a head as HTTP/2 counts it. hyper's clients take no more over HTTP/2, and some of the
/// gateway's clients are such.
const MAX_HEADER_LIST_SIZE: usize = 16 * 1024;

/// Returns the size of a head (RFC 9113 section 6.5.2).
fn header_list_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

/// Turns the head of the upstream's response into the one that the gateway sends.
fn forward(head: &mut Parts, log: &LogLimit, context: &RequestContext) -> Result<(), Rejection> {
    // A rejection of a layer further in does not come from the upstream.
    if head.extensions.get::<Rejection>().is_none() {
        context.set_upstream_status(head.status);
        // The layer of the token has removed what repeats the token.
        context.note_response(head.status, &head.headers, |_| false);
    }
    context.set_upstream_state(None);
    // HTTP clients skip interim responses (RFC 9110 section 15.2). The remaining case is 101, which
    // is wrong because `upgrade` was removed from the request.
    if head.status.is_informational() {
        return Err(Rejection::new(Refusal::UpstreamUnavailable)
            .with_detail("the upstream did not complete its response"));
    }
    if header_list_size(&head.headers) > MAX_HEADER_LIST_SIZE {
        let upstream = context.upstream();
        warn_if_due!(
            log.is_due("large head", upstream.unwrap_or_default()),
            upstream = upstream.map(display),
            "the head of the upstream's response is larger than 16 KiB"
        );
        return Err(Rejection::new(Refusal::InvalidUpstreamResponse)
            .with_detail("the head of the upstream's response is too large"));
    }
    hop_by_hop::strip_connection_headers(&mut head.headers);
    // The version is hop-by-hop too (RFC 9110 section 2.5). A server would respond in HTTP/1.0 to a
    // response that says 1.0.
    head.version = Version::HTTP_11;
    Ok(())
}
