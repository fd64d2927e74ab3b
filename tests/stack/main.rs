//! The slots of a stack: any order of the calls, and the payload that other layers bring along.

mod boxed;
mod optional;
mod own_layers;
mod sizes;
mod snapshot;
mod tokens;

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    cache::{CacheLayer, Scope},
    limits::{Limit, Rate},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::{Payload, PayloadLayer},
    peer::PeerAddress,
    request_id::RequestIdLayer,
    schema::{BuiltInSchemas, Schema, SchemaLayer},
    stack::Stack,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::{ModelAliases, TransformLayer},
    upstream::UpstreamLayer,
};

async fn upstream(_: Request<Payload>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::default()))
}

fn schema() -> SchemaLayer {
    SchemaLayer::new(BuiltInSchemas::new(Profile::openai()).embeddings())
}

async fn status<S, B>(service: S, body: &'static str) -> StatusCode
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    let request = Request::post("/").header(header::CONTENT_TYPE, "application/json");
    let Ok(answer) = service.oneshot(request.body(Full::from(body)).unwrap()).await;
    answer.status()
}

#[test]
fn any_order_of_the_calls_gives_the_same_type() {
    fn same<T>(_: T, _: T) {}
    let (id, upstream, payload) =
        (RequestIdLayer::new(), UpstreamLayer::new(), PayloadLayer::new());
    same(
        Stack::new()
            .request_id(id.clone())
            .payload(payload.clone())
            .schema(schema())
            .upstream(upstream.clone()),
        Stack::new().schema(schema()).upstream(upstream).payload(payload).request_id(id),
    );
}

#[test]
fn limits_have_their_places_in_any_order_of_the_calls() {
    fn same<T>(_: T, _: T) {}
    let rate = Rate::per_second(1);
    let throttle = ThrottleLayer::new(Limit::per_identity(rate));
    let peers = ThrottleLayer::new(Limit::per_peer(PeerAddress::connection(), rate));
    let budget = TokenBudgetLayer::new(Limit::per_identity(rate));
    same(
        Stack::new()
            .peer_throttle(peers.clone())
            .throttle(throttle.clone())
            .token_budget(budget.clone()),
        Stack::new().token_budget(budget).throttle(throttle).peer_throttle(peers),
    );
}

#[tokio::test]
async fn the_cache_is_inside_the_rules_and_outside_the_budget() {
    fn same<T>(_: T, _: T) {}
    let cache = CacheLayer::new("upstream", Scope::Shared);
    let rules = ModelRulesLayer::new(Profile::compatible(), ModelRules::new());
    let budget = TokenBudgetLayer::new(Limit::global(Rate::per_hour(1_000)));
    same(
        Stack::new().cache(cache.clone()).model_rules(rules.clone()).token_budget(budget.clone()),
        Stack::new().token_budget(budget).model_rules(rules).cache(cache.clone()),
    );
    // It brings the payload along.
    let stack = Stack::new().cache(cache).layer(service_fn(upstream));
    assert_eq!(status(stack.clone(), r#"{"seed":7}"#).await, StatusCode::OK);
    assert_eq!(status(stack, "{").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_layer_that_looks_into_bodies_brings_the_payload_along() {
    let stack = Stack::new().schema(schema()).layer(service_fn(upstream));
    assert_eq!(status(stack.clone(), r#"{"input":"a"}"#).await, StatusCode::OK);
    assert_eq!(status(stack.clone(), r#"{"input":5}"#).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(status(stack, "{").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_explicit_payload_layer_replaces_the_implied_one_in_any_order() {
    let small = PayloadLayer::new().max_body_bytes(4);
    let (before, after) = (Stack::new().payload(small.clone()), Stack::new().schema(schema()));
    let before = before.schema(schema()).layer(service_fn(upstream));
    let after = after.payload(small).layer(service_fn(upstream));
    assert_eq!(status(before, r#"{"input":"a"}"#).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(status(after, r#"{"input":"a"}"#).await, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn schemas_see_the_clients_request_and_model_rules_the_upstreams() {
    let rules = ModelRules::new().allow(ModelRule::new(["org/small"]).providers(["together"]));
    let aliases = ModelAliases::new([("small", "org/small:together"), ("big", "org/big:together")]);
    let schema = Schema::new(&json!({ "properties": { "model": { "pattern": "^[a-z]+$" } } }));
    // Innermost first: each has its place all the same.
    let stack = Stack::new()
        .model_rules(ModelRulesLayer::new(Profile::router(), rules))
        .transform(TransformLayer::new().model_aliases(aliases))
        .schema(SchemaLayer::new(schema.unwrap()))
        .layer(service_fn(upstream));
    let chat = |body: &'static str| {
        let request = Request::post("/v1/chat/completions");
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let answer = stack.clone().oneshot(request.body(Full::<Bytes>::from(body)).unwrap());
        async { answer.await.unwrap().status() }
    };
    assert_eq!(chat(r#"{"model":"small"}"#).await, StatusCode::OK);
    assert_eq!(chat(r#"{"model":"big"}"#).await, StatusCode::FORBIDDEN);
    assert_eq!(chat(r#"{"model":"other"}"#).await, StatusCode::FORBIDDEN);
    let direct = r#"{"model":"org/small:together"}"#;
    assert_eq!(chat(direct).await, StatusCode::UNPROCESSABLE_ENTITY);
}
