//! Rejections and forwarding of the payload layer.

use std::{
    cell::Cell,
    convert::Infallible,
    future::Future,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, request::Builder};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, Limited};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    body::ResponseBody,
    context::RequestContext,
    payload::{Payload, PayloadError, PayloadLayer},
    rejection::{Refusal, Rejection, RejectionFormat},
};

use crate::support::{Probe, ScriptedBody, Step};

pub(crate) type Answer = Response<ResponseBody<Empty<Bytes>>>;

/// Sends `request` through `layer`; gives what the inner service got, or the refusal.
pub(crate) async fn send<B>(
    layer: PayloadLayer,
    request: Request<B>,
) -> Result<Request<Payload>, Answer>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let seen = Rc::new(Cell::new(None));
    let inner = Probe::new({
        let seen = seen.clone();
        move |request: Request<Payload>| {
            seen.set(Some(request));
            Response::new(Empty::<Bytes>::new())
        }
    });
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    seen.take().ok_or(response)
}

pub(crate) async fn refusal<B>(layer: PayloadLayer, request: Request<B>) -> (Refusal, Answer)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let response = send(layer, request).await.expect_err("it was let through");
    let refusal = response.extensions().get::<Rejection>().unwrap().refusal();
    assert_eq!(response.status(), refusal.status());
    (refusal, response)
}

pub(crate) fn post() -> Builder {
    Request::post("/v1/chat/completions").header("content-type", "application/json")
}

pub(crate) fn full(text: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(text.into())
}

/// A body that says whether it was polled.
struct Untouched(Arc<AtomicUsize>);

impl Body for Untouched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.fetch_add(1, Relaxed);
        Poll::Ready(None)
    }
}

// === what goes on ===

#[tokio::test]
async fn json_body_is_joined_for_any_frame_boundaries() {
    let text = r#"{"model":"org/model","messages":[{"role":"user","content":"hi"}]}"#;
    for size in 1..text.len() {
        let body = ScriptedBody::chunked(text.as_bytes(), size);
        let request = send(PayloadLayer::new(), post().body(body).unwrap()).await.unwrap();
        assert_eq!(request.body().bytes().unwrap(), text);
        let context = RequestContext::of(request.extensions()).unwrap();
        assert_eq!(context.model(), Some("org/model"));
        assert_eq!(context.outcome().bytes_in, text.len() as u64);
    }
}

#[tokio::test]
async fn single_frame_is_not_copied() {
    let bytes = Bytes::from(br#"{"model":"m"}"#.to_vec());
    for layer in [PayloadLayer::new(), PayloadLayer::bytes()] {
        let request = send(layer, post().body(full(bytes.clone())).unwrap()).await.unwrap();
        assert_eq!(request.body().bytes().unwrap().as_ptr(), bytes.as_ptr());
    }
}

#[tokio::test]
async fn trailers_are_kept_and_replayed() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let body = ScriptedBody::new([Step::Data(b"[]"), Step::Trailers(trailers.clone())]);
    let request = post().header("transfer-encoding", "chunked").body(body).unwrap();
    let request = send(PayloadLayer::new(), request).await.unwrap();
    // Only chunks can carry them on.
    assert_eq!(request.headers()["transfer-encoding"], "chunked");
    for payload in [request.body().try_clone().unwrap(), request.into_body()] {
        assert!(!payload.is_end_stream());
        let collected = payload.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), "[]");
    }
}

#[tokio::test]
async fn framing_headers_have_the_known_length() {
    let fields = |name: &'static str, value: &'static str| async move {
        let request = Request::post("/").header(name, value).body(full("[1]")).unwrap();
        let request = send(PayloadLayer::bytes(), request).await.unwrap();
        let length =
            request.headers().get("content-length").map(|value| value.to_str().unwrap().to_owned());
        (length, request.headers().contains_key("transfer-encoding"))
    };
    assert_eq!(fields("transfer-encoding", "chunked").await, (Some("3".into()), false));
    assert_eq!(fields("content-length", "7").await, (Some("3".into()), false));
    assert_eq!(fields("content-length", "3").await, (Some("3".into()), false));
    // As HTTP/2 has it.
    assert_eq!(fields("x-none", "").await, (None, false));
}

