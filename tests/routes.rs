//! One stack for all routes of inference: names, bodies and what is closed.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_inference::{
    access_log::AccessLogLayer,
    body::ResponseBody,
    cache::{CacheLayer, Scope},
    limits::{Limit, Quota},
    model::{BodyForm, Profile},
    payload::{Payload, PayloadLayer},
    record::Record,
    rejection::{Rejection, RejectionFormat},
    route::RouteLayer,
    schema::{BuiltInSchemas, SchemaLayer},
    stack::Stack,
    test_util::{TestResponse, TestUpstream},
    throttle::ThrottleLayer,
    transform::TransformLayer,
    upstream::UpstreamLayer,
};

const JSON: &str = "application/json";

/// The name that the route got, or else the status.
type Names = Arc<Mutex<Vec<Option<String>>>>;

/// One stack for all routes, its upstream and the names in its access log.
struct Gateway {
    send: Box<dyn Fn(Request<Full<Bytes>>) -> Sent + Send + Sync>,
    upstream: TestUpstream,
    names: Names,
}

type Sent = std::pin::Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

/// Calls a service once and reads the response.
fn once<S, B>(service: S, request: Request<Full<Bytes>>) -> Sent
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: std::fmt::Debug>
        + Send
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Send,
{
    Box::pin(async move {
        let (head, body) = service.oneshot(request).await.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    })
}

impl Gateway {
    fn new(layer: RouteLayer, profile: &Profile) -> Self {
        let upstream = TestUpstream::new(TestResponse::json(json!({})));
        let names = Names::default();
        let noted = Arc::clone(&names);
        let log = AccessLogLayer::sink(move |record: &Record<'_>| {
            noted.lock().unwrap().push(record.route().map(str::to_owned));
        });
        let stack = Stack::new()
            .payload(PayloadLayer::by_route())
            .schema(SchemaLayer::built_in(&BuiltInSchemas::new(profile.clone())))
            .transform(TransformLayer::new().max_output_tokens(100).binary_bodies())
            .upstream(UpstreamLayer::new())
            .layer(upstream.clone());
        let gateway = Stack::new().access_log(log).layer(layer.layer(stack));
        let send = Box::new(move |request| once(gateway.clone(), request));
        Self { send, upstream, names }
    }

    fn open(profile: &Profile) -> Self {
        Self::new(RouteLayer::new(profile), profile)
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: &str) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(path);
        if !kind.is_empty() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        (self.send)(request.body(Full::from(body.to_owned())).unwrap()).await
    }

    async fn post(&self, path: &str, kind: &str, body: &str) -> StatusCode {
        self.send(Method::POST, path, kind, body).await.status()
    }

    fn last_name(&self) -> Option<String> {
        self.names.lock().unwrap().last().cloned().flatten()
    }
}

const MULTIPART: &str = "multipart/form-data; boundary=x";

