//! The layers, around the upstream.

use axum::Router;
use tower::Layer;
use tower_inference::{
    access_log::AccessLogLayer, auth::AuthLayer, cache::CacheLayer, payload::PayloadLayer,
    request_id::RequestIdLayer, stack::Stack,
};

use crate::{
    Error, bodies::Bodies, head::Checked, limits::Limits, probes::probes, ready::Ready,
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
    let Bodies { routes, max_bytes, memory, schema, edits } = bodies;
    let Limits { peer, throttle, budget, upstream } = limits;
    let payload = PayloadLayer::by_route().max_body_bytes(max_bytes).memory_limit(memory);
    let behind = Stack::new().auth(auth).payload(payload).schema(schema).transform(edits);
    let behind = behind.upstream(upstream).hf_token(hf_token);

    // A limit or a cache that is off has no layer: each choice is a stack of its own type.
    macro_rules! routed {
        ($behind:expr) => {{
            let inference = routes.layer($behind.layer(client));
            // The heads are checked inside of the log, which has all rejections.
            let inference = Checked(inference);
            let probes = probes(ready);
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
