use std::{
    error::Error,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::ACCEPT_ENCODING};
use http_body::Body;
use tower_service::Service;

use super::{
    CacheLayer, ResponseBody, ResponseFuture,
    ask::{Ask, Asked, Flying},
    body::Adoption,
    call::Call,
    counts::Event,
    entry::{Entry, State},
    flight::Reader,
    flights::{Entered, Start},
    future::{Originating, Waiting},
    head::{Chunk, Head},
    listing::Listing,
    record::Plan,
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
    S: Service<Request<Payload>, Response = Response<R>> + Clone,
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
                    settings.refusals.for_request(&request),
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
                settings.refusals.for_request(&request),
                ticket,
            );
        }
        let start = self.layer.start(&request, &ticket.context);
        match self.layer.enter(&ask, &start) {
            Entered::Found((entry, _)) => ResponseFuture::hit(entry, ticket),
            Entered::Full => {
                ticket.outcome(CacheOutcome::Miss, Event::Miss);
                ResponseFuture::pass(self.inner.call(request), ticket)
            }
            Entered::Own(reader, number) => {
                let leg = Leg { reader, number, start };
                let responder = settings.refusals.for_request(&request);
                let originating = leg.originate(&mut self.inner, request, &ask, ticket, responder);
                ResponseFuture::originate(originating)
            }
            Entered::Joined(reader) => {
                // The readied instance is the one that is called later:
                // https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
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
        S: Service<Request<Payload>, Response = Response<R>>,
        S::Error: Send + 'static,
        S::Future: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        ticket.outcome(CacheOutcome::Miss, Event::Miss);
        let Self { reader, number, start } = self;
        // Struck off should the call panic.
        let listing = Listing::new(ticket.layer.clone(), ask.at, number);
        // What others are given must be read to be kept, and all of it.
        ticket.context.announce_answer_is_read();
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let call = ticket.context.fork();
        request.extensions_mut().insert(call.clone());
        request.extensions_mut().insert(Flying);
        let method = request.method().clone();
        let plan = Plan {
            layer: ticket.layer.clone(),
            at: ask.at,
            number,
            ttl: ask.ttl,
            start,
            counters: Arc::clone(&ticket.counters),
            context: call.clone(),
            started: ticket.layer.now(),
        };
        let adoption = Adoption { own: ticket.context.clone(), call };
        let future = inner.call(request);
        reader.launch(Box::pin(Call::new(future, plan, method, listing)));
        Originating { reader, ticket, adoption, responder }
    }
}

impl Ticket {
    /// What is given without a call of the upstream. What may stand in for an error is remembered.
    fn look(&mut self, ask: &Ask) -> Option<Entry> {
        let now = self.layer.now();
        let (entry, state) = self.layer.find(ask, now)?;
        if ask.takes(&entry, state, now) {
            return Some(entry);
        }
        if state == State::Fresh || !ask.takes_stale() {
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
