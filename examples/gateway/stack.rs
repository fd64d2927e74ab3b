//! The layers, around the upstream.

use axum::Router;
use tower::Layer;
use tower_inference::{
    access_log::AccessLogLayer,
    auth::AuthLayer,
    cache::CacheLayer,
    client::HttpsClient,
    hf::HfTokenLayer,
    payload::{Payload, PayloadLayer},
    request_id::RequestIdLayer,
    schema::SchemaLayer,
    stack::Stack,
    transform::TransformLayer,
};

use crate::{
    Error,
    bodies::Bodies,
    limits::Limits,
    ready::Ready,
    routes::{self, Inference},
};

/// The whole gateway. Around the routes stands what sees every request, those that are refused
/// included; behind them what costs, or knows a token.
pub(crate) fn gateway(
    access_log: AccessLogLayer,
    auth: AuthLayer,
    bodies: Bodies,
    limits: Limits,
    cache: Option<CacheLayer>,
    hf_token: HfTokenLayer,
    ready: Ready,
) -> Result<Router, Error> {
    let around = Stack::new().request_id(RequestIdLayer::new()).access_log(access_log);
    let Bodies { max_bytes, memory, schema, generation } = bodies;
    let Limits { peer, throttle, budget, upstream } = limits;
    let behind = Stack::new().auth(auth).upstream(upstream).hf_token(hf_token);
    let client: HttpsClient<Payload> = HttpsClient::builder().build()?;

    // What is not limited, or not kept, has no layer: each choice is a stack of its own type.
    macro_rules! routed {
        ($json:expr, $bytes:expr) => {{
            let json = $json.payload(PayloadLayer::new().limit(max_bytes).memory_limit(memory));
            let bytes = $bytes.payload(PayloadLayer::streamed().limit(max_bytes));
            let generation = json.clone().schema(schema.clone()).transform(generation);
            let inference = Inference {
                generation: generation.layer(client.clone()),
                buffered: json
                    .schema(schema)
                    .transform(TransformLayer::new())
                    .layer(client.clone()),
                // Of the same type as the others, and without rules.
                streamed: bytes
                    .schema(SchemaLayer::any_body())
                    .transform(TransformLayer::new())
                    .layer(client),
            };
            let probes = routes::probes(ready);
            match peer {
                None => probes.fallback_service(around.layer(inference)),
                Some(peer) => probes.fallback_service(around.peer_throttle(peer).layer(inference)),
            }
        }};
    }
    macro_rules! cached {
        ($json:expr, $bytes:expr) => {
            match cache {
                None => routed!($json, $bytes),
                Some(cache) => routed!($json.cache(cache.clone()), $bytes.cache(cache)),
            }
        };
    }
    Ok(match (throttle, budget) {
        (None, None) => cached!(behind.clone(), behind),
        (Some(throttle), None) => {
            let behind = behind.throttle(throttle);
            cached!(behind.clone(), behind)
        }
        (None, Some(budget)) => cached!(
            behind.clone().token_budget(budget.clone()),
            behind.token_budget(budget.flat_cost(0))
        ),
        (Some(throttle), Some(budget)) => {
            let behind = behind.throttle(throttle);
            cached!(
                behind.clone().token_budget(budget.clone()),
                behind.token_budget(budget.flat_cost(0))
            )
        }
    })
}
