//! Requests that the layer rejects.

use std::time::Duration;

use http_body_util::Limited;
use tower_inference::rejection::RejectionFormat;

use super::*;

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
