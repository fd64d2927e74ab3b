//! Responses to the client and the contract of a layer.

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
    rejection::{Refusal, RejectionFormat},
};

use super::{
    Outcome, bearer,
    issuer::{ED25519_OTHER, NOW, claims, token},
    jwt, layer, request, send,
    support::Probe,
    try_token,
};

fn expect_rejection(outcome: &Outcome, status: u16, slug: &str, challenge: &str) {
    assert_eq!(outcome.status, status);
    assert_eq!(outcome.json()["type"], format!("urn:tower-inference:refusal:{slug}"));
    assert_eq!(outcome.headers["content-type"], "application/problem+json");
    assert_eq!(outcome.headers.get_all("www-authenticate").iter().count(), 1);
    assert_eq!(outcome.challenge(), challenge);
    assert!(!outcome.passed());
}

#[tokio::test]
async fn challenge_for_missing_credentials_has_no_error() {
    for fields in
        [&[][..], &[""], &["Basic dXNlcjpwYXNz"], &["Bearer"], &["Digest a, b"], &["bearerx y"]]
    {
        let outcome = send(&layer(), request(fields)).await;
        expect_rejection(&outcome, 401, "missing-credentials", "Bearer");
        let detail = "send a token in the header `authorization: Bearer TOKEN`";
        assert_eq!(outcome.json()["detail"], detail, "{fields:?}");
    }
    let layer = AuthLayer::new(jwt()).realm("inference eu").unwrap();
    let outcome = send(&layer, request(&[])).await;
    expect_rejection(&outcome, 401, "missing-credentials", r#"Bearer realm="inference eu""#);
}

#[tokio::test]
async fn repeated_credentials_are_a_bad_request() {
    let valid = format!("Bearer {}", token("EdDSA", json!({})));
    let twice = format!("{valid}, {valid}");
    let spaced = format!("{valid} {valid}");
    let tabbed = format!("{valid}\tx");
    for fields in [
        &[valid.as_str(), &valid][..],
        &[&valid, "Basic dXNlcjpwYXNz"],
        &["", &valid],
        &[&twice],
        &[&spaced],
        &[&tabbed],
    ] {
        let outcome = send(&layer(), request(fields)).await;
        let challenge = r#"Bearer error="invalid_request", error_description="expected one `authorization` header with exactly one bearer token""#;
        expect_rejection(&outcome, 400, "invalid-request", challenge);
    }
}

#[tokio::test]
async fn scheme_is_case_insensitive_and_may_have_several_spaces() {
    let valid = token("EdDSA", json!({}));
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR    "] {
        let outcome = send(&layer(), request(&[&format!("{scheme}{valid}")])).await;
        assert!(outcome.passed(), "{scheme}");
    }
}

#[tokio::test]
async fn every_rejection_has_its_challenge() {
    let jwt = jwt().required_scopes(["infer", "models:read"]).unwrap();
    let layer = AuthLayer::new(jwt).realm("r").unwrap();
    let forged =
        ED25519_OTHER.token(&json!({ "alg": "EdDSA", "kid": "EdDSA" }), &claims(json!({})));
    expect_rejection(
        &try_token(&layer, &forged).await,
        401,
        "invalid-token",
        r#"Bearer realm="r", error="invalid_token", error_description="invalid bearer token""#,
    );
    expect_rejection(
        &try_token(&layer, &token("EdDSA", json!({ "exp": NOW }))).await,
        401,
        "expired-token",
        r#"Bearer realm="r", error="invalid_token", error_description="the bearer token has expired""#,
    );
    expect_rejection(
        &try_token(&layer, &token("EdDSA", json!({ "aud": "x" }))).await,
        401,
        "invalid-token",
        r#"Bearer realm="r", error="invalid_token", error_description="claim `aud` does not name this service""#,
    );
    expect_rejection(
        &try_token(&layer, &token("EdDSA", json!({}))).await,
        403,
        "insufficient-scope",
        r#"Bearer realm="r", error="insufficient_scope", error_description="missing scope `infer`", scope="infer models:read""#,
    );
}

#[tokio::test]
async fn rejections_have_the_format_of_api_gateway_when_configured() {
    let layer = layer().rejections(RejectionFormat::ApiGateway);
    let outcome = try_token(&layer, "nonsense").await;
    assert_eq!(outcome.status, 401);
    assert_eq!(outcome.json(), json!({ "message": "Unauthorized" }));
    assert_eq!(outcome.headers["x-amzn-errortype"], "UnauthorizedException");
    assert!(outcome.challenge().contains(r#"error="invalid_token""#));
}

#[tokio::test]
async fn grpc_request_is_rejected_with_a_grpc_status() {
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
async fn identity_from_an_outer_layer_is_removed() {
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
async fn context_has_the_rejection() {
    let mut request = request(&[]);
    let context = RequestContext::ensure(request.extensions_mut());
    send(&layer(), request).await;
    assert_eq!(context.outcome().rejection, Some("missing-credentials"));
}

/// Responds with the headers as a handler would log them.
async fn print_headers(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from(format!("{:?}", request.headers()))))
}

async fn text(
    response: Response<impl http_body::Body<Data = Bytes, Error = Infallible>>,
) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn credentials_are_forwarded_as_sensitive() {
    let valid = token("EdDSA", json!({}));
    let response = layer().layer(service_fn(print_headers)).oneshot(bearer(&valid)).await.unwrap();
    assert_eq!(text(response).await, r#"{"authorization": Sensitive}"#);
}

#[tokio::test]
async fn ready_instance_is_called() {
    let mut service =
        layer().layer(Probe::new(|_request: Request<()>| Response::new(Full::<Bytes>::default())));
    for _ in 0..3 {
        let field = format!("Bearer {}", token("EdDSA", json!({})));
        let request = Request::builder().header("authorization", field).body(()).unwrap();
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}

/// A service whose readiness and calls fail.
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
async fn readiness_and_errors_of_the_inner_service_pass_through() {
    let mut service = layer().layer(Unready);
    assert_eq!(service.ready().await.map(|_| ()), Err("gone"));
    let field = format!("Bearer {}", token("EdDSA", json!({})));
    let request = Request::builder().header("authorization", field).body(()).unwrap();
    assert_eq!(service.call(request).await.map(|_| ()), Err("broken"));
}

#[test]
fn public_types_have_the_auto_traits_of_their_parts() {
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
    let source = KeySource::from(Keys::from_jwks(super::issuer::jwks()).unwrap());
    sent(async move { source.refresh().await });
    cloned::<AuthLayer>();
    cloned::<Auth<()>>();
    cloned::<Jwt>();
    cloned::<RemoteKeys>();
}

#[tokio::test]
async fn service_gives_access_to_its_inner_service() {
    let mut service = Auth::new(Unready, jwt());
    assert!(service.ready().await.is_err());
    let Unready = service.get_ref();
    *service.get_mut() = Unready;
    let Unready = service.into_inner();

    let service = Auth::new(service_fn(print_headers), jwt());
    assert_eq!(service.oneshot(request(&[])).await.unwrap().status(), 401);
}
