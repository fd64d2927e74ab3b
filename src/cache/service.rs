use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::ACCEPT_ENCODING};
use http_body::Body;
use tower_service::Service;

use super::{
    CacheLayer, ResponseBody, ResponseFuture,
    ask::{Ask, Asked, Flying},
    body::Adoption,
    call::{Call, Departure},
    counts::{Cost, Event},
    entry::{Entry, Origin, State},
    flight::Reader,
    flights::Entered,
    future::{Originating, Waiting},
    generation::Start,
    head::{Chunk, Head},
    limited::limits_output,
    listing::Listing,
    record::Plan,
    second::Search,
    status::Forward,
    ticket::Ticket,
};
use crate::{
    context::{CacheOutcome, RequestContext},
    payload::Payload,
    rejection::{Refusal, Rejection, Responder},
};

/// Answers what was answered before. Made by [`CacheLayer`].
#[derive(Clone, Debug)]
pub struct Cache<S> {
    inner: S,
    layer: CacheLayer,
}

impl<S> Cache<S> {
    pub(super) const fn new(inner: S, layer: CacheLayer) -> Self {
        Self { inner, layer }
    }
}

impl<S, R> Service<Request<Payload>> for Cache<S>
where
    S: Service<Request<Payload>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Payload>) -> Self::Future {
        let context = RequestContext::ensure(request.extensions_mut());
        let settings = self.layer.settings();
        let asked = settings.ask(&request, &context);
        let mut ticket = Ticket::new(&self.layer, context);
        let ask = match asked {
            Asked::Cache(ask) => ask,
            Asked::Bypass => {
                ticket.outcome(CacheOutcome::Bypass, Event::Bypass);
                return ResponseFuture::pass(self.inner.call(request), ticket);
            }
            Asked::Forbidden => {
                ticket.outcome(CacheOutcome::Bypass, Event::Bypass);
                let rejection = Rejection::new(Refusal::Forbidden)
                    .with_detail("cache-control is not for this caller");
                return ResponseFuture::refuse(
                    rejection,
                    settings.rejections.for_request(&request),
                    ticket,
                );
            }
        };
        ticket.warned = ask.ignored;
        if let Some(entry) = ticket.look(&ask) {
            return ResponseFuture::hit(entry, ticket);
        }
        if ask.control.only_if_cached {
            // RFC 9111 section 5.2.1.7.
            ticket.outcome(CacheOutcome::Miss, Event::Miss);
            let rejection = Rejection::new(Refusal::NotCached);
            return ResponseFuture::refuse(
                rejection,
                settings.rejections.for_request(&request),
                ticket,
            );
        }
        let start = self.layer.start(&request, &ticket.context);
        match self.layer.enter(&ask, &start) {
            Entered::Found(entry) => ResponseFuture::hit(entry, ticket),
            Entered::Full => {
                ticket.outcome(CacheOutcome::Miss, Event::Miss);
                ResponseFuture::pass(self.inner.call(request), ticket)
            }
            Entered::Own(reader, number) => {
                let leg = Leg { reader, number, start };
                let responder = settings.rejections.for_request(&request);
                let originating = leg.originate(&mut self.inner, request, &ask, ticket, responder);
                ResponseFuture::originate(originating)
            }
            Entered::Joined(reader) => {
                let inner = take_ready(&mut self.inner);
                ResponseFuture::follow(Waiting { reader, inner, request, ask, ticket, tries: 0 })
            }
        }
    }
}

/// A flight that is to be begun.
pub(super) struct Leg {
    pub(super) reader: Reader<Head, Chunk>,
    pub(super) number: u64,
    pub(super) start: Start,
}

impl Leg {
    /// Calls the inner service on behalf of all who share the answer.
    pub(super) fn originate<S, R>(
        self,
        inner: &mut S,
        mut request: Request<Payload>,
        ask: &Ask,
        ticket: Ticket,
        responder: Responder,
    ) -> Originating
    where
        S: Service<Request<Payload>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Send + 'static,
        S::Future: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        // Until it is known better.
        ticket.context.set_cache(CacheOutcome::Miss);
        let Self { reader, number, start } = self;
        // Struck off should the call panic.
        let listing = Listing::new(ticket.layer.clone(), ask.at, number);
        // What others are given must be read to be kept, and all of it.
        ticket.context.announce_answer_is_read();
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let call = ticket.context.fork();
        request.extensions_mut().insert(call.clone());
        request.extensions_mut().insert(Flying);
        let looking = ticket.layer.settings().second.as_ref().map(|second| {
            let (counters, cost) = (Arc::clone(&ticket.counters), Cost::default());
            let asker = Origin { counters, start: start.clone(), cost };
            let clock = ticket.layer.settings().clock.clone();
            second.look(Search { at: ask.at, control: ask.control, asker, clock })
        });
        let plan = Plan {
            layer: ticket.layer.clone(),
            at: ask.at,
            number,
            flight: Arc::downgrade(reader.flight()),
            ttl: ask.ttl,
            limited: limits_output(&request),
            start,
            counters: Arc::clone(&ticket.counters),
            context: call.clone(),
            started: Duration::ZERO,
            turn: None,
        };
        let adoption = Adoption { own: ticket.context.clone(), call };
        reader.launch(match looking {
            None => {
                let (plan, method) = (plan.depart(None), request.method().clone());
                Box::pin(Call::<S, _, _>::new(inner.call(request), plan, method, listing))
            }
            Some(looking) => {
                let inner = take_ready(inner);
                let departure = Departure { inner, request, plan };
                Box::pin(Call::after(looking, departure, listing))
            }
        });
        Originating { reader, ticket, adoption, responder }
    }
}

/// The readied instance is the one that is called later:
/// <https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services>
fn take_ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    std::mem::replace(inner, clone)
}

impl Ticket {
    /// What is given without a call of the upstream. What may stand in for an error is remembered.
    fn look(&mut self, ask: &Ask) -> Option<Entry> {
        let now = self.layer.now();
        let (entry, state) = self.layer.find(ask, now)?;
        if ask.control.takes(&entry, now) {
            return Some(entry);
        }
        if state == State::Fresh || !ask.control.takes_stale() {
            self.why = Forward::Request;
            return None;
        }
        self.why = Forward::Stale;
        if state == State::Stale && self.layer.is_flying(ask.at) {
            // Another one fetches it anew.
            return Some(entry);
        }
        self.fallback = Some(entry);
        None
    }
}
