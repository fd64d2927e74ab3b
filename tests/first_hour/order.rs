//! Layers in the wrong order, and settings that no token fits.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    auth::{AuthLayer, ClaimMapping, Jwt, Keys},
    cache::{CacheLayer, Scope},
    limits::{Limit, Rate},
    payload::{Payload, PayloadLayer},
    throttle::ThrottleLayer,
};

use crate::{
    listen, logged,
    signer::{AUDIENCE, ISSUER, Signer, claims},
    warned_once,
};

const CHAT: &str = r#"{"model":"m","messages":[],"temperature":0}"#;

fn request(token: &str) -> Request<Full<Bytes>> {
    Request::post("/v1/chat/completions")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(CHAT.into())
        .unwrap()
}

async fn upstream<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
}

fn jwt(signer: &Signer, issuer: &str, audience: &str) -> Jwt {
    Jwt::new(Keys::from_jwks(signer.jwks()).unwrap(), issuer, audience)
}

/// Claims with some replaced.
fn claims_with(replaced: Value) -> Value {
    let mut claims = claims();
    for (name, value) in replaced.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[tokio::test]
async fn a_limit_is_outside_of_auth() {
    listen();
    let signer = Signer::es256();
    let limit = ThrottleLayer::new(Limit::per_identity(Rate::per_second(10)));
    let service = ServiceBuilder::new()
        .layer(limit.clone())
        .layer(AuthLayer::new(jwt(&signer, ISSUER, AUDIENCE)))
        .service_fn(upstream);
    for _ in 0..3 {
        let response = service.clone().oneshot(request(&signer.sign(&claims()))).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("has verified the credentials"), "{body}");
    }
    warned_once(&["limit=\"identity\"", "AuthLayer outside", "ServiceBuilder", "Router::layer"]);
    assert_eq!(limit.counts()[0].without_identity, 3);

    // A request without credentials is no mistake of the operator.
    let bare = Request::post("/").body(Full::default()).unwrap();
    assert_eq!(service.oneshot(bare).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!((limit.counts()[0].without_identity, &*logged()), (3, ""));
}

#[tokio::test]
async fn the_cache_is_outside_of_auth() {
    for scope in [Scope::Identity, Scope::Tenant, Scope::Shared] {
        listen();
        let signer = Signer::es256();
        let cache = CacheLayer::new("upstream", scope);
        let service = ServiceBuilder::new()
            .layer(PayloadLayer::new())
            .layer(cache.clone())
            .layer(AuthLayer::new(jwt(&signer, ISSUER, AUDIENCE)))
            .service(service_fn(upstream::<Payload>));
        for _ in 0..3 {
            let response = service.clone().oneshot(request(&signer.sign(&claims()))).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
        }
        warned_once(&["cache is bypassed", "AuthLayer outside", "ServiceBuilder", "Router::layer"]);
        let counts = &cache.counts()[0];
        assert_eq!((counts.without_identity, counts.bypasses), (3, 3));
    }
}

#[tokio::test]
async fn the_cache_is_shared_by_tenant_without_a_claim() {
    listen();
    let signer = Signer::es256();
    let service = |jwt: Jwt| {
        ServiceBuilder::new()
            .layer(PayloadLayer::new())
            .layer(AuthLayer::new(jwt))
            .layer(CacheLayer::new("upstream", Scope::Tenant))
            .service(service_fn(upstream::<Payload>))
    };
    let without = service(jwt(&signer, ISSUER, AUDIENCE));
    for _ in 0..3 {
        without.clone().oneshot(request(&signer.sign(&claims()))).await.unwrap();
    }
    warned_once(&["without a tenant", "ClaimMapping::tenant", "Scope::Identity"]);
    let with = service(jwt(&signer, ISSUER, AUDIENCE).claims(ClaimMapping::new().tenant("tenant")));
    with.oneshot(request(&signer.sign(&claims()))).await.unwrap();
    assert_eq!(logged(), "");
}

/// Sends one token three times. Returns the last status.
async fn status<S>(service: &S, token: &str) -> StatusCode
where
    S: Service<Request<Full<Bytes>>, Error = Infallible> + Clone,
    S::Response: Into<Response<()>>,
{
    let mut status = StatusCode::OK;
    for _ in 0..3 {
        let response = service.clone().oneshot(request(token)).await.unwrap();
        status = response.into().status();
    }
    status
}

#[tokio::test]
async fn the_issuer_differs_in_a_detail() {
    let signer = Signer::es256();
    for (issuer, received, remedy) in [
        ("https://issuer.example", "https://issuer.example/", "slash"),
        ("https://issuer.example/", "https://issuer.example", "slash"),
        ("https://issuer.example", "http://issuer.example", "scheme"),
        ("https://issuer.example", "issuer.example", "scheme"),
        ("https://issuer.example", "https://other.example", "if you trust it"),
    ] {
        listen();
        let layer = AuthLayer::new(jwt(&signer, issuer, AUDIENCE));
        let service = layer.layer(service_fn(upstream::<Full<Bytes>>));
        let service = service.map_response(|response| response.map(drop));
        let token = signer.sign(&claims_with(json!({ "iss": received })));
        assert_eq!(status(&service, &token).await, StatusCode::UNAUTHORIZED);
        let (expected, received) =
            (format!("expected={issuer:?}"), format!("received={received:?}"));
        warned_once(&["claim=\"iss\"", &expected, &received, remedy, "Jwt::new"]);
        assert_eq!(layer.counts().other_issuer, 3);
    }
}

#[tokio::test]
async fn the_audience_never_matches() {
    let signer = Signer::es256();
    for (audience, received, remedy) in [
        (json!("account"), "received=\"account\"", "Jwt::additional_audiences"),
        (json!(["a", "b"]), "received=\"a, b\"", "Jwt::additional_audiences"),
    ] {
        listen();
        let layer = AuthLayer::new(jwt(&signer, ISSUER, AUDIENCE));
        let service = layer.layer(service_fn(upstream::<Full<Bytes>>));
        let service = service.map_response(|response| response.map(drop));
        let token = signer.sign(&claims_with(json!({ "aud": audience })));
        assert_eq!(status(&service, &token).await, StatusCode::UNAUTHORIZED);
        warned_once(&["claim=\"aud\"", "expected=\"gateway\"", received, remedy]);
        assert_eq!(layer.counts().other_audience, 3);
        // Settings that fit a token are right. Another token is then counted alone.
        assert_eq!(status(&service, &signer.sign(&claims())).await, StatusCode::OK);
        status(&service, &token).await;
        assert_eq!(layer.counts().other_audience, 6);
        assert!(!logged().contains("WARN"));
    }
}

#[tokio::test]
async fn no_claim_is_logged_before_the_signature_is_verified() {
    listen();
    let layer = AuthLayer::new(jwt(&Signer::es256(), ISSUER, AUDIENCE));
    let service = layer.layer(service_fn(upstream::<Full<Bytes>>));
    let service = service.map_response(|response| response.map(drop));
    let forged = Signer::es256().sign(&claims_with(json!({ "iss": "https://forged.example" })));
    assert_eq!(status(&service, &forged).await, StatusCode::UNAUTHORIZED);
    let lines = logged();
    assert!(lines.contains("keys are those of the issuer"), "{lines}");
    assert!(!lines.contains("forged") && lines.matches("WARN").count() == 1, "{lines}");
    assert_eq!((layer.counts().other_issuer, layer.counts().unverified), (0, 3));
}

#[tokio::test]
async fn the_keys_are_those_of_another_issuer() {
    listen();
    let (signer, other) = (Signer::es256(), Signer::es256());
    let layer = AuthLayer::new(jwt(&other, ISSUER, AUDIENCE));
    let service = layer.layer(service_fn(upstream::<Full<Bytes>>));
    let service = service.map_response(|response| response.map(drop));
    assert_eq!(status(&service, &signer.sign(&claims())).await, StatusCode::UNAUTHORIZED);
    warned_once(&["the signature is invalid", "keys=1", "keys are those of the issuer"]);
    // Once the keys have verified a token, they are right.
    let layer = AuthLayer::new(jwt(&other, ISSUER, AUDIENCE));
    let service = layer.layer(service_fn(upstream::<Full<Bytes>>));
    let service = service.map_response(|response| response.map(drop));
    assert_eq!(status(&service, &other.sign(&claims())).await, StatusCode::OK);
    status(&service, &signer.sign(&claims())).await;
    assert_eq!(layer.counts().unverified, 3);
    assert!(!logged().contains("WARN"));
}

/// The docs show the place of each layer. The order is that of `Stack`.
#[test]
fn the_docs_of_each_layer_show_its_place() {
    const ORDER: [(&str, &str); 13] = [
        ("stalled_reader", "stalled_reader/mod.rs"),
        ("request_id", "request_id/mod.rs"),
        ("access_log", "access_log/mod.rs"),
        ("auth", "auth/mod.rs"),
        ("throttle", "throttle/mod.rs"),
        ("payload", "payload/mod.rs"),
        ("schema", "schema/mod.rs"),
        ("transform", "transform/mod.rs"),
        ("model_rules", "model_rules/mod.rs"),
        ("cache", "cache/mod.rs"),
        ("token_budget", "token_budget/mod.rs"),
        ("upstream", "upstream/mod.rs"),
        ("hf_token", "hf/mod.rs"),
    ];
    let place = |layer: &str| ORDER.iter().position(|(name, _)| *name == layer).unwrap();
    for (layer, file) in ORDER {
        let path = format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"));
        let docs = std::fs::read_to_string(path).unwrap();
        let docs = docs.split_once("//! # Place\n").unwrap().1;
        let chain = |start: &str| -> Option<Vec<usize>> {
            let line = docs.lines().find(|line| line.starts_with(start))?;
            let layers = line.split(".layer(").skip(1);
            let names: Vec<_> = layers.map(|rest| rest.split(')').next().unwrap()).collect();
            assert!(names.contains(&layer), "{line}");
            Some(names.into_iter().map(place).collect())
        };
        let built = chain("//! ServiceBuilder::new()").unwrap();
        assert!(built.len() > 1 && built.is_sorted(), "{layer}: {built:?}");
        if let Some(mut routed) = chain("//! Router::new().layer") {
            routed.reverse();
            assert!(routed.len() > 1 && routed.is_sorted(), "{layer}: {routed:?}");
        }
    }
}