#[tokio::test]
async fn one_stack_serves_all_routes() {
    let gateway = Gateway::open(&Profile::compatible());
    for (path, name, kind, good, bad) in [
        (
            "/v1/chat/completions",
            None,
            JSON,
            r#"{"model":"m","messages":[{"role":"user","content":"a"}]}"#,
            r#"{"messages":7}"#,
        ),
        (
            "/v1/completions",
            None,
            JSON,
            r#"{"model":"m","prompt":"a"}"#,
            r#"{"prompt":"a","max_tokens":"b"}"#,
        ),
        ("/v1/responses", None, JSON, r#"{"model":"m","input":"a"}"#, r#"{"input":7}"#),
        (
            "/v1/messages",
            None,
            JSON,
            r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"a"}]}"#,
            r#"{"messages":7}"#,
        ),
        ("/v1/embeddings", None, JSON, r#"{"model":"m","input":"a"}"#, r#"{"input":7}"#),
        ("/rerank", None, JSON, r#"{"query":"a","texts":["b"]}"#, r#"{"query":7}"#),
        (
            "/v1/rerank",
            None,
            JSON,
            r#"{"model":"m","query":"a","documents":["b"]}"#,
            r#"{"query":7}"#,
        ),
        ("/models/a/b", Some("/models/{model}"), JSON, r#"{"inputs":"a"}"#, "{"),
        (
            "/hf-inference/models/a/v1/embeddings",
            Some("/models/{model}/v1/embeddings"),
            JSON,
            r#"{"input":"a"}"#,
            r#"{"input":7}"#,
        ),
        ("/models/a/b", Some("/models/{model}"), "audio/flac", "fLaC\0", r#"{"inputs":"#),
        ("/v1/audio/transcriptions", None, MULTIPART, "--x--", r"{}"),
    ] {
        let calls = gateway.upstream.calls();
        assert_eq!(gateway.post(path, kind, good).await, StatusCode::OK, "{path} {good}");
        assert_eq!(gateway.last_name().as_deref(), Some(name.unwrap_or(path)));
        let requests = gateway.upstream.requests();
        assert_eq!(requests.len(), calls + 1, "{path}");
        if kind != JSON {
            assert_eq!(requests[calls].body(), good, "{path}");
            continue;
        }
        let sent: Value = serde_json::from_slice(requests[calls].body()).unwrap();
        let generates = ["max_tokens", "max_output_tokens", "parameters"];
        let limited = generates.iter().any(|name| sent.get(name).is_some());
        let text = !["embed", "rerank"].iter().any(|word| path.contains(word));
        assert_eq!(limited, text, "{path} {sent}");
        let status = gateway.post(path, kind, bad).await;
        assert!(status.is_client_error(), "{path} {bad} {status}");
        assert_eq!(gateway.upstream.calls(), calls + 1, "{path}");
    }
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(gateway.send(method, "/v1/models", "", "").await.status(), StatusCode::OK);
        assert_eq!(gateway.last_name().as_deref(), Some("/v1/models"));
    }
}

#[tokio::test]
async fn body_is_read_as_its_route_requires() {
    let gateway = Gateway::open(&Profile::compatible());
    for (path, kind, body, status) in [
        ("/v1/embeddings", MULTIPART, "--x--", 415),
        ("/v1/audio/speech", MULTIPART, "--x--", 415),
        ("/v1/models/a/audio/transcriptions", MULTIPART, "--x--", 404),
        ("/", "audio/flac", "fLaC\0", 200),
        ("/", JSON, "{", 400),
        ("/", "audio/flac", r#"{"messages":7}"#, 422),
        // A body that some reader may take for JSON is not passed unread.
        ("/v1/audio/transcriptions", JSON, "{}", 415),
        ("/v1/audio/transcriptions", "application/x-www-form-urlencoded", "a=1", 415),
    ] {
        assert_eq!(gateway.post(path, kind, body).await.as_u16(), status, "{path} {kind} {body}");
    }
}

#[tokio::test]
async fn all_else_is_closed() {
    let gateway = Gateway::open(&Profile::compatible());
    for path in [
        "/v1",
        "/v1/",
        "/v1/files",
        "/v1/models/gpt2",
        "/v1/fine_tuning/jobs",
        "/metrics",
        "/info",
        "/health",
        "/docs",
        "/_custom_router/set-backends",
        "/api/models/distilbert/x",
        "/api/whoami-v2",
        "/together/v1/chat/completions",
        "/models",
        "/models/",
        "/hf-inference/models/",
        "/models/a/b/c",
        "/models/a/b/pipeline/text-to-image/x",
        // Other spellings of an open path.
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/chat/completion%73",
        "/%761/chat/completions",
        "/V1/chat/completions",
        "/v1/chat/completions;x",
        "/models/..",
        "/models/../metrics",
        "/models/%2e%2e/metrics",
        "/models/a/..",
        "/models/./a",
        "/models//a",
        "/models/a/",
        "/models/a//v1/completions",
        "/models/a%2Fb",
        "/hf-inference/models/../../api/whoami-v2",
    ] {
        let response = gateway.send(Method::POST, path, JSON, "{}").await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(response.extensions().get::<Rejection>().unwrap().refusal().slug(), "not-found");
        assert_eq!(gateway.last_name(), None);
    }
    assert_eq!(gateway.upstream.calls(), 0);
}

#[tokio::test]
async fn other_methods_are_rejected_with_those_that_are_open() {
    let gateway = Gateway::open(&Profile::compatible());
    for (method, path, allow) in [
        (Method::GET, "/v1/chat/completions", "POST"),
        (Method::DELETE, "/models/a/b", "POST"),
        (Method::POST, "/v1/models", "GET, HEAD"),
        (Method::OPTIONS, "/v1/embeddings", "POST"),
    ] {
        let response = gateway.send(method.clone(), path, JSON, "{}").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert_eq!(response.headers()[header::ALLOW], allow);
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert!(body["detail"].as_str().unwrap().contains(allow), "{body}");
    }
    assert_eq!(gateway.upstream.calls(), 0);
}

#[tokio::test]
async fn added_routes_are_open_and_named() {
    let profile = Profile::compatible()
        .route("/ask", BodyForm::Chat)
        .route("/hear", BodyForm::Media)
        .route("/v1/audio/transcriptions", BodyForm::Media);
    let layer = RouteLayer::new(&profile)
        .route(Method::POST, "/v1/chat/completions", "chat")
        .route(Method::GET, "/info", "info")
        .route(Method::PUT, "/info", "info")
        .route(Method::POST, "/together/v1/completions", "together");
    let gateway = Gateway::new(layer, &profile);
    let chat = r#"{"messages":[{"role":"user","content":"a"}]}"#;
    for (method, path, kind, body, name) in [
        (Method::POST, "/ask", JSON, chat, "/ask"),
        (Method::POST, "/hear", "audio/flac", "fLaC\0", "/hear"),
        (Method::POST, "/v1/audio/transcriptions", MULTIPART, "--x--", "/v1/audio/transcriptions"),
        (Method::POST, "/v1/chat/completions", JSON, chat, "chat"),
        (Method::POST, "/together/v1/completions", JSON, r#"{"prompt":"a"}"#, "together"),
        (Method::GET, "/info", "", "", "info"),
        (Method::PUT, "/info", JSON, "{}", "info"),
    ] {
        let response = gateway.send(method, path, kind, body).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(gateway.last_name().as_deref(), Some(name));
    }
    let closed = gateway.send(Method::POST, "/info", JSON, "{}").await;
    assert_eq!(closed.headers()[header::ALLOW], "GET, PUT");
    // A route of the user replaces the methods of a known one.
    let models = RouteLayer::new(&profile).route(Method::POST, "/v1/models", "models");
    let gateway = Gateway::new(models, &profile);
    assert_eq!(gateway.post("/v1/models", JSON, "{}").await, StatusCode::OK);
    let closed = gateway.send(Method::GET, "/v1/models", "", "").await;
    assert_eq!(closed.headers()[header::ALLOW], "POST");
}

#[tokio::test]
async fn rejection_has_the_chosen_format() {
    let profile = Profile::compatible();
    let layer = RouteLayer::new(&profile).rejections(RejectionFormat::ApiGateway);
    let gateway = Gateway::new(layer, &profile);
    let response = gateway.send(Method::POST, "/x", JSON, "{}").await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()["x-amzn-errortype"], "MissingAuthenticationTokenException");
    let response = gateway.send(Method::GET, "/embed", JSON, "{}").await;
    assert_eq!(
        (response.status(), &response.headers()["allow"]),
        (StatusCode::FORBIDDEN, &"POST".parse().unwrap())
    );
}

#[tokio::test]
async fn name_of_an_inner_layer_leaves_the_body_as_the_route_requires() {
    let upstream = TestUpstream::new(TestResponse::json(json!({})));
    let inner = RouteLayer::named("speech").layer(PayloadLayer::by_route().layer(upstream));
    let service = RouteLayer::new(&Profile::compatible()).layer(inner);
    let request = Request::post("/v1/audio/transcriptions").header(header::CONTENT_TYPE, MULTIPART);
    let response = once(service, request.body(Full::from("--x--")).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn without_a_route_the_body_is_json() {
    let upstream = TestUpstream::new(TestResponse::json(json!({})));
    let service = PayloadLayer::by_route().layer(upstream);
    let post = |kind: &str, body: &'static str| {
        let request = Request::post("/v1/audio/transcriptions").header(header::CONTENT_TYPE, kind);
        once(service.clone(), request.body(Full::from(body)).unwrap())
    };
    assert_eq!(post(JSON, "{}").await.status(), StatusCode::OK);
    assert_eq!(post(MULTIPART, "--x--").await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn routes_with_their_own_settings_share_limits_and_cache() {
    let upstream = TestUpstream::new(TestResponse::chat("Hello"));
    let cache = CacheLayer::new("upstream", Scope::by(|_| Some("all".to_owned())));
    let per_route = ThrottleLayer::new(Limit::per_route(Quota::per_day(3)));
    let all = ThrottleLayer::new(Limit::global(Quota::per_day(5)));
    let shared = Stack::new().peer_throttle(all).throttle(per_route).cache(cache);
    let chat = shared.clone().payload(PayloadLayer::new().max_body_bytes(1000));
    let short = shared.payload(PayloadLayer::new().max_body_bytes(100));
    let chat = RouteLayer::named("chat").layer(chat.layer(upstream.clone()));
    let short = RouteLayer::named("short").layer(short.layer(upstream.clone()));
    let request = |length: usize| {
        let content = "x".repeat(length);
        let body =
            json!({ "temperature": 0, "messages": [{ "role": "user", "content": content }] });
        let request = Request::post("/v1/chat/completions").header(header::CONTENT_TYPE, JSON);
        request.body(Full::from(body.to_string())).unwrap()
    };
    assert_eq!(once(chat.clone(), request(500)).await.status(), StatusCode::OK);
    assert_eq!(once(short.clone(), request(500)).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(once(chat.clone(), request(1)).await.status(), StatusCode::OK);
    assert_eq!(upstream.calls(), 2);
    // The name of the route is not part of the key, so the other route finds the entry.
    assert_eq!(once(short.clone(), request(1)).await.status(), StatusCode::OK);
    assert_eq!(upstream.calls(), 2);
    assert_eq!(once(chat.clone(), request(1)).await.status(), StatusCode::OK);
    // Three of the route are used up, and five of all.
    assert_eq!(once(chat, request(1)).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(once(short, request(1)).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn name_that_is_already_there_stays() {
    let service = RouteLayer::named("outer").layer(RouteLayer::named("inner").layer(
        tower::service_fn(async |request: Request<Payload>| {
            let context = tower_inference::context::RequestContext::of(request.extensions());
            let name = context.unwrap().route().unwrap().to_owned();
            Ok::<_, std::convert::Infallible>(Response::new(ResponseBody::<Full<Bytes>>::full(
                name.into(),
            )))
        }),
    ));
    let body = service.oneshot(Request::new(Payload::default())).await.unwrap().into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "outer");
}
