//! The request that begins a flight.

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header::ACCEPT_ENCODING};
use http_body::Body;
use tower_service::Service;

use super::{
    body::{ContextMerge, ResponseBody},
    exchange::Exchange,
    flight_listing::FlightListing,
    lookup::{Lookup, SharedCall},
    recorder::RecordPlan,
    upstream_call::{NotShared, PendingCall, UpstreamCall},
};
use crate::{
    cache::{
        counts::CallCost,
        entry::{Origin, ResponseFacts},
        flight::{Chunk, FlightEvent, Head, Reader},
        key::Validity,
        policy::{ExpectedResult, output_limit},
        tier::TierLookup,
    },
    context::CacheOutcome,
    model::Profile,
    payload::Payload,
    rejection::{Refusal, Rejection, Responder},
};

/// A flight without a source.
pub(super) struct NewFlight {
    pub(super) reader: Reader<Head, Chunk>,
    pub(super) number: u64,
    pub(super) validity: Validity,
}

impl NewFlight {
    /// Calls the inner service on behalf of every request that joins the flight.
    pub(super) fn launch<S, R>(
        self,
        inner: &mut S,
        mut request: Request<Payload>,
        lookup: &Lookup,
        exchange: Exchange,
        responder: Responder,
    ) -> Leader
    where
        S: Service<Request<Payload>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Send + 'static,
        S::Future: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
    {
        // The second tier may turn this into a hit.
        exchange.context.set_cache(CacheOutcome::Miss);
        let Self { reader, number, validity } = self;
        // Removes the flight from the table if the call panics.
        let listing = FlightListing::new(exchange.engine.clone(), lookup.key, number);
        // The recorder must be able to read the whole response.
        exchange.context.announce_response_is_read();
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let call = exchange.context.fork();
        request.extensions_mut().insert(call.clone());
        request.extensions_mut().insert(SharedCall);
        let settings = exchange.engine.settings();
        let tier_lookup = settings.second_tier.as_ref().map(|tier| {
            let (cost, facts) = (CallCost::default(), ResponseFacts::default());
            let counters = Arc::clone(&exchange.counters);
            let validity = validity.clone();
            let origin = Origin { counters, validity, cost, facts, served: None };
            let clock = settings.clock.clone();
            tier.find(TierLookup { key: lookup.key, control: lookup.control, origin, clock })
        });
        let form = Profile::compatible().form(request.uri().path());
        let plan = RecordPlan {
            engine: exchange.engine.clone(),
            key: lookup.key,
            number,
            flight: Arc::downgrade(reader.flight()),
            ttl: lookup.ttl,
            expected: ExpectedResult::of(&request),
            output_limit: output_limit(&request, form),
            validity,
            counters: Arc::clone(&exchange.counters),
            context: call.clone(),
            started: Duration::ZERO,
            lease: None,
        };
        let flight = Arc::downgrade(reader.flight());
        let merge =
            ContextMerge { own: exchange.context.clone(), call, flight, is_finished: false };
        reader.launch(match tier_lookup {
            None => {
                let (plan, method) = (plan.start(None), request.method().clone());
                Box::pin(UpstreamCall::<S, _, _>::new(inner.call(request), plan, method, listing))
            }
            Some(tier_lookup) => {
                let inner = take_ready(inner);
                let call = PendingCall { inner, request, plan };
                Box::pin(UpstreamCall::after(tier_lookup, call, listing))
            }
        });
        Leader { reader, exchange, merge, responder }
    }
}

/// Takes the instance that was made ready:
/// <https://docs.rs/tower-service/0.3/tower_service/trait.Service.html#be-careful-when-cloning-inner-services>
pub(super) fn take_ready<S: Clone>(inner: &mut S) -> S {
    let clone = inner.clone();
    std::mem::replace(inner, clone)
}

/// A request that has begun a flight and waits for its head.
pub(super) struct Leader {
    pub(super) reader: Reader<Head, Chunk>,
    exchange: Exchange,
    merge: ContextMerge,
    responder: Responder,
}

impl Leader {
    /// Responds once the flight has its head or has ended.
    pub(super) fn respond<R, E>(
        mut self,
        event: FlightEvent<Head, Chunk>,
    ) -> Result<Response<ResponseBody<R>>, E>
    where
        R: 'static,
        E: 'static,
    {
        let outcome = match event {
            FlightEvent::Head(head) => {
                if let Some(entry) = &head.found {
                    return Ok(self.exchange.hit(entry.clone()));
                }
                return Ok(match self.exchange.fallback(head.status) {
                    Some(entry) => {
                        // Its results are those of the failure.
                        drop(self.reader);
                        drop(self.merge);
                        self.exchange.stand_in(entry)
                    }
                    None => self.exchange.lead(&head, self.reader, self.merge),
                });
            }
            FlightEvent::NotShared(outcome) => {
                outcome.and_then(|outcome| outcome.downcast::<NotShared<R, E>>().ok())
            }
            // The leader was cut before it read its head.
            _ => None,
        };
        self.merge.finish();
        match outcome.map(|outcome| *outcome) {
            Some(NotShared::Panic(panic)) => resume_unwind(panic),
            Some(NotShared::Error(error)) => match self.exchange.stale.take() {
                Some(entry) => Ok(self.exchange.stand_in(entry)),
                None => Err(error),
            },
            Some(NotShared::Response(response)) => {
                Ok(match self.exchange.fallback(response.status()) {
                    Some(entry) => self.exchange.stand_in(entry),
                    None => self.exchange.pass(response),
                })
            }
            None => {
                let rejection = Rejection::new(Refusal::UpstreamUnavailable);
                let response = self.responder.respond(rejection, &self.exchange.context);
                Ok(response.map(ResponseBody::plain))
            }
        }
    }
}
