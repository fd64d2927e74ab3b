//! The call that several wait for.

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
    block::Blocks,
    fields::Fields,
    flight::{End, Source, Step},
    head::{Chunk, Head},
    listing::Listing,
    record::{Plan, Recorder},
    second::{Looked, Turn},
    status::is_failure,
    tier::TierFuture,
};
use crate::{
    body::{WatchedBody, content_length},
    payload::Payload,
};

pin_project! {
    /// A look into the second tier, if there is one; the inner service's call; and then the body of
    /// its answer.
    pub(super) struct Call<S, F, R> {
        #[pin]
        state: State<S, F, R>,
        // Struck off the list with the source, so when the flight is over.
        listing: Option<Listing>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F, R> {
        // Boxed: a call that is under way needs no place for it.
        Looking { looking: TierFuture<Looked>, departure: Option<Box<Departure<S>>> },
        Calling { #[pin] future: F, plan: Option<Plan>, method: Method },
        Answering { #[pin] body: WatchedBody<R, Recorder>, blocks: Blocks },
        Over,
    }
}

/// What is given now, if there is anything, and what comes then.
type Next<S, F, R> = (Option<Step<Head, Chunk>>, State<S, F, R>);

/// A call that is yet to be made.
pub(super) struct Departure<S> {
    /// Made ready.
    pub(super) inner: S,
    pub(super) request: Request<Payload>,
    pub(super) plan: Plan,
}

/// What is for the originator alone.
pub(super) enum Unshared<R, E> {
    /// A refusal of our own, or what is for one caller by its own words.
    Answer(Response<R>),
    Error(E),
    Panic(Box<dyn Any + Send>),
}

impl<S, F, R> Call<S, F, R> {
    pub(super) const fn new(future: F, plan: Plan, method: Method, listing: Listing) -> Self {
        let state = State::Calling { future, plan: Some(plan), method };
        Self { state, listing: Some(listing) }
    }

    /// Calls if nothing is found.
    pub(super) fn after(
        looking: TierFuture<Looked>,
        departure: Departure<S>,
        listing: Listing,
    ) -> Self {
        let departure = Some(Box::new(departure));
        Self { state: State::Looking { looking, departure }, listing: Some(listing) }
    }
}

impl<S, R> Source<Head, Chunk> for Call<S, S::Future, R>
where
    S: Service<Request<Payload>, Response = Response<R>> + Send,
    S::Future: Send,
    S::Error: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        waits: bool,
    ) -> Poll<Step<Head, Chunk>> {
        let mut this = self.project();
        loop {
            let (step, next) = match this.state.as_mut().project() {
                StateProj::Looking { looking, departure } => {
                    let looked = ready!(looking.as_mut().poll(cx));
                    match (looked, departure.take()) {
                        (Looked::Found(entry), Some(departure)) => {
                            departure.plan.found(&entry);
                            (Some(Step::Head(Head::found(entry))), State::Over)
                        }
                        (Looked::Nothing(turn), Some(departure)) => departure.depart(turn),
                        (_, None) => (None, State::Over),
                    }
                }
                StateProj::Calling { future, plan, method } => {
                    // The originator unwinds with it, whoever polled.
                    let outcome = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                        Ok(polled) => ready!(polled).map_err(Unshared::Error),
                        Err(panic) => Err(Unshared::Panic(panic)),
                    };
                    arrived(outcome, plan.take(), method)
                }
                StateProj::Answering { body, blocks } => {
                    let end = match next_frame(body, cx) {
                        Some(polled) => match ready!(polled) {
                            Ok(frame) => {
                                let blocks = waits.then_some(blocks);
                                return Poll::Ready(Step::Piece(chunk(frame, blocks)));
                            }
                            Err(end) => end,
                        },
                        None => End::Broken,
                    };
                    (Some(Step::End(end)), State::Over)
                }
                StateProj::Over => return Poll::Ready(Step::End(End::Complete)),
            };
            this.state.set(next);
            if let Some(Step::Head(head)) = &step
                && head.found.is_some()
            {
                // Whoever comes and does not take it begins another flight.
                *this.listing = None;
            }
            if let Some(step) = step {
                return Poll::Ready(step);
            }
        }
    }
}

impl<S, R> Departure<S>
where
    S: Service<Request<Payload>, Response = Response<R>>,
    S::Error: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
{
    fn depart(self, turn: Turn) -> Next<S, S::Future, R> {
        let Self { mut inner, request, plan } = self;
        let plan = plan.depart(Some(turn));
        let method = request.method().clone();
        // The originator unwinds with it, whoever polled.
        match catch_unwind(AssertUnwindSafe(|| inner.call(request))) {
            Ok(future) => (None, State::Calling { future, plan: Some(plan), method }),
            Err(panic) => (Some(unshared::<R, S::Error>(Unshared::Panic(panic))), State::Over),
        }
    }
}

/// An answer's head; or what there is in its place.
fn arrived<S, F, R, E>(
    outcome: Result<Response<R>, Unshared<R, E>>,
    plan: Option<Plan>,
    method: &Method,
) -> Next<S, F, R>
where
    R: Body<Data = Bytes> + Send + 'static,
    E: Send + 'static,
{
    let Some(plan) = plan else { return (Some(Step::End(End::Broken)), State::Over) };
    let failed = match &outcome {
        Ok(response) => is_failure(response.status()),
        Err(Unshared::Error(_)) => true,
        Err(_) => false,
    };
    if failed && let Some(entry) = plan.fallback() {
        return (Some(Step::Head(Head::found(entry))), State::Over);
    }
    match outcome {
        Ok(response) if plan.is_shared(&response) => {
            let (head, body, blocks) = answer(response, plan, method);
            (Some(Step::Head(head)), State::Answering { body, blocks })
        }
        Ok(response) => (Some(unshared(Unshared::<R, E>::Answer(response))), State::Over),
        Err(failure) => (Some(unshared(failure)), State::Over),
    }
}

/// `None` when the body panicked, for which whoever polled it is as little to blame as the others.
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

/// What readers get of a frame: a copy, where there are blocks for it.
fn chunk(frame: Frame<Bytes>, blocks: Option<&mut Blocks>) -> Chunk {
    match (frame.into_data(), blocks) {
        (Ok(data), Some(blocks)) => Chunk::Data(blocks.copy(&data)),
        (Ok(data), None) => Chunk::Data(data),
        (Err(frame), blocks) => {
            let trailers = Fields::from(&frame.into_trailers().unwrap_or_default());
            Chunk::Trailers(match blocks {
                Some(blocks) => trailers.copy_into(blocks),
                None => trailers,
            })
        }
    }
}

fn unshared<R: Send + 'static, E: Send + 'static>(outcome: Unshared<R, E>) -> Step<Head, Chunk> {
    Step::End(End::Unshared(Box::new(outcome)))
}

/// An answer's head, and its body under the eyes of a recorder.
fn answer<R: Body<Data = Bytes>>(
    response: Response<R>,
    plan: Plan,
    method: &Method,
) -> (Head, WatchedBody<R, Recorder>, Blocks) {
    let (parts, body) = response.into_parts();
    let length = content_length(&parts.headers).or_else(|| body.size_hint().exact());
    // What the watch looks at, while the recorder has the rest.
    let mut seen = Response::new(body);
    *seen.status_mut() = parts.status;
    if let Some(length) = parts.headers.get(CONTENT_LENGTH) {
        seen.headers_mut().insert(CONTENT_LENGTH, length.clone());
    }
    let (head, recorder, blocks) = plan.begin(parts, length);
    (head, WatchedBody::of_response(seen, method, recorder).into_body(), blocks)
}
