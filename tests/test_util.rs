//! The issuer and the upstream for tests of a user's own gateway.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    auth::{AuthLayer, Jwt, KeySource},
    clock::FakeClock,
    context::RequestContext,
    test_util::{TestBody, TestFault, TestIssuer, TestResponse, TestToken, TestUpstream},
};

/// The status and the slug of the rejection of a request to a gateway with these requirements.
async fn verdict(
    jwt: Jwt,
    authorization: impl TryInto<HeaderValue>,
) -> (u16, Option<&'static str>) {
    let service = AuthLayer::new(jwt).layer(service_fn(async |request: Request<()>| {
        let caller = RequestContext::of(request.extensions()).unwrap().identity();
        assert_eq!(caller.unwrap().subject(), "ann");
        Ok::<_, std::convert::Infallible>(Response::new(()))
    }));
    let mut request = Request::new(());
    let context = RequestContext::ensure(request.extensions_mut());
    let authorization = authorization.try_into().unwrap_or_else(|_| panic!("it is a header"));
    request.headers_mut().insert(header::AUTHORIZATION, authorization);
    let response = service.oneshot(request).await.unwrap();
    (response.status().as_u16(), context.outcome().rejection)
}

async fn rejected(token: TestToken, jwt: Jwt) -> Option<&'static str> {
    verdict(jwt, token).await.1
}

#[tokio::test]
async fn token_meets_the_requirements_of_its_issuer() {
    let issuer = TestIssuer::new();
    let jwt = issuer.jwt().required_scopes(["infer", "models:read"]).unwrap();
    let token = issuer.token("ann").scope("infer").scope("models:read");
    assert_eq!(verdict(jwt.clone(), &*token.bearer()).await, (200, None));
    assert_eq!(
        verdict(jwt.strict_access_tokens(), token.claim("client_id", "c").claim("jti", "1")).await,
        (200, None)
    );
}

#[tokio::test]
async fn token_that_a_claim_spoils_is_rejected() {
    let issuer = TestIssuer::new();
    let jwt = issuer.jwt().required_scopes(["infer"]).unwrap();
    let token = || issuer.token("ann").scope("infer");
    for (token, slug) in [
        (issuer.token("ann"), "insufficient-scope"),
        (token().expired(), "expired-token"),
        (token().audience("elsewhere"), "invalid-token"),
        (token().claim("sub", Value::Null), "invalid-token"),
        (token().claim("iss", "https://other.example"), "invalid-token"),
        (TestIssuer::new().token("ann").scope("infer"), "invalid-token"),
    ] {
        assert_eq!(rejected(token.clone(), jwt.clone()).await, Some(slug), "{token}");
    }
}

#[tokio::test]
async fn token_expires_by_the_clock_of_the_issuer() {
    let clock = FakeClock::default();
    let issuer = TestIssuer::new().clock(clock.shared());
    let jwt = issuer.jwt().leeway(Duration::ZERO);
    let token = issuer.token("ann").expires_in(Duration::from_secs(60));
    assert_eq!(rejected(token.clone(), jwt.clone()).await, None);
    clock.advance(Duration::from_secs(61));
    assert_eq!(rejected(token, jwt).await, Some("expired-token"));
}

#[tokio::test]
async fn issuer_is_a_service_for_discovery() {
    let clock = FakeClock::default();
    for url in
        ["https://issuer.example", "https://issuer.example/", "https://issuer.example/realms/a"]
    {
        let issuer = TestIssuer::new().url(url).audience("api").clock(clock.shared());
        let keys = issuer.remote_keys().build().unwrap();
        keys.refresh().await.unwrap();
        let jwt = Jwt::new(keys, url, "api").clock(clock.shared());
        assert_eq!(verdict(jwt, issuer.token("ann")).await, (200, None), "{url}");
    }
    let fixed = Jwt::new(KeySource::from(&TestIssuer::new()), "https://issuer.example", "gateway");
    assert_eq!(rejected(TestIssuer::new().token("ann"), fixed).await, Some("invalid-token"));

    let issuer = TestIssuer::new();
    for (method, path) in [("GET", "/"), ("POST", "/jwks"), ("GET", "/jwks/")] {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        let response = issuer.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method} {path}");
    }
}

#[tokio::test]
async fn issuer_serves_on_a_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let issuer = TestIssuer::new().url(&*url);
    let router = axum::Router::new().fallback_service(issuer.clone());
    let server = tokio::spawn(async { axum::serve(listener, router).await });
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<Full<Bytes>>();
    let keys = tower_inference::auth::RemoteKeys::discovery(&*url, client).build().unwrap();
    keys.refresh().await.unwrap();
    let jwt = Jwt::new(keys, &*url, "gateway");
    assert_eq!(verdict(jwt, issuer.token("ann")).await, (200, None));
    server.abort();
}

