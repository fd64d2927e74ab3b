//! The source of a flight: the second tier, then the upstream.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Method, Request, Response, header::CONTENT_LENGTH};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    flight_listing::FlightListing,
    recorder::{RecordPlan, Recorder},
};
use crate::{
    body::{WatchedBody, content_length},
    cache::{
        entry::{Blocks, HeaderList},
        flight::{Chunk, End, FlightSource, Head, Step},
        policy::is_failure,
        tier::{TierFuture, TierResult, UpstreamLease},
    },
    payload::Payload,
};

pin_project! {
    /// A shared call of the inner service.
    pub(super) struct UpstreamCall<S, F, R> {
        #[pin]
        state: State<S, F, R>,
        // Dropped with the source, so that an ended flight is no longer listed.
        listing: Option<FlightListing>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, R> {
        // The call is boxed: it would take memory in every later state.
        FindInTier { lookup: TierFuture<TierResult>, call: Option<Box<PendingCall<S>>> },
        Call { #[pin] future: F, plan: Option<RecordPlan>, method: Method },
        Respond { #[pin] body: WatchedBody<R, Recorder>, blocks: Blocks },
        Ended,
    }
}

/// A step, if there is one, and the next state.
type Next<S, F, R> = (Option<Step<Head, Chunk>>, State<S, F, R>);

/// A call that waits for the second tier.
pub(super) struct PendingCall<S> {
    /// Ready.
    pub(super) inner: S,
    pub(super) request: Request<Payload>,
    pub(super) plan: RecordPlan,
}

/// An outcome for the leader alone.
pub(super) enum NotShared<R, E> {
    /// A rejection of this crate, or a response that is private to one caller.
    Response(Response<R>),
    Error(E),
    Panic(Box<dyn Any + Send>),
}

impl<S, F, R> UpstreamCall<S, F, R> {
    pub(super) const fn new(
        future: F,
        plan: RecordPlan,
        method: Method,
        listing: FlightListing,
    ) -> Self {
        let state = State::Call { future, plan: Some(plan), method };
        Self { state, listing: Some(listing) }
    }

    /// Calls the inner service if the second tier has no response.
    pub(super) fn after(
        lookup: TierFuture<TierResult>,
        call: PendingCall<S>,
        listing: FlightListing,
    ) -> Self {
        let call = Some(Box::new(call));
        Self { state: State::FindInTier { lookup, call }, listing: Some(listing) }
    }
}

impl<S, R> FlightSource<Head, Chunk> for UpstreamCall<S, S::Future, R>
where
    S: Service<Request<Payload>, Response = Response<R>> + Send,
    S::Future: Send,
    S::Error: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        may_wait: bool,
    ) -> Poll<Step<Head, Chunk>> {
        let mut this = self.project();
        loop {
            let (step, next) = match this.state.as_mut().project() {
                StateProj::FindInTier { lookup, call } => {
                    let result = ready!(lookup.as_mut().poll(cx));
                    match (result, call.take()) {
                        (TierResult::Found(entry), Some(call)) => {
                            call.plan.store(&entry);
                            (Some(Step::Head(Head::found(entry))), State::Ended)
                        }
                        (TierResult::NotFound(lease), Some(call)) => call.start(lease),
                        (_, None) => (None, State::Ended),
                    }
                }
                StateProj::Call { future, plan, method } => {
                    // A panic unwinds in the leader, whichever reader polls.
                    let outcome = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                        Ok(polled) => ready!(polled).map_err(NotShared::Error),
                        Err(panic) => Err(NotShared::Panic(panic)),
                    };
                    head_of(outcome, plan.take(), method)
                }
                StateProj::Respond { body, blocks } => {
                    let end = match next_frame(body, cx) {
                        Some(polled) => match ready!(polled) {
                            Ok(frame) => {
                                let blocks = may_wait.then_some(blocks);
                                return Poll::Ready(Step::Piece(chunk(frame, blocks)));
                            }
                            Err(end) => end,
                        },
                        None => End::Broken,
                    };
                    (Some(Step::End(end)), State::Ended)
                }
                StateProj::Ended => return Poll::Ready(Step::End(End::Complete)),
            };
            this.state.set(next);
            if let Some(Step::Head(head)) = &step
                && head.found.is_some()
            {
                // A request that does not accept the entry must begin another flight.
                *this.listing = None;
            }
            if let Some(step) = step {
                return Poll::Ready(step);
            }
        }
    }
}

