//! Extractors for handlers of axum.

use std::sync::{Arc, Mutex};

use axum::{
    Extension, Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
    middleware::{Next, from_fn},
    routing::post,
};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::{ServiceBuilder, ServiceExt};
use tower_inference::{
    auth::AuthLayer,
    context::RequestContext,
    extract::{Caller, ExtractRejection, RequestId},
    identity::{Identity, Proof},
    payload::{Payload, PayloadLayer},
    rejection::RejectionFormat,
    request_id::RequestIdLayer,
    test_util::TestIssuer,
};

const JSON: &str = "application/json";

async fn send(app: Router, request: Request<Body>) -> (StatusCode, String) {
    let response: Response<Body> = app.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8(body.into()).unwrap())
}

fn request(kind: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post("/").header(header::CONTENT_TYPE, kind).body(body.into()).unwrap()
}

fn slug(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap();
    body["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned()
}

#[tokio::test]
async fn handler_takes_what_the_layers_found_out() {
    async fn handler(
        caller: Caller,
        id: RequestId,
        context: RequestContext,
        payload: Payload,
    ) -> String {
        assert_eq!(context.request_id(), Some(id.as_str()));
        assert_eq!((&*id, id.to_string().as_str()), (id.as_str(), id.as_str()));
        let Caller(identity) = &caller;
        assert_eq!(identity.subject(), caller.subject());
        let body = payload.document().unwrap();
        format!("{} {}", caller.subject(), body.root().get("a").unwrap().as_u64().unwrap())
    }
    let issuer = TestIssuer::new();
    let layers = ServiceBuilder::new()
        .layer(RequestIdLayer::new())
        .layer(AuthLayer::new(issuer.jwt()))
        .layer(PayloadLayer::new());
    let app = Router::new().route("/", post(handler)).layer(layers);
    let with = |token: String| {
        let mut request = request(JSON, r#"{"a": 7}"#);
        request.headers_mut().insert(header::AUTHORIZATION, token.parse().unwrap());
        request
    };
    let response = send(app.clone(), with(issuer.token("ann").bearer())).await;
    assert_eq!(response, (StatusCode::OK, "ann 7".to_owned()));
    let (status, body) = send(app, request(JSON, "{}")).await;
    assert_eq!((status, &*slug(&body)), (StatusCode::UNAUTHORIZED, "missing-credentials"));
}

#[tokio::test]
async fn rejections_have_the_format_of_the_service() {
    async fn of_caller(_: Caller) {}
    async fn of_id(_: RequestId) {}
    async fn of_payload(_: Payload) {}
    for (handler, refused) in [
        (post(of_caller), "UnauthorizedException"),
        (post(of_id), "InternalServerErrorException"),
        (post(of_payload), "BadRequestException"),
    ] {
        let app = Router::new().route("/", handler).layer(Extension(RejectionFormat::ApiGateway));
        let response: Response<Body> = app.oneshot(request(JSON, "{")).await.unwrap();
        assert_eq!(response.headers()["x-amzn-errortype"], refused);
        assert_eq!(response.headers()[header::CONTENT_TYPE], JSON);
    }
}

/// The address of the document that a layer or a handler has seen.
type Seen = Arc<Mutex<Vec<usize>>>;

fn note(seen: &Seen, payload: &Payload) {
    let document: *const _ = payload.document().unwrap();
    seen.lock().unwrap().push(document.addr());
}

#[tokio::test]
async fn body_is_parsed_once() {
    let seen = Seen::default();
    let handler = {
        let seen = Arc::clone(&seen);
        async move |payload: Payload| note(&seen, &payload)
    };
    let noting = {
        let seen = Arc::clone(&seen);
        tower::util::MapRequestLayer::new(move |request: Request<Payload>| {
            note(&seen, request.body());
            request
        })
    };
    let big = format!(r#"{{"a": "{}"}}"#, "x".repeat(11 << 20));
    let app = Router::new().route("/", post(handler)).layer(
        ServiceBuilder::new().layer(PayloadLayer::new().max_body_bytes(20 << 20)).layer(noting),
    );
    for body in [r#"{"a": 1}"#.to_owned(), big] {
        let (status, body) = send(app.clone(), request(JSON, body)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert_eq!((seen.len(), seen[0]), (2, seen[1]));
    }
}

#[tokio::test]
async fn body_that_nobody_has_read_is_read_within_the_defaults() {
    async fn handler(payload: Payload) -> Vec<u8> {
        payload.bytes().unwrap().to_vec()
    }
    let app = Router::new().route("/", post(handler));
    let (status, body) = send(app.clone(), request(JSON, "[1]")).await;
    assert_eq!((status, &*body), (StatusCode::OK, "[1]"));
    for (kind, body, status, expected) in [
        (JSON, "[1".to_owned(), 400, "malformed-payload"),
        ("text/plain", "[1]".to_owned(), 415, "unsupported-media-type"),
        (JSON, format!("[{}]", " ".repeat(10 << 20)), 413, "payload-too-large"),
    ] {
        let (found, body) = send(app.clone(), request(kind, body)).await;
        assert_eq!((found.as_u16(), &*slug(&body)), (status, expected));
    }
    // A layer in between that replaces the body opens no way around the bound.
    let swap = from_fn(async |request: axum::extract::Request, next: Next| {
        let body = Body::new(Chunks(11 << 10));
        next.run(request.map(|_| body)).await
    });
    let app = app.layer(swap).layer(PayloadLayer::new());
    let (status, body) = send(app, request(JSON, "[1]")).await;
    assert_eq!((status.as_u16(), &*slug(&body)), (413, "payload-too-large"));
}

/// A number of KiB without an announced length.
struct Chunks(usize);

impl http_body::Body for Chunks {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or_default();
        let frame = || Ok(http_body::Frame::data(bytes::Bytes::from_static(&[b' '; 1024])));
        std::task::Poll::Ready(left.map(|_| frame()))
    }
}

#[tokio::test]
async fn missing_layer_is_named() {
    async fn id(_: RequestId) {}
    async fn context(_: RequestContext) {}
    async fn caller(_: Caller) {}
    async fn optional(caller: Option<Caller>, id: Option<RequestId>) -> String {
        format!("{} {}", caller.is_some(), id.is_some())
    }
    let app = Router::new()
        .route("/id", post(id))
        .route("/context", post(context))
        .route("/caller", post(caller))
        .route("/optional", post(optional));
    for (path, status, expected, named) in [
        ("/id", 500, "misconfigured", "RequestIdLayer"),
        ("/context", 500, "misconfigured", "tower-inference"),
        ("/caller", 401, "missing-credentials", ""),
    ] {
        let mut request = request(JSON, "");
        *request.uri_mut() = path.parse().unwrap();
        let (found, body) = send(app.clone(), request).await;
        assert_eq!((found.as_u16(), &*slug(&body)), (status, expected), "{path}");
        assert!(body.contains(named), "{body}");
    }
    // A client with a token is not to blame.
    let mut with_token = request(JSON, "");
    *with_token.uri_mut() = "/caller".parse().unwrap();
    with_token.headers_mut().insert("authorization", "Bearer t".parse().unwrap());
    let (_, body) = send(app.clone(), with_token).await;
    assert!(body.contains("no layer of the gateway has verified"), "{body}");
    let mut request = request(JSON, "");
    *request.uri_mut() = "/optional".parse().unwrap();
    assert_eq!(send(app, request).await.1, "false false");
}

#[tokio::test]
async fn handler_may_handle_the_rejection() {
    async fn handler(caller: Result<Caller, ExtractRejection>) -> String {
        let error = caller.unwrap_err();
        assert_eq!(error.to_string(), error.rejection().unwrap().detail());
        error.rejection().unwrap().refusal().slug().to_owned()
    }
    let app = Router::new().route("/", post(handler));
    assert_eq!(send(app, request(JSON, "")).await.1, "missing-credentials");
}

#[tokio::test]
async fn identity_is_an_extension_by_a_switch() {
    async fn handler(caller: Option<Extension<Arc<Identity>>>) -> String {
        caller.map_or_else(|| "nobody".to_owned(), |Extension(caller)| caller.subject().to_owned())
    }
    let issuer = TestIssuer::new();
    let forged = Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "mallory"));
    let on = AuthLayer::new(issuer.jwt()).identity_extension();
    let waiting = {
        let keys = issuer.remote_keys().build().unwrap();
        let jwt = tower_inference::auth::Jwt::new(keys, "https://issuer.example", "gateway");
        AuthLayer::new(jwt).identity_extension()
    };
    for (auth, subject) in [(on, "ann"), (waiting, "ann"), (AuthLayer::new(issuer.jwt()), "nobody")]
    {
        let app = Router::new().route("/", post(handler)).layer(auth);
        let mut request = request(JSON, "");
        let token = issuer.token("ann").bearer().parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, token);
        if subject == "ann" {
            request.extensions_mut().insert(Arc::clone(&forged));
        }
        assert_eq!(send(app, request).await.1, subject);
    }
}