#[test]
fn debug_output_contains_no_token() {
    let issuer = TestIssuer::new();
    let token = issuer.token("ann").claim("email", "ann@example.com");
    let signature = token.to_string();
    let printed = format!("{token:?} {issuer:?}");
    assert!(!printed.contains("ann") && !printed.contains(signature.rsplit('.').next().unwrap()));
    let header = HeaderValue::try_from(token).unwrap();
    assert!(header.is_sensitive());
}

async fn call(
    upstream: &TestUpstream,
    body: &'static str,
) -> Result<Response<TestBody>, TestFault> {
    let request = Request::post("/v1/chat/completions?a=1").header("x-team", "search");
    upstream.clone().oneshot(request.body(Full::new(Bytes::from(body))).unwrap()).await
}

async fn text(response: Response<TestBody>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

#[tokio::test]
async fn responses_come_in_turn_and_the_last_repeats() {
    let retry_after = HeaderName::from_static("retry-after");
    let upstream =
        TestUpstream::new(TestResponse::json(json!([1]))).then(TestResponse::unreachable()).then(
            TestResponse::error(StatusCode::TOO_MANY_REQUESTS)
                .header(retry_after, HeaderValue::from_static("7")),
        );
    assert_eq!(text(call(&upstream, "a").await.unwrap()).await, "[1]");
    assert_eq!(call(&upstream, "b").await.unwrap_err(), TestFault::Unreachable);
    for _ in 0..2 {
        let response = call(&upstream, "c").await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (429, &"7".parse().unwrap())
        );
        assert!(text(response).await.contains(r#""type":"invalid_request_error""#));
    }
    assert_eq!(upstream.calls(), 4);
    let [first, second, ..] = &*upstream.requests() else { panic!() };
    assert_eq!(
        (first.method().as_str(), &*first.uri().to_string()),
        ("POST", "/v1/chat/completions?a=1")
    );
    assert_eq!(
        (&first.headers()["x-team"], &**first.body()),
        (&"search".parse().unwrap(), &b"a"[..])
    );
    assert_eq!(&**second.body(), b"b");
    let printed = format!("{first:?} {upstream:?}");
    assert!(!printed.contains("search"), "{printed}");
}

#[tokio::test]
async fn chat_has_its_usage_and_its_length() {
    let response = call(&TestUpstream::new(TestResponse::chat("one two")), "").await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let length = http_body::Body::size_hint(response.body()).exact();
    let body = text(response).await;
    assert_eq!(length, Some(body.len() as u64));
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "one two");
    assert_eq!(body["usage"]["completion_tokens"], 2);
}

#[tokio::test]
async fn stream_is_one_event_a_piece_and_may_break_off() {
    let stream = || TestResponse::chat_stream(["Hel", "lo"]);
    let whole = call(&TestUpstream::new(stream()), "").await.unwrap();
    assert_eq!(whole.headers()[header::CONTENT_TYPE], "text/event-stream");
    let whole = text(whole).await;
    assert_eq!(whole.matches("data: {").count(), 3, "{whole}");
    assert!(whole.contains(r#""finish_reason":"stop""#) && whole.ends_with("data: [DONE]\n\n"));

    let mut broken = call(&TestUpstream::new(stream().then_fails()), "").await.unwrap().into_body();
    let mut frames = Vec::new();
    let fault = loop {
        match broken.frame().await.unwrap() {
            Ok(frame) => frames.push(frame.into_data().unwrap()),
            Err(fault) => break fault,
        }
    };
    assert_eq!((frames.len(), fault), (2, TestFault::Body));
    assert!(!frames.concat().windows(6).any(|bytes| bytes == b"\"stop\""));
    assert!(broken.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn silent_upstream_and_stalled_body_wait_for_ever() {
    let long = Duration::from_secs(1 << 30);
    let silent = TestUpstream::new(TestResponse::silent());
    assert!(tokio::time::timeout(long, call(&silent, "")).await.is_err());
    assert_eq!(silent.calls(), 1);

    let stalled = TestUpstream::new(TestResponse::events(["1"]).then_stalls());
    let mut body = call(&stalled, "").await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
    assert!(tokio::time::timeout(long, body.frame()).await.is_err());
}

#[tokio::test]
async fn body_that_fails_on_its_way_is_no_request() {
    let upstream = TestUpstream::new(TestResponse::chat("Hello"));
    let broken = TestResponse::json(json!(1)).then_fails();
    let body = call(&TestUpstream::new(broken), "").await.unwrap().into_body();
    let fault = upstream.clone().call(Request::new(body)).await.unwrap_err();
    assert_eq!((fault, upstream.calls()), (TestFault::Body, 0));
}

/// Cargo unifies features, so the test build would be another one than the program's.
#[test]
fn feature_changes_no_other_crate() {
    let manifest = include_str!("../Cargo.toml");
    assert!(manifest.lines().any(|line| line == "test-util = []"));
}
