//! The address of the upstream and the connection to it.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    client::HttpsClient,
    hf::{FetchedToken, HfTokenLayer, Origin, TokenSource, Tokens},
    model::Profile,
    payload::{Payload, PayloadLayer},
    route::RouteLayer,
    secret::Secret,
    stack::Stack,
    test_util::{TestResponse, TestUpstream},
    transform::{SystemMessage, TransformLayer},
    upstream::UpstreamLayer,
};

use crate::{leads_right, listen, warned_once};

type Client = HttpsClient<Empty<Bytes>>;

fn token() -> TokenSource {
    TokenSource::value(Secret::new("hf_example")).unwrap()
}

fn get(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri).body(Empty::new()).unwrap()
}

#[test]
fn the_base_url_has_no_scheme() {
    for origin in ["router.huggingface.co", "tgi:8080", "router.huggingface.co/v1"] {
        leads_right(Origin::new(origin).unwrap_err(), &["no scheme", "write https://"]);
    }
    // A server on this machine seldom speaks TLS.
    for origin in
        ["localhost:8000", "localhost:8000/v1", "//localhost:8000", "http:/localhost:8000"]
    {
        leads_right(
            Origin::new(origin).unwrap_err(),
            &["no scheme", "write http://localhost:8000"],
        );
    }
}

#[tokio::test]
async fn the_base_url_ends_in_a_version() {
    for base in ["https://router.huggingface.co", "https://router.huggingface.co/v1"] {
        let layer = HfTokenLayer::new(base.parse().unwrap(), token());
        let client = service_fn(|request: Request<Empty<Bytes>>| async move {
            let sent = Bytes::from(request.uri().to_string());
            Ok::<_, Infallible>(Response::new(Full::new(sent)))
        });
        let response = layer.layer(client).oneshot(get("/v1/models")).await.unwrap();
        let sent = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(sent, "https://router.huggingface.co/v1/models", "{base}");
    }
}

#[test]
fn the_base_url_is_the_url_of_a_route() {
    let error = Origin::new("https://router.huggingface.co/v1/chat/completions").unwrap_err();
    leads_right(error, &["ends in /chat/completions", "base URL"]);
}

#[tokio::test]
async fn the_upstream_is_reached_without_tls() {
    let error = Origin::new("http://tgi:8080").unwrap_err();
    leads_right(error, &["plain http to tgi:8080", "use https", "Origin::dangerous_plain_http"]);
    // The switch that is named is the only one. Nothing listens on the port.
    let origin = Origin::dangerous_plain_http("http://0.0.0.0:9").unwrap();
    let client: Client = HttpsClient::builder().build_for().unwrap();
    let error = HfTokenLayer::new(origin, token()).layer(client).oneshot(get("/")).await;
    let error = format!("{:?}", error.unwrap_err());
    assert!(error.contains("Connection refused") && !error.contains("plain http"), "{error}");
}

#[tokio::test]
async fn the_client_is_used_without_tls() {
    listen();
    let client: Client = HttpsClient::builder().build_for().unwrap();
    let error = client.clone().oneshot(get("http://tgi:8080/v1/models")).await.unwrap_err();
    let words = [
        "plain http to tgi:8080",
        "Origin::dangerous_plain_http",
        "RemoteKeys::dangerous_plain_http",
        "client::Builder::dangerous_plain_http",
    ];
    let of_main = format!("Error: {error:?}");
    assert!(words.iter().all(|word| of_main.contains(word)), "{of_main}");
    // Behind `UpstreamLayer` it is a 502 and a line of the log.
    let service = ServiceBuilder::new().layer(UpstreamLayer::new()).service(client);
    let response = service.oneshot(get("http://tgi:8080/v1/models")).await.unwrap();
    assert_eq!(response.status(), 502);
    warned_once(&words);
}

#[tokio::test]
async fn the_upstream_is_not_reached() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
        }
    });
    for (uri, words) in [
        // No `HfTokenLayer`.
        ("/v1/models", ["the request has no host", "HfTokenLayer sets the origin"]),
        ("http://127.0.0.1:9/v1/models", ["nothing listens", "check the port"]),
        (&*format!("https://{plain}/v1/models"), ["the TLS handshake failed", "speaks https"]),
        ("https://nobody.invalid/v1/models", ["cannot be found or reached", "check the name"]),
    ] {
        listen();
        let client: Client = HttpsClient::builder().build_for().unwrap();
        let service = ServiceBuilder::new().layer(UpstreamLayer::new()).service(client);
        let response = service.oneshot(get(uri)).await.unwrap();
        assert_eq!(response.status(), 502, "{uri}");
        warned_once(&words);
    }
}

