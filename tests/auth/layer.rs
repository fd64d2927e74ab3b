//! What goes over the wire, and the contract of a layer.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    auth::{Auth, AuthLayer, Jwt, KeySource, Keys, RemoteKeys, ResponseFuture},
    context::RequestContext,
    identity::{Identity, Proof},
    rejection::{Refusal, RefusalFormat},
};

use super::{
    Outcome, bearer, jwt, layer,
    mint::{ED25519_OTHER, NOW, claims, token},
    request, send,
    support::Probe,
    try_token,
};

fn says(outcome: &Outcome, status: u16, slug: &str, challenge: &str) {
    assert_eq!(outcome.status, status);
    assert_eq!(outcome.json()["type"], format!("urn:tower-inference:refusal:{slug}"));
    assert_eq!(outcome.headers["content-type"], "application/problem+json");
    assert_eq!(outcome.headers.get_all("www-authenticate").iter().count(), 1);
    assert_eq!(outcome.challenge(), challenge);
    assert!(!outcome.passed());
}

#[tokio::test]
async fn missing_credentials_are_challenged_without_an_error() {
    for fields in
        [&[][..], &[""], &["Basic dXNlcjpwYXNz"], &["Bearer"], &["Digest a, b"], &["bearerx y"]]
    {
        says(&send(&layer(), request(fields)).await, 401, "missing-credentials", "Bearer");
    }
    let layer = AuthLayer::new(jwt().realm("inference \"eu\"\\"));
    let outcome = send(&layer, request(&[])).await;
    says(&outcome, 401, "missing-credentials", r#"Bearer realm="inference eu""#);
}

#[tokio::test]
async fn credentials_that_come_twice_are_a_bad_request() {
    let held = format!("Bearer {}", token("EdDSA", json!({})));
    let twice = format!("{held}, {held}");
    let spaced = format!("{held} {held}");
    let tabbed = format!("{held}\tx");
    for fields in [
        &[held.as_str(), &held][..],
        &[&held, "Basic dXNlcjpwYXNz"],
        &["", &held],
        &[&twice],
        &[&spaced],
        &[&tabbed],
    ] {
        let outcome = send(&layer(), request(fields)).await;
        let challenge = r#"Bearer error="invalid_request", error_description="there must be one authorization field with one token""#;
        says(&outcome, 400, "invalid-request", challenge);
    }
}

#[tokio::test]
async fn the_scheme_is_case_insensitive_and_may_be_followed_by_spaces() {
    let held = token("EdDSA", json!({}));
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR    "] {
        let outcome = send(&layer(), request(&[&format!("{scheme}{held}")])).await;
        assert!(outcome.passed(), "{scheme}");
    }
}

#[tokio::test]
async fn each_refusal_has_its_challenge() {
    let layer = AuthLayer::new(jwt().realm("r").required_scopes(["infer", "models:read"]));
    let forged =
        ED25519_OTHER.token(&json!({ "alg": "EdDSA", "kid": "EdDSA" }), &claims(json!({})));
    says(
        &try_token(&layer, &forged).await,
        401,
        "invalid-token",
        r#"Bearer realm="r", error="invalid_token", error_description="the token does not hold""#,
    );
    says(
        &try_token(&layer, &token("EdDSA", json!({ "exp": NOW }))).await,
        401,
        "expired-token",
        r#"Bearer realm="r", error="invalid_token", error_description="the token has expired""#,
    );
    says(
        &try_token(&layer, &token("EdDSA", json!({ "aud": "x" }))).await,
        401,
        "invalid-token",
        r#"Bearer realm="r", error="invalid_token", error_description="the signature holds, aud does not""#,
    );
    says(
        &try_token(&layer, &token("EdDSA", json!({}))).await,
        403,
        "insufficient-scope",
        r#"Bearer realm="r", error="insufficient_scope", error_description="the token lacks a scope", scope="infer models:read""#,
    );
}

