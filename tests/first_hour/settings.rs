//! Settings of single layers.

use http::{Method, Request};
use serde_json::json;
use tower::{Layer, ServiceExt};
use tower_inference::{
    auth::{Jwt, Keys},
    cache::RedisCache,
    limits::{Limit, Rate, Subject},
    model::Profile,
    payload::{Payload, Pointer},
    peer::{ForwardedHeader, PeerAddress},
    route::RouteLayer,
    schema::{BuiltInSchemas, Schema, SchemaLayer},
    secret::Secret,
    stack::Stack,
    test_util::{TestResponse, TestUpstream},
    throttle::ThrottleLayer,
    transform::{EditableHeader, EditableQuery, PathTemplate},
};

use crate::{leads_right, listen, logged, signer::Signer, warned_once};

#[test]
fn scopes_are_given_as_one_text() {
    let keys = Keys::from_jwks(Signer::es256().jwks()).unwrap();
    let jwt = Jwt::new(keys, "https://issuer.example", "gateway");
    let error = jwt.required_scopes(["infer models:read"]).unwrap_err();
    leads_right(error, &["\"infer models:read\"", "several items"]);
}

#[test]
fn the_header_is_reserved() {
    let error = |name: &str| name.parse::<EditableHeader>().unwrap_err();
    leads_right(error("x_team"), &["x_team", "underscore", "read it as a dash", "use x-team"]);
    for (name, reason) in [
        ("authorization", "HfTokenLayer"),
        ("host", "host of the upstream"),
        ("content-length", "describes the body"),
        ("connection", "one connection"),
        ("x-request-id", "RequestIdLayer"),
        ("access-control-allow-origin", "CORS"),
        ("grpc-timeout", "gRPC"),
        ("x-amzn-trace-id", "API Gateway"),
        ("x-api-key", "credentials"),
        ("x-forwarded-for", "address"),
    ] {
        leads_right(error(name), &[name, "reserved", reason]);
    }
    leads_right(error("x-team: a"), &["without a colon"]);
}

#[test]
fn the_query_parameter_is_reserved() {
    let error = |name: &str| name.parse::<EditableQuery>().unwrap_err();
    for name in ["key", "api_key", "access-token", "X-Amz-Signature"] {
        leads_right(error(name), &[name, "credentials", "HfTokenLayer removes it", "TokenSource"]);
    }
    assert!("api-version".parse::<EditableQuery>().is_ok());
}

#[test]
fn the_schema_has_another_name_than_its_route() {
    let schema = || Schema::new(&json!({"type": "object"})).unwrap();
    let layer = |name: &str| SchemaLayer::by_route().route(name, schema());
    let routes = RouteLayer::new(&Profile::compatible());
    let words = ["route=\"chat\"", "/v1/chat/completions", "RouteLayer::route"];
    listen();
    // In either order of the calls.
    let _stack = Stack::new().schema(layer("chat")).route(routes.clone());
    warned_once(&words);
    let _stack = Stack::new().route(routes.clone()).schema(layer("chat"));
    warned_once(&words);

    for name in ["/v1/chat/completions", "/models/{model}"] {
        let _stack = Stack::new().schema(layer(name)).route(routes.clone());
    }
    let _stack = Stack::new().route(RouteLayer::named("chat")).schema(layer("chat"));
    let named = routes.route(Method::POST, "/v1/chat/completions", "chat");
    let _stack = Stack::new().route(named).schema(layer("chat"));
    assert_eq!(logged(), "");
}

#[tokio::test]
async fn a_limit_by_route_has_no_routes() {
    listen();
    let limit = Limit::per_route(Rate::per_second(10));
    let throttle = ThrottleLayer::new(limit.clone());
    let upstream = TestUpstream::new(TestResponse::chat("Hello"));
    let request = || Request::get("/v1/models").body(Payload::default()).unwrap();
    for _ in 0..2 {
        throttle.layer(upstream.clone()).oneshot(request()).await.unwrap();
    }
    warned_once(&["limit=\"route\"", "share one counter", "RouteLayer outside"]);
    assert_eq!(throttle.counts()[0].without_value, 2);

    let throttle = ThrottleLayer::new(limit);
    let stack = Stack::new().route(RouteLayer::new(&Profile::compatible())).throttle(throttle);
    stack.layer(upstream).oneshot(request()).await.unwrap();
    assert_eq!(logged(), "");
}

#[test]
fn the_pointer_has_no_slash() {
    for text in ["max_tokens", "$.max_tokens", "#/max_tokens"] {
        leads_right(text.parse::<Pointer>().unwrap_err(), &["slash before each name"]);
    }
}

