//! The layers, around the upstream.

use axum::Router;
use tower::Layer;
use tower_inference::{
    access_log::AccessLogLayer, auth::AuthLayer, cache::CacheLayer, payload::PayloadLayer,
    request_id::RequestIdLayer, schema::SchemaLayer, stack::Stack, transform::TransformLayer,
};

use crate::{
    bodies::Bodies,
    limits::Limits,
    ready::Ready,
    routes::{self, Inference},
    upstream::Way,
};

/// The whole gateway. Around the routes stands what sees every request, those that are refused
/// included; behind them what costs, or knows a token.
pub(crate) fn gateway(
    access_log: AccessLogLayer,
    auth: AuthLayer,
    bodies: Bodies,
    limits: Limits,
    cache: Option<CacheLayer>,
    way: Way,
    ready: Ready,
) -> Router {
    let Way { hf_token, client } = way;
    let Bodies { max_bytes, memory, schema, output } = bodies;
    let Limits { peer, throttle, budget, upstream } = limits;
    // A limit or a cache that is off is `None`.
    let around =
        Stack::new().request_id(RequestIdLayer::new()).access_log(access_log).peer_throttle(peer);
    let behind = Stack::new()
        .auth(auth)
        .throttle(throttle)
        .cache(cache)
        .token_budget(budget)
        .upstream(upstream)
        .hf_token(hf_token);
    let of = |payload: PayloadLayer, schema: Option<SchemaLayer>, edits: Option<TransformLayer>| {
        let payload = payload.max_body_bytes(max_bytes).memory_limit(memory.clone());
        let stack = behind.clone().payload(payload).schema(schema).transform(edits);
        stack.layer(client.clone())
    };
    let binary = output.clone().map(TransformLayer::binary_bodies);
    let inference = Inference {
        json: of(PayloadLayer::new(), schema.clone(), output),
        any: of(PayloadLayer::bytes(), schema, binary),
        // No layer reads these bodies.
        streamed: of(PayloadLayer::streamed(), None, None),
    };
    routes::probes(ready).fallback_service(around.layer(inference))
}
