//! The layers, around the upstream.

use axum::Router;
use tower::Layer;
use tower_inference::{
    access_log::AccessLogLayer, auth::AuthLayer, cache::CacheLayer, payload::PayloadLayer,
    request_id::RequestIdLayer, stack::Stack,
};

use crate::{
    bodies::Bodies, head::Checked, limits::Limits, probes::probes, ready::Ready, upstream::Way,
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
    let Bodies { routes, max_bytes, memory, schema, edits } = bodies;
    let Limits { peer, throttle, budget, upstream } = limits;
    // A limit, a cache or a schema that is off is `None`.
    let around =
        Stack::new().request_id(RequestIdLayer::new()).access_log(access_log).peer_throttle(peer);
    let behind = Stack::new()
        .auth(auth)
        .throttle(throttle)
        .payload(PayloadLayer::by_route().max_body_bytes(max_bytes).memory_limit(memory))
        .schema(schema)
        .transform(edits)
        .cache(cache)
        .token_budget(budget)
        .upstream(upstream)
        .hf_token(hf_token);
    // The heads are checked inside of the log, which has all rejections.
    let inference = Checked(routes.layer(behind.layer(client)));
    probes(ready).fallback_service(around.layer(inference))
}