#[test]
fn the_path_has_other_characters() {
    let error = |path: &str| PathTemplate::new(path, []).unwrap_err();
    leads_right(error("v1/models"), &["begin with a slash"]);
    leads_right(error("/v1/models?a=b"), &["'?'", "set_query"]);
    leads_right(error("/{tenant}/v1"), &["`{`", "{}"]);
    leads_right(error("/a b"), &["' '", "needs encoding"]);
    leads_right(error("/{}/v1"), &["one value for each {}"]);
}

#[test]
fn a_keyword_of_the_schema_is_misspelt() {
    listen();
    let schema = Schema::new(&json!({
        "requried": ["model"],
        "properties": {
            "model": {"type": "string", "maxLenght": 64},
            "stop": {"items": {"minlength": 1}},
            "requried": {"type": "boolean"},
        },
    }));
    warned_once(&[
        "/requried looks like `required`",
        "/properties/model/maxLenght looks like `maxLength`",
        "/properties/stop/items/minlength looks like `minLength`",
    ]);
    assert_eq!(schema.unwrap().unknown_keywords().len(), 3);
    // Annotations of one's own are silent, as JSON Schema has them.
    let annotated = json!({"title": "Chat", "x-internal": true, "ui": {}, "type": "object"});
    assert!(Schema::new(&annotated).unwrap().unknown_keywords().is_empty());
    for profile in ["openai", "anthropic", "compatible"] {
        let _built_in = BuiltInSchemas::new(match profile {
            "openai" => Profile::openai(),
            "anthropic" => Profile::anthropic(),
            _ => Profile::compatible(),
        })
        .chat_completion();
    }
    assert_eq!(logged(), "");
}

#[test]
fn the_schema_is_in_a_wrapper() {
    let words = ["no member is a keyword", "without a wrapper"];
    for wrapper in [
        json!({"name": "answer", "strict": true, "schema": {"type": "object"}}),
        json!({"openapi": "3.1.0", "paths": {}, "components": {"schemas": {}}}),
    ] {
        listen();
        Schema::new(&wrapper).unwrap();
        warned_once(&words);
    }
    assert!(Schema::new(&json!({})).unwrap().unknown_keywords().is_empty());
}

#[test]
fn the_schema_is_in_another_form() {
    let error = |text: &'static str| Schema::parse(text).unwrap_err();
    leads_right(error("type: object\nproperties: {}\n"), &["it is YAML", "convert it"]);
    leads_right(error("schemas/chat.json"), &["it is the path of a file", "content"]);
    leads_right(error("{\"type\": \"object\",}"), &["at byte 18"]);
    assert!(Schema::parse("\u{feff}{\"type\": \"object\"}").is_ok());
    let draft = Schema::new(&json!({"$schema": "https://json-schema.org/draft/2021/schema"}));
    leads_right(draft.unwrap_err(), &["draft/2021", "2020-12/schema"]);
    let words = ["/properties/n/type"];
    let kind = Schema::new(&json!({"properties": {"n": {"type": "int"}}}));
    leads_right(kind.unwrap_err(), &words);
}

#[tokio::test]
async fn the_limit_has_another_name() {
    let layer = ThrottleLayer::new(Limit::per_tenant(Rate::per_second(1)).name("team-rate"));
    let tenant = Subject::tenant("https://issuer.example", "acme");
    let error = layer.limit_state("tenant", &tenant).await.unwrap_err();
    leads_right(error, &["no limit `tenant`", "team-rate"]);
    let error = layer.limit_state("team-rate", &Subject::global()).await.unwrap_err();
    leads_right(error, &["Subject::tenant"]);
    let error = layer.limit_state("team-rate", &tenant.tier("gold")).await.unwrap_err();
    leads_right(error, &["`gold`", "has none"]);
}

#[test]
fn the_address_of_redis_has_no_scheme() {
    let error = |address: &str| RedisCache::single(Secret::new(address)).unwrap_err();
    leads_right(error("localhost:6379"), &["redis://host:port", "rediss://"]);
    leads_right(error("redis://:hunter2/x@host:port"), &["escape special characters"]);
    let printed = format!("{:?}", error("redis://:hunter2/x@host:port"));
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[test]
fn the_network_of_a_proxy_is_written_by_a_host() {
    let peer = PeerAddress::connection;
    let proxies = |network| peer().behind(ForwardedHeader::XForwardedFor, [network]).unwrap_err();
    leads_right(proxies("10.0.0.1/8"), &["`10.0.0.1/8`", "first address of the network"]);
    leads_right(proxies("proxy.internal"), &["`proxy.internal`", "such as 10.0.0.7"]);
}
