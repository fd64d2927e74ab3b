//! The layers, around the upstream.

use axum::Router;
use tower::Layer;
use tower_inference::{
    access_log::AccessLogLayer, auth::AuthLayer, cache::CacheLayer, payload::PayloadLayer,
    request_id::RequestIdLayer, schema::SchemaLayer, stack::Stack, transform::TransformLayer,
};

use crate::{
    Error,
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
) -> Result<Router, Error> {
    let Way { hf_token, client } = way;
    let around = Stack::new().request_id(RequestIdLayer::new()).access_log(access_log);
    let Bodies { max_bytes, memory, schema, output } = bodies;
    let Limits { peer, throttle, budget, upstream } = limits;
    let behind = Stack::new().auth(auth).upstream(upstream).hf_token(hf_token);

    // A limit or a cache that is off has no layer: each choice is a stack of its own type.
    macro_rules! routed {
        ($behind:expr) => {{
            let behind = $behind;
            let of = |payload: PayloadLayer, schema, edits| {
                let stack = behind
                    .clone()
                    .payload(payload.max_body_bytes(max_bytes).memory_limit(memory.clone()));
                stack.schema(schema).transform(edits).layer(client.clone())
            };
            let inference = Inference {
                json: of(PayloadLayer::new(), schema.clone(), output.clone()),
                any: of(PayloadLayer::bytes(), schema, output.binary_bodies()),
                // Nobody looks into these.
                streamed: of(
                    PayloadLayer::streamed(),
                    SchemaLayer::any_body(),
                    TransformLayer::new(),
                ),
            };
            let probes = routes::probes(ready);
            match peer {
                None => probes.fallback_service(around.layer(inference)),
                Some(peer) => probes.fallback_service(around.peer_throttle(peer).layer(inference)),
            }
        }};
    }
    macro_rules! cached {
        ($behind:expr) => {
            match cache {
                None => routed!($behind),
                Some(cache) => routed!($behind.cache(cache)),
            }
        };
    }
    Ok(match (throttle, budget) {
        (None, None) => cached!(behind),
        (Some(throttle), None) => cached!(behind.throttle(throttle)),
        (None, Some(budget)) => cached!(behind.token_budget(budget)),
        (Some(throttle), Some(budget)) => {
            cached!(behind.throttle(throttle).token_budget(budget))
        }
    })
}
