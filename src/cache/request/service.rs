use std::{
    error::Error,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    body::ResponseBody,
    decision::Decision,
    engine::Engine,
    exchange::Exchange,
    future::{Follower, ResponseFuture},
    leader::{NewFlight, take_ready},
};
use crate::{
    cache::{counts::CacheEvent, flight::Admission},
    context::{CacheOutcome, Layer, RequestContext},
    payload::{IsBody, Payload},
    rejection::{Refusal, Rejection},
};

/// Middleware that stores responses and shares calls in flight.
///
/// [`CacheLayer`](crate::cache::CacheLayer) makes it. See the [module docs](crate::cache) for an
/// example.
#[derive(Clone, Debug)]
pub struct Cache<S> {
    inner: S,
    // `None` when disabled.
    engine: Option<Engine>,
}

impl<S> Cache<S> {
    pub(crate) const fn from_parts(inner: S, engine: Option<Engine>) -> Self {
        Self { inner, engine }
    }

    inner_service_accessors!();
}

impl<S, B, R> Service<Request<B>> for Cache<S>
where
    Payload: IsBody<B>,
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

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut request = request.map(Payload::payload_of);
        let Some(engine) = &self.engine else {
            return ResponseFuture::unchanged(self.inner.call(request));
        };
        let context = RequestContext::ensure(request.extensions_mut());
        let settings = engine.settings();
        let decision = engine.decide(&request, &context);
        let (now, found) = match &decision {
            Decision::Lookup(lookup) => {
                let now = engine.now();
                let found = engine.find(lookup, now);
                (now, found.filter(|(entry, _)| entry.is_allowed(&context)))
            }
            _ => (Duration::ZERO, None),
        };
        let mut exchange = Exchange::new(engine, context, found.as_ref().map(|(entry, _)| entry));
        let lookup = match decision {
            Decision::Lookup(lookup) => lookup,
            Decision::Bypass(reason) => {
                exchange.bypass(reason);
                return ResponseFuture::pass(self.inner.call(request), exchange);
            }
            Decision::Reject => {
                exchange.record(CacheOutcome::Bypass, CacheEvent::Bypass);
                let rejection = Rejection::new(Refusal::Forbidden).with_detail(
                    "this caller may not control the cache: remove the header cache-control",
                );
                let responder = settings.rejections.for_layer(Layer::Cache, &request);
                return ResponseFuture::reject(rejection, responder, exchange);
            }
        };
        exchange.warn = lookup.warn;
        if let Some(entry) = found.and_then(|found| exchange.accept(found, &lookup, now)) {
            return ResponseFuture::hit(entry, now, exchange);
        }
        if lookup.control.only_if_cached {
            // RFC 9111 section 5.2.1.7.
            exchange.record(CacheOutcome::Miss, CacheEvent::Miss);
            let rejection = Rejection::new(Refusal::NotCached);
            let responder = settings.rejections.for_layer(Layer::Cache, &request);
            return ResponseFuture::reject(rejection, responder, exchange);
        }
        let validity = engine.validity(&request, &exchange.context);
        match engine.admit(&lookup, &validity, &exchange.context) {
            Admission::Found(entry) => ResponseFuture::hit(entry, now, exchange),
            Admission::Full => {
                exchange.record(CacheOutcome::Miss, CacheEvent::Miss);
                ResponseFuture::pass(self.inner.call(request), exchange)
            }
            Admission::Leader(reader, number) => {
                let flight = NewFlight { reader, number, validity };
                let responder = settings.rejections.for_layer(Layer::Cache, &request);
                let leader = flight.launch(&mut self.inner, request, &lookup, exchange, responder);
                ResponseFuture::lead(leader)
            }
            Admission::Follower(reader) => {
                let inner = take_ready(&mut self.inner);
                let follower = Follower { reader, inner, request, lookup, exchange, failures: 0 };
                ResponseFuture::follow(follower)
            }
        }
    }
}
