use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::ResponseBody,
    exchange::Exchange,
    leader::{Leader, NewFlight},
    lookup::Lookup,
};
#[cfg(all(feature = "fallback", feature = "model-rules"))]
use crate::model::Judge;
use crate::{
    body,
    cache::{
        counts::CacheEvent,
        entry::{Entry, EntryState},
        flight::{Admission, Chunk, FlightEvent, Head, Reader},
    },
    context::{CacheOutcome, Layer},
    payload::Payload,
    rejection::{Refusal, Rejection, Responder},
};

pin_project! {
    /// Response future of [`Cache`](super::Cache).
    pub struct ResponseFuture<F, S> {
        #[pin]
        state: State<F, S>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, S> {
        Pass { #[pin] future: F, exchange: Option<Exchange> },
        Unchanged { #[pin] future: F },
        Lead { leader: Option<Leader> },
        // Boxed: a follower waits long and has its request with it.
        Follow { follower: Option<Box<Follower<S>>> },
        Hit { hit: Option<(Entry, Duration, Exchange)> },
        Reject { rejected: Option<(Rejection, Responder, Exchange)> },
    }
}

/// A request that waits for the head of another request's flight.
pub(super) struct Follower<S> {
    pub(super) reader: Reader<Head, Chunk>,
    /// Ready, because the request may have to call itself.
    pub(super) inner: S,
    pub(super) request: Request<Payload>,
    pub(super) lookup: Lookup,
    pub(super) exchange: Exchange,
    /// Flights that ended without a response for this request.
    pub(super) failures: u32,
}

/// The number of failed flights after which a request calls the upstream alone. Without a bound, the
/// last of many requests for a slow failure would wait for all the others.
const MAX_FAILURES: u32 = 2;

impl<F, S> ResponseFuture<F, S> {
    pub(super) const fn unchanged(future: F) -> Self {
        Self { state: State::Unchanged { future } }
    }

    pub(super) const fn pass(future: F, exchange: Exchange) -> Self {
        Self { state: State::Pass { future, exchange: Some(exchange) } }
    }

    pub(super) const fn lead(leader: Leader) -> Self {
        Self { state: State::Lead { leader: Some(leader) } }
    }

    pub(super) fn follow(follower: Follower<S>) -> Self {
        Self { state: State::Follow { follower: Some(Box::new(follower)) } }
    }

    pub(super) const fn hit(entry: Entry, now: Duration, exchange: Exchange) -> Self {
        Self { state: State::Hit { hit: Some((entry, now, exchange)) } }
    }

    pub(super) const fn reject(
        rejection: Rejection,
        responder: Responder,
        exchange: Exchange,
    ) -> Self {
        Self { state: State::Reject { rejected: Some((rejection, responder, exchange)) } }
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
            // A future that has been ready stays pending.
            let next = match this.state.as_mut().project() {
                StateProj::Pass { future, exchange: slot } => {
                    let Some(exchange) = slot else { return Poll::Pending };
                    let outcome = ready!(future.poll(cx));
                    let entry = match &outcome {
                        Ok(response) => exchange.fallback(response.status()),
                        Err(_) => exchange.stale.take(),
                    };
                    let response = match entry {
                        Some(entry) => Ok(exchange.stand_in(entry)),
                        None => outcome.map(|response| exchange.pass(response)),
                    };
                    *slot = None;
                    return Poll::Ready(response);
                }
                StateProj::Unchanged { future } => {
                    let response = ready!(future.poll(cx))?;
                    let body = response.map(body::ResponseBody::inner);
                    return Poll::Ready(Ok(body.map(ResponseBody::plain)));
                }
                StateProj::Hit { hit } => {
                    let Some((entry, now, exchange)) = hit.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(exchange.hit_at(entry, now)));
                }
                StateProj::Reject { rejected } => {
                    let Some((rejection, responder, exchange)) = rejected.take() else {
                        return Poll::Pending;
                    };
                    let response = responder.respond(rejection, &exchange.context);
                    return Poll::Ready(Ok(response.map(ResponseBody::plain)));
                }
                StateProj::Lead { leader: slot } => {
                    let Some(leader) = slot else { return Poll::Pending };
                    let event = ready!(leader.reader.poll_next(cx));
                    let Some(leader) = slot.take() else { return Poll::Pending };
                    return Poll::Ready(leader.respond(event));
                }
                StateProj::Follow { follower: slot } => {
                    let Some(follower) = slot else { return Poll::Pending };
                    let event = ready!(follower.reader.poll_next(cx));
                    let Some(follower) = slot.take() else { return Poll::Pending };
                    match event {
                        FlightEvent::Head(head) if follower.accepts(&head) => {
                            match follower.may_get(&head) {
                                Some(true) => return Poll::Ready(Ok(follower.respond(&head))),
                                Some(false) => follower.reject(),
                                None => follower.retry(),
                            }
                        }
                        _ => follower.retry(),
                    }
                }
            };
            this.state.set(next);
        }
    }
}

impl<S> Follower<S> {
    /// Returns whether the request accepts an entry that the leader has found in the second tier.
    fn accepts(&self, head: &Head) -> bool {
        let control = &self.lookup.control;
        head.found.as_ref().is_none_or(|entry| {
            let now = self.exchange.engine.now();
            let is_stale = entry.state(now) != EntryState::Fresh && control.accepts_stale();
            is_stale || control.accepts(entry, now)
        })
    }

    /// Returns whether the model rules of this caller allow what serves in place of the judged model.
    /// `None` when this is not certain.
    #[cfg(all(feature = "fallback", feature = "model-rules"))]
    fn may_get(&self, head: &Head) -> Option<bool> {
        match &head.fallback {
            Some(call) => Judge::all_allow_served(&self.exchange.context, call.served().as_deref()),
            None => Some(true),
        }
    }

    #[cfg(not(all(feature = "fallback", feature = "model-rules")))]
    #[expect(clippy::unused_self, reason = "the same name as with model rules")]
    const fn may_get(&self, _head: &Head) -> Option<bool> {
        Some(true)
    }

    /// Rejects a caller whose model rules do not allow the shared response.
    fn reject<F>(self) -> State<F, S> {
        let rejection = Rejection::new(Refusal::Forbidden)
            .with_detail("this model or its provider is not allowed");
        let format = self.exchange.engine.settings().rejections;
        let responder = format.for_layer(Layer::Cache, &self.request);
        State::Reject { rejected: Some((rejection, responder, self.exchange)) }
    }

    fn respond<R>(mut self, head: &Head) -> Response<ResponseBody<R>> {
        match head.found.clone().or_else(|| self.exchange.fallback(head.status)) {
            Some(entry) => self.exchange.hit(entry),
            None => self.exchange.follow(head, self.reader),
        }
    }

    /// Joins or begins another flight, or calls the upstream alone.
    fn retry<R>(mut self: Box<Self>) -> State<S::Future, S>
    where
        S: Service<Request<Payload>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Send + 'static,
        S::Future: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        self.failures += 1;
        let engine = self.exchange.engine.clone();
        if self.failures < MAX_FAILURES {
            let validity = engine.validity(&self.request, &self.exchange.context);
            match engine.admit(&self.lookup, &validity, &self.exchange.context) {
                Admission::Found(entry) => {
                    return State::Hit { hit: Some((entry, engine.now(), self.exchange)) };
                }
                Admission::Follower(reader) => {
                    self.reader = reader;
                    return State::Follow { follower: Some(self) };
                }
                Admission::Leader(reader, number) => {
                    let Self { mut inner, request, lookup, exchange, .. } = *self;
                    let responder = engine.settings().rejections.for_layer(Layer::Cache, &request);
                    let flight = NewFlight { reader, number, validity };
                    let leader = flight.launch(&mut inner, request, &lookup, exchange, responder);
                    return State::Lead { leader: Some(leader) };
                }
                Admission::Full => {}
            }
        }
        let Self { mut inner, request, exchange, .. } = *self;
        exchange.record(CacheOutcome::Miss, CacheEvent::Miss);
        State::Pass { future: inner.call(request), exchange: Some(exchange) }
    }
}

impl<F, S> fmt::Debug for ResponseFuture<F, S> {
    // Without the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Pass { .. } | State::Unchanged { .. } => "pass",
            State::Lead { .. } => "lead",
            State::Follow { .. } => "follow",
            State::Hit { .. } => "hit",
            State::Reject { .. } => "reject",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish()
    }
}
