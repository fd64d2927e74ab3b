//! Responses that are reported while they stream or held back until they were checked.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, channel::Channel};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_inference::{
    context::RequestContext,
    memory_limit::MemoryLimit,
    payload::Payload,
    rejection::{Refusal, Rejection},
    schema::{ResponseSchema, Schema, SchemaLayer},
};

use crate::{
    Received, schema,
    support::{Probe, ScriptedBody, Step},
};

/// `data` is an array.
fn expected() -> Schema {
    schema(&json!({ "required": ["data"], "properties": { "data": { "type": "array" } } }))
}

fn report() -> SchemaLayer {
    SchemaLayer::any_body().response(ResponseSchema::report(expected()))
}

fn reject() -> SchemaLayer {
    SchemaLayer::any_body().response(ResponseSchema::reject(expected()))
}

fn request(method: Method) -> Request<Payload> {
    Request::builder().method(method).uri("/v1/embeddings").body(Payload::default()).unwrap()
}

fn json_response<B>(body: B) -> Response<B> {
    Response::builder().header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

/// What comes of `response`, up to its head.
async fn through<B>(
    layer: SchemaLayer,
    response: Response<B>,
) -> Response<impl Body<Data = Bytes, Error = B::Error>>
where
    B: Body<Data = Bytes>,
{
    let mut response = Some(response);
    let mut service = layer.layer(Probe::new(move |_| response.take().unwrap()));
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let Ok::<_, Infallible>(response) = service.call(request(Method::POST)).await;
    response
}

async fn rejected<B: Body<Data = Bytes, Error: std::fmt::Debug>>(
    response: Response<B>,
) -> Received {
    Received::of(through(reject(), response).await).await
}

fn trailers() -> HeaderMap {
    [(header::ETAG, "7".parse().unwrap())].into_iter().collect()
}

#[tokio::test]
async fn reported_response_streams_its_first_byte() {
    let (mut upstream, body) = Channel::<Bytes, io::Error>::new(4);
    let response = through(report(), json_response(body)).await;
    let mut body = pin!(response.into_body());
    for piece in [r#"{"data""#, ":7}"] {
        upstream.send_data(Bytes::from(piece)).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        assert!(!body.is_end_stream());
    }
    upstream.send_trailers(trailers()).await.unwrap();
    drop(upstream);
    let last = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(last[header::ETAG], "7");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn reported_response_is_unchanged() {
    for content in ["{}", r#"{"data": []}"#, "no JSON", ""] {
        let scripted =
            || ScriptedBody::chunked(content.as_bytes(), 3).announce(content.len() as u64);
        let response = through(report(), json_response(scripted())).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(response.body().size_hint().exact(), Some(content.len() as u64));
        assert_eq!(Received::of(response).await.body, content);
    }
}

#[tokio::test]
async fn error_of_a_reported_response_passes() {
    let body = ScriptedBody::new([Step::Data(b"{"), Step::Error]);
    let response = through(report(), json_response(body)).await;
    let error = response.into_body().collect().await.err().unwrap();
    assert_eq!(error.to_string(), "scripted");
}

#[tokio::test]
async fn valid_held_response_is_forwarded() {
    // More frames than are taken at once.
    let body = format!(r#"{{"data": [{}1e400, -0]}}"#, "0.10, ".repeat(40));
    for size in [1, 7, 1_000] {
        let mut response = json_response(ScriptedBody::chunked(body.as_bytes(), size));
        *response.status_mut() = StatusCode::CREATED;
        response.headers_mut().insert("x-compute-time", "7".parse().unwrap());
        let response = through(reject(), response).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(response.headers()["x-compute-time"], "7");
        assert_eq!(response.body().size_hint().exact(), Some(body.len() as u64));
        let mut held = pin!(response.into_body());
        assert_eq!(held.frame().await.unwrap().unwrap().into_data().unwrap(), body);
        assert!(held.is_end_stream());
        assert!(held.frame().await.is_none());
    }
}

#[tokio::test]
async fn held_response_keeps_its_trailers() {
    let body = ScriptedBody::new([
        Step::Pending,
        Step::Data(br#"{"data""#),
        Step::Pending,
        Step::Data(b":[]}"),
        Step::Trailers(trailers()),
    ]);
    let response = through(reject(), json_response(body)).await;
    // A length that is known would keep a server from sending them.
    let hint = response.body().size_hint();
    assert_eq!((hint.lower(), hint.exact()), (11, None));
    let mut body = pin!(response.into_body());
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(!body.is_end_stream());
    let last = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(last[header::ETAG], "7");
    assert!(body.is_end_stream());
}

#[tokio::test]
async fn invalid_response_is_rejected_before_its_head() {
    for (what, body) in [
        ("another type", &br#"{"data": "canary"}"#[..]),
        ("a member missing", br#"{"canary": 1}"#),
        ("no object", b"[1"),
        ("cut off", br#"{"data": ["#),
        ("trailing garbage", br#"{"data": []} canary"#),
        ("two documents", br#"{"data": []}{"data": []}"#),
        ("a name twice", br#"{"data": [], "data": "canary"}"#),
        ("nothing", b""),
        ("a control character", b"{\"data\": [], \"canary\": \"\0\"}"),
        ("not utf-8", b"{\"data\": [], \"canary\": \"\xff\"}"),
    ] {
        for size in [1, 1_000] {
            let response = rejected(json_response(ScriptedBody::chunked(body, size))).await;
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{what}");
            let problem = response.json();
            assert_eq!(problem["error"]["code"], "invalid_upstream_response", "{what}");
            assert!(!problem.to_string().contains("canary"), "{what}: {problem}");
            // What the upstream got wrong is for the log.
            assert_eq!(problem.get("errors"), None, "{what}");
        }
    }
}

#[tokio::test]
async fn response_beyond_the_limit_is_rejected() {
    let body = r#"{"data": []}"#;
    let layer = |limit| {
        let schema = ResponseSchema::reject(expected()).max_body_bytes(limit);
        SchemaLayer::any_body().response(schema)
    };
    let length = body.len() as u64;
    for (limit, status) in [(length, 200), (length - 1, 502), (0, 502)] {
        for size in [1, 100] {
            let response = json_response(ScriptedBody::chunked(body.as_bytes(), size));
            assert_eq!(through(layer(limit), response).await.status(), status, "{limit} {size}");
        }
    }

    // One that says so is not even read.
    let mut response = json_response(ScriptedBody::new([Step::Stall]));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    assert_eq!(through(layer(length - 1), response).await.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn coded_response_is_rejected() {
    for (coding, status) in
        [("gzip", 502), ("identity, br", 502), ("identity", 200), ("Identity", 200)]
    {
        let mut response = json_response(ScriptedBody::new([Step::Data(br#"{"data": []}"#)]));
        response.headers_mut().insert(header::CONTENT_ENCODING, coding.parse().unwrap());
        assert_eq!(through(reject(), response).await.status(), status, "{coding}");
    }
}

#[tokio::test]
async fn failed_response_is_rejected_as_upstream_failure() {
    for steps in
        [vec![Step::Error], vec![Step::Data(br#"{"data": []}"#), Step::Pending, Step::Error]]
    {
        let response = rejected(json_response(ScriptedBody::new(steps))).await;
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
        let rejection = response.head.extensions.get::<Rejection>().unwrap();
        assert_eq!(rejection.refusal(), Refusal::UpstreamUnavailable);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_held_back_until_the_deadline_at_most() {
    let schema = ResponseSchema::reject(expected()).body_timeout(Duration::from_secs(2));
    let layer = SchemaLayer::any_body().response(schema);
    let started = tokio::time::Instant::now();
    let body = ScriptedBody::new([Step::Data(b"{"), Step::Stall]);
    let response = through(layer.clone(), json_response(body)).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(started.elapsed(), Duration::from_secs(2));

    // One that always has more, and never anything in it, as well.
    let mut future = pin!(through(layer, json_response(Hollow)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut cx).is_pending());
    tokio::time::advance(Duration::from_secs(2)).await;
    let Poll::Ready(response) = future.poll(&mut cx) else { panic!("still held back") };
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
}

/// Empty frames for ever.
struct Hollow;

impl Body for Hollow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
    }
}

/// Whatever is not a whole JSON document is not waited for, in either mode.
#[tokio::test]
async fn other_responses_pass_at_once() {
    for layer in [report(), reject()] {
        for (status, content_type) in [
            (200, "text/event-stream"),
            (200, "text/event-stream; charset=utf-8"),
            (200, "audio/flac"),
            (200, "application/x-ndjson"),
            (200, "application/grpc"),
            (200, ""),
            (204, "application/json"),
            (205, "application/json"),
            (206, "application/json"),
            (304, "application/json"),
            (422, "application/json"),
            (500, "application/problem+json"),
        ] {
            let mut response = Response::new(ScriptedBody::new([Step::Stall]));
            *response.status_mut() = status.try_into().unwrap();
            response.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            let response = through(layer.clone(), response).await;
            assert_eq!(response.status(), status, "{content_type}");
            let mut body = pin!(response.into_body());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(body.as_mut().poll_frame(&mut cx).is_pending(), "{status} {content_type}");
        }
    }
}

#[tokio::test]
async fn every_json_type_is_checked() {
    for content_type in ["application/json; charset=utf-8", "application/vnd.api+json"] {
        let mut response = json_response(ScriptedBody::new([Step::Data(b"{}")]));
        response.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        assert_eq!(through(reject(), response).await.status(), StatusCode::BAD_GATEWAY);
    }
}

/// So that the upstream is asked for one without a coding; not where nothing is read.
#[tokio::test]
async fn layer_announces_that_it_reads_the_response() {
    for (layer, method, announced) in [
        (report(), Method::POST, true),
        (reject(), Method::GET, true),
        (reject(), Method::HEAD, false),
        (SchemaLayer::any_body(), Method::POST, false),
        (SchemaLayer::any_body().route("other", report()), Method::POST, false),
    ] {
        let context = RequestContext::new();
        let mut request = request(method.clone());
        request.extensions_mut().insert(context.clone());
        let seen = context.clone();
        let service = layer.layer(Probe::new(move |_| {
            assert_eq!(seen.response_is_read(), announced);
            let mut response = json_response(ScriptedBody::new([]));
            response.headers_mut().insert(header::CONTENT_LENGTH, 100.into());
            response
        }));
        let response = service.oneshot(request).await.unwrap();
        // An response to HEAD has the fields of JSON, and no body to check.
        let status = if announced && method == Method::GET { 502 } else { 200 };
        assert_eq!(response.status(), status, "{method}");
    }
}

#[tokio::test]
async fn held_response_is_dropped_with_the_future() {
    let held = Arc::new(());
    let body =
        Holding { body: ScriptedBody::new([Step::Data(b"{"), Step::Stall]), _held: held.clone() };
    {
        let mut future = pin!(through(reject(), json_response(body)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(future.as_mut().poll(&mut cx).is_pending());
        assert_eq!(Arc::strong_count(&held), 2);
    }
    assert_eq!(Arc::strong_count(&held), 1);

    // And when it has been read, before its copy is, though the future is still there.
    let steps = [Step::Data(br#"{"data":[]}"#)];
    let mut body = Some(Holding { body: ScriptedBody::new(steps), _held: held.clone() });
    let mut service = reject().layer(Probe::new(move |_| json_response(body.take().unwrap())));
    poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let mut future = pin!(service.call(request(Method::POST)));
    let Ok::<_, Infallible>(_response) = poll_fn(|cx| future.as_mut().poll(cx)).await;
    assert_eq!(Arc::strong_count(&held), 1);
}

struct Holding {
    body: ScriptedBody,
    _held: Arc<()>,
}

impl Body for Holding {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[tokio::test]
async fn each_route_has_its_own_response_schema() {
    let layer = SchemaLayer::any_body()
        .route("strict", reject())
        .response(ResponseSchema::report(expected()));
    for (route, status) in [("strict", 502), ("other", 200)] {
        let mut request = request(Method::POST);
        RequestContext::ensure(request.extensions_mut()).set_route(route);
        let body = || json_response(ScriptedBody::new([Step::Data(b"{}")]));
        let service = layer.clone().layer(Probe::new(move |_| body()));
        assert_eq!(service.oneshot(request).await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn rejected_response_is_recorded_and_kept_as_an_extension() {
    let context = RequestContext::new();
    let mut request = request(Method::POST);
    request.extensions_mut().insert(context.clone());
    let body = || json_response(ScriptedBody::new([Step::Data(b"{}")]));
    let response = reject().layer(Probe::new(move |_| body())).oneshot(request).await.unwrap();
    let rejection = response.extensions().get::<Rejection>().unwrap();
    assert_eq!(rejection.refusal(), Refusal::InvalidUpstreamResponse);
    assert_eq!(context.outcome().rejection, Some("invalid-upstream-response"));
    let body: Value = Received::of(response).await.json();
    assert_eq!(body["status"], 502);
}

/// hyper's client wants bodies that can be moved; servers want them sent.
#[test]
fn body_needs_no_more_traits_than_the_inner_one() {
    fn free<T: Send + Sync + Unpin + 'static>() {}
    fn sent<T: Send + 'static>() {}
    free::<tower_inference::schema::ResponseBody<Full<Bytes>>>();
    type Inner = std::future::Ready<Result<Response<Full<Bytes>>, Infallible>>;
    sent::<tower_inference::schema::ResponseFuture<Inner, Full<Bytes>>>();
}

#[tokio::test]
async fn debug_omits_the_held_response() {
    let body = br#"{"data": ["canary"]}"#;
    let trailers = [(header::ETAG, "canary".parse().unwrap())].into_iter().collect();
    let body = ScriptedBody::new([Step::Data(body), Step::Trailers(trailers)]);
    let response = through_debug(reject(), json_response(body)).await;
    assert!(!response.contains("canary"), "{response}");
}

async fn through_debug(layer: SchemaLayer, response: Response<ScriptedBody>) -> String {
    let mut response = Some(response);
    let service = layer.layer(Probe::new(move |_| response.take().unwrap()));
    let response = service.oneshot(request(Method::POST)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    format!("{:?}", response.into_body())
}

#[tokio::test]
async fn ranges_are_removed_for_held_responses() {
    let mut asked = request(Method::GET);
    asked.headers_mut().insert(header::RANGE, "bytes=0-".parse().unwrap());
    asked.headers_mut().insert(header::IF_RANGE, "\"7\"".parse().unwrap());
    // As a server that knows ranges.
    let service = reject().layer(Probe::new(|request: Request<Payload>| {
        let mut response = json_response(Full::new(Bytes::from_static(b"{\"data\": 7}")));
        if request.headers().contains_key(header::RANGE) {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }));
    assert_eq!(service.oneshot(asked).await.unwrap().status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn responses_share_one_memory_limit() {
    let limit = MemoryLimit::new(4 << 20);
    let expected = || ResponseSchema::reject(expected()).memory_limit(limit.clone());
    let layer = || SchemaLayer::any_body().response(expected());
    let long = || {
        let text = format!(r#"{{"data":[],"text":"{}"}}"#, "x".repeat(2 << 20));
        json_response(Full::new(Bytes::from(text)))
    };
    let first = through(layer(), long()).await;
    assert_eq!(first.status(), StatusCode::OK);
    assert!(limit.taken_bytes() >= 2 << 20);
    let rejected = through(layer(), long()).await;
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.headers()[header::RETRY_AFTER], "1");
    let small = through(layer(), json_response(Full::new(r#"{"data":[]}"#.into()))).await;
    assert_eq!(small.status(), StatusCode::OK);
    drop(small);

    // A server takes the frame, and drops the body while it is sending.
    let mut body = Box::pin(first.into_body());
    let frame = body.frame().await.unwrap().unwrap();
    drop(body);
    assert!(limit.taken_bytes() >= 2 << 20);
    drop(frame);
    assert_eq!(limit.taken_bytes(), 0);

    // A copy is given up, and the response flows on.
    let report = || {
        let report = ResponseSchema::report(self::expected()).memory_limit(MemoryLimit::new(KIB));
        SchemaLayer::any_body().response(report)
    };
    let whole = through(report(), long()).await.into_body().collect().await.unwrap().to_bytes();
    assert!(whole.len() > 2 << 20);
}

const KIB: usize = 1024;
