//! The layers, around the upstream.

use std::{convert::Infallible, error};

use axum::{
    body::{Bytes, HttpBody},
    http::{Request, Response},
};
use tower::{Layer, Service};
use tower_inference::{
    access_log::AccessLogLayer,
    auth::{AuthLayer, aws_iam::SignedBodyLayer},
    cache::CacheLayer,
    memory_limit::MemoryLimit,
    payload::PayloadLayer,
    request_id::RequestIdLayer,
    stack::{Snapshot, Stack},
};

use crate::{bodies::Bodies, head::Checked, http::RequestBody, limits::Limits, upstream::Way};

/// A service that handles every request of a connection.
pub(crate) trait Gateway:
    Service<Request<RequestBody>, Response = Response<Self::Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
    type Body: HttpBody<Data = Bytes, Error: Into<Box<dyn error::Error + Send + Sync>>> + Send;
}

impl<S, B> Gateway for S
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn error::Error + Send + Sync>>> + Send + 'static,
{
    type Body = B;
}

/// The whole gateway, and its state at any moment. Around the routes stands what sees every request, those that are refused
/// included; behind them what costs, or knows a token.
pub(crate) fn gateway(
    access_log: AccessLogLayer,
    auth: AuthLayer,
    bodies: Bodies,
    limits: Limits,
    cache: Option<CacheLayer>,
    way: Way,
) -> (impl Gateway<Body: 'static>, impl Fn() -> Vec<Snapshot> + Send + Sync + 'static) {
    let Way { fallback, hf_token, client } = way;
    let Bodies { routes, max_bytes, memory, schema, edits } = bodies;
    let Limits { peer, throttle, budget, upstream } = limits;
    // A limit, a cache, a schema or a fallback that is off is `None`.
    let around =
        Stack::new().request_id(RequestIdLayer::new()).access_log(access_log).peer_throttle(peer);
    // Of its own, because these bodies are read before their callers are known.
    let unverified = MemoryLimit::new(memory.max_bytes());
    let signed = SignedBodyLayer::new().max_body_bytes(max_bytes).memory_limit(unverified);
    let behind = Stack::new()
        .around(signed)
        .auth(auth)
        .throttle(throttle)
        .payload(PayloadLayer::by_route().max_body_bytes(max_bytes).memory_limit(memory))
        .schema(schema)
        .transform(edits)
        .cache(cache)
        .token_budget(budget)
        .fallback(fallback)
        .upstream(upstream)
        .hf_token(hf_token);
    // The heads are checked inside of the log, which has all rejections.
    let service = around.layer(Checked(routes.layer(behind.layer(client))));
    (service, move || vec![around.snapshot(), behind.snapshot()])
}