#[tokio::test]
async fn refusals_look_like_api_gateways_when_asked_to() {
    let layer = layer().refusals(RefusalFormat::ApiGateway);
    let outcome = try_token(&layer, "nonsense").await;
    assert_eq!(outcome.status, 401);
    assert_eq!(outcome.json(), json!({ "message": "Unauthorized" }));
    assert_eq!(outcome.headers["x-amzn-errortype"], "UnauthorizedException");
    assert!(outcome.challenge().contains(r#"error="invalid_token""#));
}

#[tokio::test]
async fn grpc_is_refused_with_a_status() {
    let mut request = bearer("nonsense");
    request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    let outcome = send(&layer(), request).await;
    assert_eq!(outcome.status, 200);
    assert_eq!(outcome.headers["grpc-status"], "16");
    assert_eq!((outcome.body.as_str(), outcome.calls), ("", 0));
    assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken));
}

#[tokio::test]
async fn every_method_needs_a_token() {
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::TRACE] {
        let mut request = request(&[]);
        *request.method_mut() = method;
        assert_eq!(send(&layer(), request).await.status, 401);
    }
}

#[tokio::test]
async fn an_identity_that_others_have_put_there_is_removed() {
    let planted = Arc::new(Identity::new(Proof::Other("planted"), "i", "admin"));
    for (fields, subject) in
        [(format!("Bearer {}", token("EdDSA", json!({}))), Some("user-7")), (String::new(), None)]
    {
        let mut request = request(&[&fields]);
        let context = RequestContext::ensure(request.extensions_mut());
        context.set_identity(Arc::clone(&planted));
        let _outcome = send(&layer(), request).await;
        let identity = context.identity();
        assert_eq!(identity.as_ref().map(|identity| identity.subject()), subject);
    }
}

#[tokio::test]
async fn the_refusal_is_noted_in_the_context() {
    let mut request = request(&[]);
    let context = RequestContext::ensure(request.extensions_mut());
    send(&layer(), request).await;
    assert_eq!(context.refusal(), Some("missing-credentials"));
}

/// Answers with what a careless handler would log.
async fn print_fields(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from(format!("{:?}", request.headers()))))
}

async fn text(
    response: Response<impl http_body::Body<Data = Bytes, Error = Infallible>>,
) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn credentials_go_on_marked_sensitive() {
    let held = token("EdDSA", json!({}));
    let response = layer().layer(service_fn(print_fields)).oneshot(bearer(&held)).await.unwrap();
    assert_eq!(text(response).await, r#"{"authorization": Sensitive}"#);
}

#[tokio::test]
async fn the_readied_instance_is_called_at_once() {
    let mut service =
        layer().layer(Probe::new(|_request: Request<()>| Response::new(Full::<Bytes>::default())));
    for _ in 0..3 {
        let field = format!("Bearer {}", token("EdDSA", json!({})));
        let request = Request::builder().header("authorization", field).body(()).unwrap();
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

/// Says that it is not ready, then that it cannot be.
#[derive(Clone)]
struct Unready;

impl Service<Request<()>> for Unready {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Err("gone"))
    }

    fn call(&mut self, _request: Request<()>) -> Self::Future {
        std::future::ready(Err("broken"))
    }
}

#[tokio::test]
async fn readiness_and_errors_are_the_inner_services() {
    let mut service = layer().layer(Unready);
    assert_eq!(service.ready().await.map(|_| ()), Err("gone"));
    let field = format!("Bearer {}", token("EdDSA", json!({})));
    let request = Request::builder().header("authorization", field).body(()).unwrap();
    assert_eq!(service.call(request).await.map(|_| ()), Err("broken"));
}

#[test]
fn its_types_go_where_their_parts_go() {
    fn anywhere<T: Send + Sync + Unpin + 'static>() {}
    fn cloned<T: Clone + std::fmt::Debug>() {}
    anywhere::<AuthLayer>();
    anywhere::<Auth<()>>();
    anywhere::<ResponseFuture<(), (), ()>>();
    anywhere::<Jwt>();
    anywhere::<Keys>();
    anywhere::<KeySource>();
    anywhere::<RemoteKeys>();
    fn sent(_: impl Send + 'static) {}
    let source = KeySource::from(Keys::from_jwks(super::mint::jwks()).unwrap());
    sent(async move { source.refresh().await });
    cloned::<AuthLayer>();
    cloned::<Auth<()>>();
    cloned::<Jwt>();
    cloned::<RemoteKeys>();
}
