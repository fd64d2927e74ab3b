use std::{
    error::Error,
    fmt,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    ResponseBody,
    ask::Ask,
    body::Adoption,
    call::Unshared,
    counts::Event,
    entry::{self, Entry},
    flight::{News, Reader},
    flights::Entered,
    head::{Chunk, Head},
    service::Leg,
    ticket::Ticket,
};
use crate::{
    context::CacheOutcome,
    payload::Payload,
    rejection::{Refusal, Rejection, Responder},
};

pin_project! {
    /// An answer that was kept, one that is shared, the inner service's, or a refusal. Made by
    /// [`Cache`](super::Cache).
    pub struct ResponseFuture<F, S> {
        #[pin]
        state: State<F, S>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, S> {
        Pass { #[pin] future: F, ticket: Option<Ticket> },
        Originate { originating: Option<Originating> },
        // Boxed: what waits for others waits long, and has its request with it.
        Follow { waiting: Option<Box<Waiting<S>>> },
        Hit { hit: Option<(Entry, Ticket)> },
        Refuse { refusal: Option<(Rejection, Responder, Ticket)> },
    }
}

/// A request that has begun a flight.
pub(super) struct Originating {
    pub(super) reader: Reader<Head, Chunk>,
    pub(super) ticket: Ticket,
    pub(super) adoption: Adoption,
    pub(super) responder: Responder,
}

/// A request that waits for the head of a flight that another has begun.
pub(super) struct Waiting<S> {
    pub(super) reader: Reader<Head, Chunk>,
    /// Made ready, should it have to call itself.
    pub(super) inner: S,
    pub(super) request: Request<Payload>,
    pub(super) ask: Ask,
    pub(super) ticket: Ticket,
    /// How many flights it was sent away from.
    pub(super) tries: u32,
}

/// So many flights may come to nothing before a request calls for itself alone. Were there no
/// end, of many requests for what fails slowly the last would wait for all the others.
const MOST_TRIES: u32 = 2;

impl<F, S> ResponseFuture<F, S> {
    pub(super) const fn pass(future: F, ticket: Ticket) -> Self {
        Self { state: State::Pass { future, ticket: Some(ticket) } }
    }

    pub(super) const fn originate(originating: Originating) -> Self {
        Self { state: State::Originate { originating: Some(originating) } }
    }

    pub(super) fn follow(waiting: Waiting<S>) -> Self {
        Self { state: State::Follow { waiting: Some(Box::new(waiting)) } }
    }

    pub(super) const fn hit(entry: Entry, ticket: Ticket) -> Self {
        Self { state: State::Hit { hit: Some((entry, ticket)) } }
    }

    pub(super) const fn refuse(rejection: Rejection, responder: Responder, ticket: Ticket) -> Self {
        Self { state: State::Refuse { refusal: Some((rejection, responder, ticket)) } }
    }
}

impl<F, S, R, E> Future for ResponseFuture<F, S>
where
    F: Future<Output = Result<Response<R>, E>> + Send + 'static,
    S: Service<Request<Payload>, Response = Response<R>, Error = E, Future = F>
        + Clone
        + Send
        + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
    E: Send + 'static,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            // What was taken is gone: never ready again.
            let next = match this.state.as_mut().project() {
                StateProj::Pass { future, ticket } => {
                    let Some(held) = ticket else { return Poll::Pending };
                    let outcome = ready!(future.poll(cx));
                    let answer = match &outcome {
                        Ok(response) => held.stands_in(response.status()),
                        Err(_) => held.fallback.take(),
                    };
                    let answer = match answer {
                        Some(entry) => Ok(held.hit(entry)),
                        None => outcome.map(|response| held.pass(response)),
                    };
                    *ticket = None;
                    return Poll::Ready(answer);
                }
                StateProj::Hit { hit } => {
                    let Some((entry, ticket)) = hit.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(ticket.hit(entry)));
                }
                StateProj::Refuse { refusal } => {
                    let Some((rejection, responder, ticket)) = refusal.take() else {
                        return Poll::Pending;
                    };
                    let response = responder.respond(rejection, &ticket.context);
                    return Poll::Ready(Ok(response.map(ResponseBody::plain)));
                }
                StateProj::Originate { originating } => {
                    let Some(held) = originating else { return Poll::Pending };
                    let news = ready!(held.reader.poll_next(cx));
                    let Some(held) = originating.take() else { return Poll::Pending };
                    return Poll::Ready(held.answer(news));
                }
                StateProj::Follow { waiting } => {
                    let Some(held) = waiting else { return Poll::Pending };
                    let news = ready!(held.reader.poll_next(cx));
                    let Some(held) = waiting.take() else { return Poll::Pending };
                    match news {
                        News::Head(head) if held.takes(&head) => {
                            return Poll::Ready(Ok(held.answer(&head)));
                        }
                        _ => held.go_on(),
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl Originating {
    fn answer<R, E>(mut self, news: News<Head, Chunk>) -> Result<Response<ResponseBody<R>>, E>
    where
        R: 'static,
        E: 'static,
    {
        let unshared = match news {
            News::Head(head) => {
                let entry = head.found.clone().or_else(|| self.ticket.stands_in(head.status));
                return Ok(match entry {
                    Some(entry) => self.ticket.hit(entry),
                    None => self.ticket.first(&head, self.reader, self.adoption),
                });
            }
            News::Unshared(unshared) => unshared.downcast::<Unshared<R, E>>().ok(),
            // It was cut off before it looked for its head.
            _ => None,
        };
        self.adoption.adopt();
        match unshared.map(|unshared| *unshared) {
            Some(Unshared::Panic(panic)) => resume_unwind(panic),
            Some(Unshared::Error(error)) => match self.ticket.fallback.take() {
                Some(entry) => Ok(self.ticket.hit(entry)),
                None => Err(error),
            },
            Some(Unshared::Answer(response)) => {
                Ok(match self.ticket.stands_in(response.status()) {
                    Some(entry) => self.ticket.hit(entry),
                    None => self.ticket.pass(response),
                })
            }
            None => {
                let rejection = Rejection::new(Refusal::UpstreamUnavailable);
                let response = self.responder.respond(rejection, &self.ticket.context);
                Ok(response.map(ResponseBody::plain))
            }
        }
    }
}

impl<S> Waiting<S> {
    /// Whether it takes what another has looked for, if it was found.
    fn takes(&self, head: &Head) -> bool {
        let control = &self.ask.control;
        head.found.as_ref().is_none_or(|entry| {
            let now = self.ticket.layer.now();
            let stands_in = entry.state(now) != entry::State::Fresh && control.takes_stale();
            stands_in || control.takes(entry, now)
        })
    }

    fn answer<R>(mut self, head: &Head) -> Response<ResponseBody<R>> {
        match head.found.clone().or_else(|| self.ticket.stands_in(head.status)) {
            Some(entry) => self.ticket.hit(entry),
            None => self.ticket.follow(head, self.reader),
        }
    }

    /// The flight was none of its own: it takes part in the next, or calls for itself.
    fn go_on<R>(mut self: Box<Self>) -> State<S::Future, S>
    where
        S: Service<Request<Payload>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Send + 'static,
        S::Future: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        self.tries += 1;
        let layer = self.ticket.layer.clone();
        if self.tries < MOST_TRIES {
            let start = layer.start(&self.request, &self.ticket.context);
            match layer.enter(&self.ask, &start) {
                Entered::Found(entry) => {
                    return State::Hit { hit: Some((entry, self.ticket)) };
                }
                Entered::Joined(reader) => {
                    self.reader = reader;
                    return State::Follow { waiting: Some(self) };
                }
                Entered::Own(reader, number) => {
                    let Self { mut inner, request, ask, ticket, .. } = *self;
                    let responder = layer.settings().rejections.for_request(&request);
                    let leg = Leg { reader, number, start };
                    let originating = leg.originate(&mut inner, request, &ask, ticket, responder);
                    return State::Originate { originating: Some(originating) };
                }
                Entered::Full => {}
            }
        }
        let Self { mut inner, request, ticket, .. } = *self;
        ticket.outcome(CacheOutcome::Miss, Event::Miss);
        State::Pass { future: inner.call(request), ticket: Some(ticket) }
    }
}

impl<F, S> fmt::Debug for ResponseFuture<F, S> {
    // Without the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Pass { .. } => "pass",
            State::Originate { .. } => "originate",
            State::Follow { .. } => "follow",
            State::Hit { .. } => "hit",
            State::Refuse { .. } => "refuse",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