impl<S, R> PendingCall<S>
where
    S: Service<Request<Payload>, Response = Response<R>>,
    S::Error: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    fn start(self, lease: UpstreamLease) -> Next<S, S::Future, R> {
        let Self { mut inner, request, plan } = self;
        let plan = plan.start(Some(lease));
        let method = request.method().clone();
        // A panic unwinds in the leader, whichever reader polls.
        match catch_unwind(AssertUnwindSafe(|| inner.call(request))) {
            Ok(future) => (None, State::Call { future, plan: Some(plan), method }),
            Err(panic) => (Some(not_shared::<R, S::Error>(NotShared::Panic(panic))), State::Ended),
        }
    }
}

/// Returns the head of a response, or the end that replaces it.
fn head_of<S, F, R, E>(
    outcome: Result<Response<R>, NotShared<R, E>>,
    plan: Option<RecordPlan>,
    method: &Method,
) -> Next<S, F, R>
where
    R: Body<Data = Bytes> + Send + 'static,
    E: Send + 'static,
{
    let Some(plan) = plan else { return (Some(Step::End(End::Broken)), State::Ended) };
    let failed = match &outcome {
        Ok(response) => is_failure(response.status()),
        Err(NotShared::Error(_)) => true,
        Err(_) => false,
    };
    if failed && let Some(entry) = plan.fallback() {
        return (Some(Step::Head(Head::found(entry))), State::Ended);
    }
    match outcome {
        Ok(response) if plan.is_shared(&response) => {
            let (head, body, blocks) = recorded(response, plan, method);
            (Some(Step::Head(head)), State::Respond { body, blocks })
        }
        Ok(response) => (Some(not_shared(NotShared::<R, E>::Response(response))), State::Ended),
        Err(failure) => (Some(not_shared(failure)), State::Ended),
    }
}

/// Polls the next frame. Returns `None` if the body panicked, for which no reader is to blame.
fn next_frame<B: Body<Data = Bytes>>(
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Option<Poll<Result<Frame<Bytes>, End>>> {
    let poll = || {
        if body.is_end_stream() {
            return Poll::Ready(Err(End::Complete));
        }
        Poll::Ready(match ready!(body.as_mut().poll_frame(cx)) {
            None => Err(End::Complete),
            Some(Err(_)) => Err(End::Broken),
            Some(Ok(frame)) => Ok(frame),
        })
    };
    catch_unwind(AssertUnwindSafe(poll)).ok()
}

/// Returns the chunk of a frame, copied if there are blocks.
fn chunk(frame: Frame<Bytes>, blocks: Option<&mut Blocks>) -> Chunk {
    match (frame.into_data(), blocks) {
        (Ok(data), Some(blocks)) => Chunk::Data(blocks.copy(&data)),
        (Ok(data), None) => Chunk::Data(data),
        (Err(frame), blocks) => {
            let trailers = HeaderList::from(&frame.into_trailers().unwrap_or_default());
            Chunk::Trailers(match blocks {
                Some(blocks) => trailers.copy_into(blocks),
                None => trailers,
            })
        }
    }
}

fn not_shared<R: Send + 'static, E: Send + 'static>(outcome: NotShared<R, E>) -> Step<Head, Chunk> {
    Step::End(End::NotShared(Box::new(outcome)))
}

/// Splits a response into its head and its body with a recorder.
fn recorded<R: Body<Data = Bytes>>(
    response: Response<R>,
    plan: RecordPlan,
    method: &Method,
) -> (Head, WatchedBody<R, Recorder>, Blocks) {
    let (parts, body) = response.into_parts();
    let length = content_length(&parts.headers).or_else(|| body.size_hint().exact());
    // The watched body reads only the status and the length. The recorder has the rest.
    let mut watched = Response::new(body);
    *watched.status_mut() = parts.status;
    if let Some(length) = parts.headers.get(CONTENT_LENGTH) {
        watched.headers_mut().insert(CONTENT_LENGTH, length.clone());
    }
    let (head, recorder, blocks) = plan.record(parts, length);
    (head, WatchedBody::of_response(watched, method, recorder).into_body(), blocks)
}