#[tokio::test]
async fn bodiless_methods_need_no_body() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"] {
        let request = || Request::builder().method(method);
        let ended = request().body(Empty::<Bytes>::new()).unwrap();
        assert!(send(PayloadLayer::new(), ended).await.unwrap().body().bytes().unwrap().is_empty());
        // Where the head does not say yet that nothing follows.
        let open = request().body(ScriptedBody::new([Step::Pending, Step::Data(b"")])).unwrap();
        assert!(send(PayloadLayer::new(), open).await.is_ok());
        // What they do bring is held to the same rules.
        let body = ScriptedBody::new([Step::Data(b"{}")]);
        let (reason, _) = refusal(PayloadLayer::new(), request().body(body).unwrap()).await;
        assert_eq!(reason, Refusal::UnsupportedMediaType, "{method}");
        let body = request().header("content-type", "application/json").body(full("{")).unwrap();
        assert_eq!(refusal(PayloadLayer::new(), body).await.0, Refusal::MalformedPayload);
    }
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let request =
            || Request::builder().method(&method).header("content-type", "application/json");
        let ended = request().body(Empty::<Bytes>::new()).unwrap();
        let (reason, response) = refusal(PayloadLayer::new(), ended).await;
        assert_eq!(reason, Refusal::MalformedPayload);
        assert_eq!(response.extensions().get::<Rejection>().unwrap().position(), Some(0));
        let open = request().body(ScriptedBody::new([])).unwrap();
        assert_eq!(refusal(PayloadLayer::new(), open).await.0, Refusal::MalformedPayload);
        let bytes = Request::builder().method(&method).body(Empty::<Bytes>::new()).unwrap();
        assert!(send(PayloadLayer::bytes(), bytes).await.is_ok());
    }
}

#[tokio::test]
async fn bytes_mode_buffers_any_type_without_parsing() {
    let request = Request::post("/").header("content-type", "image/png").body(full("\u{89}PNG"));
    let request = send(PayloadLayer::bytes(), request.unwrap()).await.unwrap();
    assert_eq!(request.body().bytes().unwrap(), "\u{89}PNG");
    assert!(request.body().document().is_err());
    assert_eq!(RequestContext::of(request.extensions()).unwrap().model(), None);
    // Asked for, the document is held to the layer's bounds.
    let deep = Request::post("/").body(full("[[]]")).unwrap();
    let deep = send(PayloadLayer::bytes().max_depth(1), deep).await.unwrap();
    assert!(deep.body().document().is_err());
}