#[tokio::test]
async fn the_port_of_the_upstream_is_another_one() {
    listen();
    let client = HttpsClient::builder().build().unwrap();
    let stack = Stack::new()
        .payload(PayloadLayer::new())
        .upstream(UpstreamLayer::new())
        .hf_token(HfTokenLayer::new("http://127.0.0.1:9".parse().unwrap(), token()));
    let response = stack.layer(client).oneshot(get("/v1/models")).await.unwrap();
    assert_eq!(response.status(), 502);
    warned_once(&["upstream=http://127.0.0.1:9 ", "kind=ConnectionRefused", "check the port"]);
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_too_slow() {
    let slow_body = TestResponse::chat_stream(["Hel"]).then_stalls();
    let second = Duration::from_secs(1);
    // Clones would share one warning a minute.
    let layer = UpstreamLayer::new;
    for (layer, setter, body) in [
        (layer().head_timeout(second), "UpstreamLayer::head_timeout", None),
        (layer().total_timeout(second), "UpstreamLayer::total_timeout", None),
        (layer().idle_timeout(second), "UpstreamLayer::idle_timeout", Some(&slow_body)),
        (layer().total_timeout(second), "UpstreamLayer::total_timeout", Some(&slow_body)),
    ] {
        listen();
        let upstream = TestUpstream::new(body.cloned().unwrap_or_else(TestResponse::silent));
        let token = HfTokenLayer::new("http://127.0.0.1:9".parse().unwrap(), token());
        let stack = Stack::new().payload(PayloadLayer::new()).upstream(layer).hf_token(token);
        let response = stack.layer(upstream).oneshot(get("/v1/models")).await.unwrap();
        assert_eq!(response.status(), if body.is_some() { 200 } else { 504 });
        assert_eq!(response.into_body().collect().await.is_err(), body.is_some());
        warned_once(&["upstream=http://127.0.0.1:9 ", "timeout=1s", setter]);
    }
}

#[tokio::test]
async fn the_upstream_rejects_the_token() {
    for (profile, header) in [
        (Profile::compatible(), "header=authorization"),
        (Profile::anthropic(), "header=x-api-key"),
    ] {
        listen();
        let upstream = TestUpstream::new(TestResponse::error(StatusCode::UNAUTHORIZED));
        let token = HfTokenLayer::new("https://api.anthropic.com".parse().unwrap(), token());
        let stack = Stack::new().payload(PayloadLayer::new()).upstream(UpstreamLayer::new());
        let gateway = stack.hf_token(token.profile(profile)).layer(upstream);
        assert_eq!(gateway.oneshot(get("/v1/models")).await.unwrap().status(), 502);
        let words = ["upstream=https://api.anthropic.com ", "token of HfTokenLayer", "::profile"];
        warned_once(&[&words[..], &[header]].concat());
    }
}

#[test]
fn layers_of_one_stack_have_different_profiles() {
    let (anthropic, openai) = (Profile::anthropic(), Profile::openai());
    let token = || {
        let source = TokenSource::value(Secret::new("sk-example")).unwrap();
        HfTokenLayer::new("https://api.anthropic.com".parse().unwrap(), source)
    };
    let words = ["sent=authorization", "expected=x-api-key", "HfTokenLayer::profile"];
    listen();
    // In either order of the calls.
    let _stack = Stack::new().route(RouteLayer::new(&anthropic)).hf_token(token());
    warned_once(&words);
    let _stack = Stack::new().hf_token(token()).route(RouteLayer::new(&anthropic));
    warned_once(&words);
    let edits = TransformLayer::new().max_output_tokens(10);
    let _stack = Stack::new().route(RouteLayer::new(&openai)).transform(edits.clone());
    warned_once(&["TransformLayer::profile"]);
    let _stack = Stack::new().transform(edits.clone()).route(RouteLayer::new(&openai));
    warned_once(&["TransformLayer::profile"]);

    let _stack = Stack::new()
        .route(RouteLayer::new(&anthropic))
        .transform(edits.clone().profile(anthropic.clone()))
        .hf_token(token().profile(anthropic.clone()));
    // No edit follows the profile.
    let headers = TransformLayer::new().system_message(SystemMessage::new("Be brief."));
    let _stack = Stack::new().route(RouteLayer::new(&openai)).transform(headers).hf_token(token());
    let _stack = Stack::new().route(RouteLayer::named("chat")).transform(edits).hf_token(token());
    assert_eq!(crate::logged(), "");
}

#[test]
fn the_profile_is_looked_up_by_a_url() {
    let openai = format!("{:?}", Profile::openai());
    for text in ["api.openai.com", "https://api.openai.com/v1", "API.openai.com:443"] {
        assert_eq!(format!("{:?}", Profile::from_host(text).unwrap()), openai, "{text}");
    }
    for other in ["https://api.openai.com@evil.example", "evil.example/api.openai.com", "", "://"] {
        assert!(Profile::from_host(other).is_none(), "{other}");
    }
}

#[test]
fn the_roots_are_der() {
    let build = |pem: &[u8]| HttpsClient::builder().root_certificates_pem(pem).build().unwrap_err();
    leads_right(build(b"0\x82\x01\x0a\x02"), &["it is DER", "expected PEM"]);
    let key = b"-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n";
    leads_right(build(key), &["it is PEM: a private key", "BEGIN CERTIFICATE"]);
    leads_right(build(b"roots.pem"), &["it is the path of a file"]);
}

#[tokio::test]
async fn a_streamed_body_meets_a_rotated_token() {
    listen();
    let token = TokenSource::fetch(|| async {
        Ok::<_, Infallible>(FetchedToken::new(Secret::new("hf_example")))
    });
    let layer = HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), token);
    let client = TestUpstream::new(TestResponse::error(StatusCode::UNAUTHORIZED));
    let body = Payload::streamed(Full::from("prompt"));
    let response = layer.layer(client).oneshot(Request::post("/v1/x").body(body).unwrap()).await;
    assert_eq!(response.unwrap().status(), StatusCode::BAD_GATEWAY);
    warned_once(&["rejected the gateway's token", "streamed", "PayloadLayer::new()"]);
}

#[tokio::test]
async fn the_requests_have_no_tenant_or_model_for_a_token() {
    let by_tenant: Tokens = Tokens::by_tenant().into();
    let by_model: Tokens = Tokens::by_model().into();
    for (tokens, words) in [
        (by_tenant, ["no tenant", "ClaimMapping::tenant", "TenantTokens::otherwise"]),
        (by_model, ["not certain", "PayloadLayer::new()", "ModelTokens::otherwise"]),
    ] {
        listen();
        let layer = HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), tokens);
        let client = TestUpstream::new(TestResponse::chat("never"));
        let request = Request::get("/v1/models").body(Payload::default()).unwrap();
        let response = layer.layer(client).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        warned_once(&words);
    }
}