#[tokio::test]
async fn only_a_short_string_model_is_recorded() {
    let model = |text: String| async move {
        let request = send(PayloadLayer::new(), post().body(full(text)).unwrap()).await.unwrap();
        RequestContext::of(request.extensions()).unwrap().model().map(str::to_owned)
    };
    assert_eq!(model(r#"{"model":"a\u002fb"}"#.into()).await.as_deref(), Some("a/b"));
    assert_eq!(model(format!(r#"{{"model":"{}"}}"#, "m".repeat(256))).await.unwrap().len(), 256);
    assert_eq!(model(format!(r#"{{"model":"{}"}}"#, "m".repeat(257))).await, None);
    assert_eq!(model(r#"{"model":7}"#.into()).await, None);
    assert_eq!(model(r#"{"input":{"model":"m"}}"#.into()).await, None);
    assert_eq!(model(r#"["model","m"]"#.into()).await, None);
}

// === rejections ===

#[tokio::test]
async fn declared_length_beyond_the_limit_is_rejected_before_reading() {
    let polled = Arc::new(AtomicUsize::new(0));
    let request = post().header("content-length", "11").body(Untouched(polled.clone())).unwrap();
    for layer in [PayloadLayer::new(), PayloadLayer::bytes(), PayloadLayer::streamed()] {
        let request = request_like(&request, polled.clone());
        assert_eq!(refusal(layer.max_body_bytes(10), request).await.0, Refusal::PayloadTooLarge);
    }
    // By the body's own word, where there is no field.
    let hinted = post().body(ScriptedBody::new([Step::Stall]).announce(11)).unwrap();
    assert_eq!(
        refusal(PayloadLayer::new().max_body_bytes(10), hinted).await.0,
        Refusal::PayloadTooLarge
    );
    assert_eq!(polled.load(Relaxed), 0);
}

fn request_like(request: &Request<Untouched>, polled: Arc<AtomicUsize>) -> Request<Untouched> {
    let mut like = Request::new(Untouched(polled));
    *like.method_mut() = request.method().clone();
    *like.headers_mut() = request.headers().clone();
    like
}

#[tokio::test]
async fn the_default_limit_is_10_mib() {
    let announce =
        |length: u64| Request::post("/").body(ScriptedBody::new([]).announce(length)).unwrap();
    assert!(send(PayloadLayer::bytes(), announce(10 * 1024 * 1024)).await.is_ok());
    let beyond = announce(10 * 1024 * 1024 + 1);
    assert_eq!(refusal(PayloadLayer::bytes(), beyond).await.0, Refusal::PayloadTooLarge);
}

#[tokio::test]
async fn bytes_beyond_the_limit_are_rejected_for_any_declared_length() {
    let text = b"[1,2,3,4]";
    for size in 1..=text.len() {
        let request = |limit| {
            let body = ScriptedBody::chunked(text, size);
            let request = post().header("content-length", "1").body(body).unwrap();
            send(PayloadLayer::new().max_body_bytes(limit), request)
        };
        assert!(request(9).await.is_ok());
        assert_eq!(request(8).await.unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_refused_at_the_deadline() {
    let start = tokio::time::Instant::now();
    let body = ScriptedBody::new([Step::Data(b"["), Step::Pending, Step::Stall]);
    let (reason, _) = refusal(PayloadLayer::new(), post().body(body).unwrap()).await;
    assert_eq!(reason, Refusal::PayloadTimeout);
    assert_eq!(start.elapsed().as_secs(), 30);

    let stalled = ScriptedBody::new([Step::Stall]);
    let layer = PayloadLayer::new().body_timeout(Duration::from_secs(2));
    assert_eq!(refusal(layer, post().body(stalled).unwrap()).await.0, Refusal::PayloadTimeout);
    assert_eq!(start.elapsed().as_secs(), 32);
}

/// Always ready, and never gives anything.
struct Nothing;

impl Body for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_many_frames_lets_others_have_their_turn_and_goes_on() {
    let text = format!("[{}0]", "0,".repeat(500));
    let body = ScriptedBody::chunked(text.as_bytes(), 1);
    let sending = send(PayloadLayer::new(), post().body(body).unwrap());
    let mut sending = pin!(sending);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sending.as_mut().poll(&mut cx).is_pending());
    assert_eq!(sending.await.unwrap().body().bytes().unwrap(), &text);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_always_ready_and_empty_meets_the_deadline() {
    let sending = send(PayloadLayer::new(), post().body(Nothing).unwrap());
    let mut sending = pin!(sending);
    // One poll ends: others get their turn.
    let mut cx = Context::from_waker(Waker::noop());
    assert!(sending.as_mut().poll(&mut cx).is_pending());
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(sending.await.unwrap_err().status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn failed_body_is_rejected() {
    let body = ScriptedBody::new([Step::Data(b"{\"model\":"), Step::Error]);
    let (reason, response) = refusal(PayloadLayer::new(), post().body(body).unwrap()).await;
    assert_eq!(reason, Refusal::MalformedPayload);
    assert_eq!(
        response.extensions().get::<Rejection>().unwrap().detail(),
        "the request body ended early"
    );
    // Whoever cut it off: the reason stays.
    let body = Limited::new(ScriptedBody::new([Step::Data(b"[1,2]")]), 3);
    let (reason, _) = refusal(PayloadLayer::new(), post().body(body).unwrap()).await;
    assert_eq!(reason, Refusal::PayloadTooLarge);
}

#[tokio::test]
async fn malformed_json_is_rejected_with_its_position() {
    let request = post().body(full(r#"{"model":"m","model":"n"}"#)).unwrap();
    let (reason, response) = refusal(PayloadLayer::new(), request).await;
    assert_eq!(reason, Refusal::MalformedPayload);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["position"], 13);
    let message = "the body is not strict JSON: duplicate member name at byte 13";
    assert_eq!(body["detail"], message);

    for (layer, text, expected) in [
        (PayloadLayer::new().max_depth(1), "[[]]", Refusal::PayloadTooLarge),
        (PayloadLayer::new().max_values(2), "[1,2]", Refusal::PayloadTooLarge),
        (PayloadLayer::new(), "\u{feff}{}", Refusal::MalformedPayload),
    ] {
        assert_eq!(refusal(layer, post().body(full(text)).unwrap()).await.0, expected);
    }
}

#[tokio::test]
async fn types_and_codings_are_rejected_by_name() {
    let polled = Arc::new(AtomicUsize::new(0));
    let with = |fields: &[(&'static str, &'static str)]| {
        let mut request = Request::post("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(Untouched(polled.clone())).unwrap()
    };
    for fields in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/json; charset=utf-16")],
        &[("content-type", "application/json"), ("content-type", "text/plain")],
    ] {
        let (reason, response) = refusal(PayloadLayer::new(), with(fields)).await;
        assert_eq!(reason, Refusal::UnsupportedMediaType);
        assert_eq!(response.headers()["accept"], "application/json");
    }
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    for layer in [PayloadLayer::new(), PayloadLayer::bytes()] {
        let (reason, response) = refusal(layer, with(&gzip)).await;
        assert_eq!(reason, Refusal::UnsupportedMediaType);
        assert_eq!(response.headers()["accept-encoding"], "identity");
    }
    assert!(send(PayloadLayer::streamed(), with(&gzip)).await.is_ok());
    assert_eq!(polled.load(Relaxed), 0);

    let api = Request::post("/").header("content-type", "application/vnd.api+json; charset=UTF-8");
    assert!(send(PayloadLayer::new(), api.body(full("{}")).unwrap()).await.is_ok());
}

#[tokio::test]
async fn rejections_have_the_configured_format() {
    let layer = PayloadLayer::new().rejections(RejectionFormat::ApiGateway);
    let (_, response) = refusal(layer, post().body(full("{")).unwrap()).await;
    assert_eq!(response.headers()["x-amzn-errortype"], "BadRequestException");
}

#[tokio::test]
async fn rejections_are_recorded_in_the_context() {
    let context = RequestContext::new();
    let request = post().extension(context.clone()).body(ScriptedBody::new([Step::Data(b"{}}")]));
    refusal(PayloadLayer::new(), request.unwrap()).await;
    assert_eq!(context.outcome().rejection, Some("malformed-payload"));
    assert_eq!(context.outcome().bytes_in, 3);
}

// === streamed ===

#[tokio::test]
async fn streamed_body_is_counted_without_reading() {
    let context = RequestContext::new();
    let body = ScriptedBody::new([Step::Data(b"abc"), Step::Data(b"def")]);
    let request = Request::post("/").extension(context.clone()).body(body).unwrap();
    let request = send(PayloadLayer::streamed().max_body_bytes(5), request).await.unwrap();
    assert!(request.body().is_streamed());
    assert_eq!(context.outcome().bytes_in, 0);
    let mut body = request.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
    assert_eq!(context.outcome().bytes_in, 3);
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(error, PayloadError::TooLarge(Some(5))));
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_streamed_body_has_the_deadline_too() {
    let body = ScriptedBody::new([Step::Data(b"abc"), Step::Stall]);
    let request = send(PayloadLayer::streamed(), Request::new(body)).await.unwrap();
    let error = request.into_body().collect().await.unwrap_err();
    assert!(matches!(error, PayloadError::TimedOut(after) if after.as_secs() == 30));
    assert_eq!(error.rejection().refusal(), Refusal::PayloadTimeout);
}

// === twice ===

#[tokio::test]
async fn second_layer_reuses_the_payload_of_the_first() {
    let request = post().body(full(r#"{"model":"m"}"#)).unwrap();
    let first = send(PayloadLayer::new(), request).await.unwrap();
    let document: *const _ = first.body().document().unwrap();
    for layer in [PayloadLayer::new(), PayloadLayer::bytes(), PayloadLayer::streamed()] {
        let mut again = Request::new(first.body().try_clone().unwrap());
        *again.headers_mut() = first.headers().clone();
        let second = send(layer, again).await.unwrap();
        assert!(std::ptr::eq(document, second.body().document().unwrap()));
    }
}

#[tokio::test]
async fn bytes_are_recognized_behind_a_hidden_type() {
    let request = post().body(full(r#"{"model":"m"}"#)).unwrap();
    let first = send(PayloadLayer::new(), request).await.unwrap();
    let kept = first.body().try_clone().unwrap();
    let document: *const _ = kept.document().unwrap();
    let second = send(PayloadLayer::new(), first.map(axum::body::Body::new)).await.unwrap();
    assert!(std::ptr::eq(document, second.body().document().unwrap()));
    assert_eq!(RequestContext::of(second.extensions()).unwrap().outcome().bytes_in, 13);
}

/// What a second layer reads when something between it and the first has changed the body.
async fn read_again(first: ScriptedBody, changed: impl FnOnce(Bytes) -> Vec<Step>) -> Payload {
    let first = send(PayloadLayer::new(), post().body(first).unwrap()).await.unwrap();
    let context = RequestContext::of(first.extensions()).unwrap().clone();
    let body = ScriptedBody::new(changed(first.body().bytes().unwrap().clone()));
    let second = post().extension(context).body(body).unwrap();
    send(PayloadLayer::new(), second).await.unwrap().into_body()
}

#[tokio::test]
async fn other_bytes_are_read_again() {
    let first = || ScriptedBody::new([Step::Data(b"1234")]);
    let part = read_again(first(), |bytes| vec![Step::Bytes(bytes.slice(..2))]).await;
    assert_eq!(part.document().unwrap().root().as_u64(), Some(12));
    let more = read_again(first(), |bytes| vec![Step::Bytes(bytes), Step::Data(b"5")]).await;
    assert_eq!(more.document().unwrap().root().as_u64(), Some(12_345));

    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let first = ScriptedBody::new([Step::Data(b"1234"), Step::Trailers(trailers)]);
    let bare = read_again(first, |bytes| vec![Step::Bytes(bytes)]).await;
    assert!(bare.collect().await.unwrap().trailers().is_none());
}

#[tokio::test]
async fn stricter_bounds_apply_in_either_order() {
    let request = || post().body(full("[[1]]")).unwrap();
    for (row, (wide, strict, expected)) in [
        (PayloadLayer::new(), PayloadLayer::new().max_body_bytes(4), Refusal::PayloadTooLarge),
        (PayloadLayer::new(), PayloadLayer::new().max_depth(1), Refusal::PayloadTooLarge),
        (PayloadLayer::new(), PayloadLayer::new().max_values(2), Refusal::PayloadTooLarge),
        (PayloadLayer::bytes(), PayloadLayer::new().max_depth(1), Refusal::PayloadTooLarge),
        (PayloadLayer::bytes().max_depth(1), PayloadLayer::new(), Refusal::PayloadTooLarge),
    ]
    .into_iter()
    .enumerate()
    {
        let first = send(wide, request()).await.unwrap();
        let context = RequestContext::of(first.extensions()).unwrap().clone();
        let body = axum::body::Body::new(first.body().try_clone().unwrap());
        let hidden = post().extension(context).body(body).unwrap();
        assert_eq!(refusal(strict.clone(), hidden).await.0, expected);
        let (reason, response) = refusal(strict, first).await;
        assert_eq!(reason, expected);
        let position = response.extensions().get::<Rejection>().unwrap().position();
        // What is too long has no place.
        assert_eq!(position, [None, Some(1), Some(2), Some(1), Some(1)][row]);
    }
    // Streamed twice: the body fails at the lower limit, wherever that was set.
    for (first, second) in [(3, 10), (10, 3)] {
        let body = ScriptedBody::new([Step::Data(b"abcd")]);
        let once =
            send(PayloadLayer::streamed().max_body_bytes(first), Request::new(body)).await.unwrap();
        let twice = send(PayloadLayer::streamed().max_body_bytes(second), once).await.unwrap();
        let error = twice.into_body().collect().await.unwrap_err();
        assert!(matches!(error, PayloadError::TooLarge(Some(3))));
    }
}

#[tokio::test]
async fn streamed_payload_is_read_by_an_inner_json_layer() {
    let body = ScriptedBody::new([Step::Data(b"[1,"), Step::Data(b"2]")]);
    let request = post().body(body).unwrap();
    let streamed = send(PayloadLayer::streamed(), request).await.unwrap();
    let read = send(PayloadLayer::new(), streamed).await.unwrap();
    assert_eq!(read.body().document().unwrap().root().len(), 2);
    // Counted once.
    assert_eq!(RequestContext::of(read.extensions()).unwrap().outcome().bytes_in, 5);

    let body = ScriptedBody::new([Step::Data(b"[1,"), Step::Data(b"2]")]);
    let streamed =
        send(PayloadLayer::streamed().max_body_bytes(4), post().body(body).unwrap()).await.unwrap();
    assert_eq!(refusal(PayloadLayer::new(), streamed).await.0, Refusal::PayloadTooLarge);
}

// === the tower contract ===

#[tokio::test]
async fn inner_error_passes_unchanged() {
    let failing = service_fn(|_: Request<Payload>| async {
        Err::<Response<Empty<Bytes>>, &'static str>("inner")
    });
    let response = PayloadLayer::new().layer(failing).oneshot(post().body(full("{}")).unwrap());
    assert_eq!(response.await.unwrap_err(), "inner");
}

#[test]
fn readiness_is_that_of_the_inner_service() {
    struct Busy;
    impl Service<Request<Payload>> for Busy {
        type Response = Response<Empty<Bytes>>;
        type Error = &'static str;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Err("closed"))
        }

        fn call(&mut self, _request: Request<Payload>) -> Self::Future {
            unreachable!("never ready")
        }
    }
    impl Clone for Busy {
        fn clone(&self) -> Self {
            Self
        }
    }
    let mut service = PayloadLayer::new().layer(Busy);
    let mut cx = Context::from_waker(Waker::noop());
    let ready = Service::<Request<Full<Bytes>>>::poll_ready(&mut service, &mut cx);
    assert_eq!(ready, Poll::Ready(Err("closed")));
}

/// Counts itself while it lives.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Body for Alive {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_while_it_is_read_drops_everything() {
    let count = Arc::new(AtomicUsize::new(0));
    let inner = service_fn(|_: Request<Payload>| async {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut service = PayloadLayer::new().layer(inner);
    let service = ServiceExt::<Request<Alive>>::ready(&mut service).await.unwrap();
    let extension = Arc::new(Alive::new(&count));
    let body = Alive::new(&count);
    let mut call = Box::pin(service.call(post().extension(extension).body(body).unwrap()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    assert_eq!(count.load(Relaxed), 2);
    drop(call);
    assert_eq!(count.load(Relaxed), 0);
}

#[test]
fn layer_is_as_thread_safe_as_its_parts() {
    fn check<T: Send + Sync + 'static>(_: T) {}
    let layer = PayloadLayer::new();
    check(layer.clone());
    let mut service = layer.layer(service_fn(|_: Request<Payload>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    }));
    check(service.clone());
    check(service.call(Request::new(full(""))));
}

// === the route decides, not the request ===

/// Types that callers give their bodies, JSON's own apart.
const OTHER_TYPES: [&str; 14] = [
    "application/octet-stream",
    "application/grpc",
    "application/grpc+json",
    "application/x-www-form-urlencoded",
    "application/x-ndjson",
    "application/problem",
    "application/json; charset=utf-16",
    "audio/flac",
    "image/png",
    "multipart/form-data; boundary=x",
    "text/json",
    "text/plain",
    "text/plain; application/json",
    "*/*",
];

const JSON_TYPES: [&str; 3] =
    ["application/json", "application/json; charset=utf-8", "application/vnd.api+json"];

#[tokio::test]
async fn inspection_depends_on_the_route_and_not_on_the_type() {
    let types = OTHER_TYPES.map(Some).into_iter().chain(JSON_TYPES.map(Some)).chain([None]);
    for content_type in types {
        let json = content_type.is_some_and(|given| JSON_TYPES.contains(&given));
        for body in [r#"{"model":"m"}"#, r#"{"model":"m""#, "\u{89}PNG\r\n"] {
            let request = || {
                let mut request = Request::new(full(body));
                *request.method_mut() = Method::POST;
                if let Some(given) = content_type {
                    request.headers_mut().insert("content-type", given.parse().unwrap());
                }
                request
            };
            let what = format!("{content_type:?} {body:?}");

            // Inspected: JSON in deed and by name, or nothing.
            match send(PayloadLayer::new(), request()).await {
                Ok(passed) => {
                    assert!(json && body.ends_with('}'), "{what}");
                    let context = RequestContext::of(passed.extensions()).unwrap();
                    assert_eq!(context.model(), Some("m"), "{what}");
                }
                Err(response) => {
                    assert!(!json || !body.ends_with('}'), "{what}");
                    let expected = if json {
                        Refusal::MalformedPayload
                    } else {
                        Refusal::UnsupportedMediaType
                    };
                    let rejection = response.extensions().get::<Rejection>().unwrap();
                    assert_eq!(rejection.refusal(), expected, "{what}");
                    if content_type.is_some_and(|given| given.starts_with("application/grpc")) {
                        // Trailers-only: INVALID_ARGUMENT.
                        assert_eq!(response.status(), StatusCode::OK);
                        assert_eq!(response.headers()["grpc-status"], "3");
                        assert!(response.body().is_end_stream());
                    } else {
                        assert_eq!(response.status(), expected.status(), "{what}");
                    }
                }
            }

            // Buffered, and nobody looks; or not even that.
            for (layer, streamed) in
                [(PayloadLayer::bytes(), false), (PayloadLayer::streamed(), true)]
            {
                let passed = send(layer, request()).await.unwrap();
                assert_eq!(passed.body().is_streamed(), streamed, "{what}");
                let given = passed.headers().get("content-type");
                assert_eq!(given.map(|given| given.to_str().unwrap()), content_type, "{what}");
                let context = RequestContext::of(passed.extensions()).unwrap();
                assert_eq!(context.model(), None, "{what}");
                assert_eq!(passed.body().document().is_ok(), !streamed && body.ends_with('}'));
                assert_eq!(passed.into_body().collect().await.unwrap().to_bytes(), body, "{what}");
            }
        }
    }
}
