//! The memory limit that all bodies share.

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    memory_limit::MemoryLimit,
    payload::{DocumentError, Payload, PayloadLayer},
    rejection::Refusal,
};

use crate::{
    codings::Coding,
    layer::{Answer, full, post, refusal, send},
    support::{ScriptedBody, Step},
};

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;
const SMALL: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

/// A document of few nodes.
fn text(length: usize) -> Bytes {
    format!("\"{}\"", "x".repeat(length - 2)).into()
}

/// A request whose body stalls after `length` bytes.
fn unfinished(length: usize) -> Request<ScriptedBody> {
    let piece = || Step::Bytes(Bytes::from(vec![b' '; 16 * KIB]));
    let pieces = std::iter::repeat_with(piece).take(length / (16 * KIB));
    post().body(ScriptedBody::new(pieces.chain([Step::Stall]))).unwrap()
}

/// A request that is being read, or was rejected at once.
type Pending = Pin<Box<dyn Future<Output = Result<Answer, Infallible>>>>;

/// Reads of `request` what there is.
fn start(layer: &PayloadLayer, request: Request<ScriptedBody>) -> (Pending, Option<StatusCode>) {
    let inner = service_fn(|_: Request<Payload>| async { Ok(Response::new(Empty::new())) });
    let mut pending: Pending = Box::pin(layer.layer(inner).oneshot(request));
    // Several turns, each of 64 frames.
    for _ in 0..16 {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(response) = pending.as_mut().poll(&mut cx) {
            return (pending, Some(response.unwrap().status()));
        }
    }
    (pending, None)
}

#[tokio::test]
async fn unfinished_bodies_share_one_limit_and_small_ones_pass() {
    let limit = MemoryLimit::new(4 * MIB);
    let json = PayloadLayer::new().memory_limit(limit.clone());
    let bytes = PayloadLayer::bytes().memory_limit(limit.clone());
    let mut reading = Vec::new();
    let mut rejected = 0;
    for turn in 0..64 {
        let layer = if turn % 2 == 0 { json.clone() } else { bytes.clone() };
        let (pending, status) = start(&layer, unfinished(256 * KIB));
        match status {
            None => reading.push(pending),
            Some(status) => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                rejected += 1;
            }
        }
        assert!(limit.taken_bytes() <= 3 * MIB, "{}", limit.taken_bytes());
    }
    assert!((6..=12).contains(&reading.len()), "{}", reading.len());
    assert_eq!(rejected, 64 - reading.len());
    let (reason, response) = refusal(json.clone(), post().body(full(text(MIB))).unwrap()).await;
    assert_eq!(reason, Refusal::Overloaded);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    assert!(send(json, post().body(full(SMALL)).unwrap()).await.is_ok());

    // A client that leaves gives back what its body has taken.
    drop(reading);
    assert_eq!(limit.taken_bytes(), 0);
}

#[tokio::test]
async fn clones_and_services_of_a_layer_share_one_limit() {
    let limit = MemoryLimit::new(4 * MIB);
    let layer = PayloadLayer::new().memory_limit(limit.clone());
    let first = send(layer.clone().max_depth(3), post().body(full(text(2 * MIB))).unwrap()).await;
    let second =
        refusal(layer.max_body_bytes(9 << 20), post().body(full(text(2 * MIB))).unwrap()).await;
    assert_eq!(second.0, Refusal::Overloaded);
    drop(first);
    assert_eq!(limit.taken_bytes(), 0);
}

#[tokio::test]
async fn values_count_in_the_memory_limit() {
    let numbers = || format!("[0{}]", ",0".repeat(300_000));
    for (most, fits) in [(16 * MIB, true), (4 * MIB, false)] {
        let limit = MemoryLimit::new(most);
        let layer = PayloadLayer::new().memory_limit(limit.clone());
        let sent = send(layer, post().body(full(numbers())).unwrap()).await;
        assert_eq!(sent.is_ok(), fits);
        if let Ok(request) = &sent {
            let nodes = request.body().document().unwrap().value_count();
            assert!(limit.taken_bytes() >= 600_000 + 16 * nodes, "{}", limit.taken_bytes());
            assert!(limit.taken_bytes() <= 600_000 + 32 * nodes + 64, "{}", limit.taken_bytes());
        }
        drop(sent);
        assert_eq!(limit.taken_bytes(), 0);
    }
}

/// A body has as many values as its bytes hold. The most is one for two bytes: 5,242,880 in 10 MiB,
/// of 16 bytes each, and both tables while the last one grows.
#[test]
fn densest_body_is_counted_and_passes() {
    let body = format!("[0{}]", ",0".repeat(5 * MIB - 2));
    assert_eq!(body.len(), 10 * MIB - 1);
    let limit = MemoryLimit::new(256 * MIB);
    let layer = PayloadLayer::new().memory_limit(limit.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut weighed = 0;
    let cost = allocation_counter::measure(|| {
        let request = post().body(full(body)).unwrap();
        let sent = runtime.block_on(send(layer.clone(), request)).unwrap();
        assert_eq!(sent.body().document().unwrap().value_count(), 5 * MIB);
        weighed = limit.taken_bytes();
    });
    println!("{weighed} bytes stay weighed, {} were allocated at once", cost.bytes_max);
    assert!((90 * MIB..100 * MIB).contains(&weighed), "{weighed}");
    assert!(cost.bytes_max < 140 * MIB as u64, "{}", cost.bytes_max);

    // One is rejected as soon as the sum has no room for it, and by no bound of its own.
    let taken = MemoryLimit::new(64 * MIB);
    let body = format!("[0{}]", ",0".repeat(5 * MIB - 2));
    let request = post().body(full(body)).unwrap();
    let (reason, _) = runtime.block_on(refusal(layer.memory_limit(taken.clone()), request));
    assert_eq!((reason, taken.taken_bytes()), (Refusal::Overloaded, 0));
}

#[tokio::test]
async fn document_parsed_later_is_counted() {
    let numbers = || format!("[0{}]", ",0".repeat(120_000));
    for (most, fits) in [(16 * MIB, true), (2 * MIB, false)] {
        let limit = MemoryLimit::new(most);
        let layer = PayloadLayer::bytes().memory_limit(limit.clone());
        let request = send(layer, post().body(full(numbers())).unwrap()).await.unwrap();
        let before = limit.taken_bytes();
        assert!(before < MIB);
        match request.body().document() {
            Ok(document) => {
                assert!(fits && limit.taken_bytes() >= before + 16 * document.value_count());
            }
            Err(error) => {
                assert_eq!((fits, error), (false, DocumentError::Exhausted));
                assert_eq!(error.rejection().refusal(), Refusal::Overloaded);
                assert_eq!(limit.taken_bytes(), before);
            }
        }
        drop(request);
        assert_eq!(limit.taken_bytes(), 0);
    }
}

#[tokio::test]
async fn bytes_are_counted_until_their_last_handle_is_dropped() {
    let limit = MemoryLimit::new(4 * MIB);
    let layer = PayloadLayer::new().memory_limit(limit.clone());
    let request = send(layer, post().body(full(text(MIB))).unwrap()).await.unwrap();
    let mut payload = request.into_body();
    let copy = payload.try_clone().unwrap();
    // A client takes the frame, and drops the body while it is sending.
    let frame = payload.frame().await.unwrap().unwrap().into_data().unwrap();
    drop(payload);
    assert!(limit.taken_bytes() >= MIB);
    drop(copy);
    let taken = limit.taken_bytes();
    assert!((MIB..MIB + 64 * KIB).contains(&taken), "{taken}");
    drop(frame);
    assert_eq!(limit.taken_bytes(), 0);
}

#[tokio::test]
async fn windows_and_decoded_bytes_are_counted() {
    let text = text(2 * MIB);
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
        for (most, fits) in [(64 * MIB, true), (MIB, false)] {
            let limit = MemoryLimit::new(most);
            let layer = PayloadLayer::new().decompress().memory_limit(limit.clone());
            let body = Bytes::from(coding.code(&text));
            assert!(body.len() < 64 * KIB);
            let request =
                post().header("content-encoding", coding.name()).body(full(body)).unwrap();
            let sent = send(layer, request).await;
            match &sent {
                Ok(_) => assert!(fits && limit.taken_bytes() >= text.len()),
                Err(response) => {
                    assert_eq!((fits, response.status().as_u16()), (false, 503), "{coding:?}");
                }
            }
            drop(sent);
            assert_eq!(limit.taken_bytes(), 0);
        }
    }
}

/// A window is taken while the body is being read, long before it is full.
#[tokio::test]
async fn window_is_counted_while_the_body_is_unfinished() {
    // Not compressed well, so that the windows are used.
    let mut noise = 1_u64;
    let noise = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b'a' + (noise >> 60) as u8
    });
    let text: Vec<u8> = noise.take(8 * MIB).collect();
    // Brotli is slow to code.
    for (coding, length) in [(Coding::Brotli, MIB), (Coding::Zstd, 8 * MIB)] {
        let body = coding.code(&text[..length]);
        let half = ScriptedBody::chunked(&body[..body.len() / 2], 16 * KIB);
        let limit = MemoryLimit::new(64 * MIB);
        let layer = PayloadLayer::new().decompress().memory_limit(limit.clone());
        let inner = service_fn(|_: Request<Payload>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let request = post().header("content-encoding", coding.name()).body(Endless(half)).unwrap();
        let mut reading = pin!(layer.layer(inner).oneshot(request));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..1_000 {
            assert!(reading.as_mut().poll(&mut cx).is_pending());
        }
        let taken = limit.taken_bytes();
        // About half of it was decoded, and stands in the window too.
        assert!((length * 4 / 5..length * 3).contains(&taken), "{coding:?} {taken}");
    }
}

/// Stalls where the inner body ends.
struct Endless(ScriptedBody);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        match Pin::new(&mut self.0).poll_frame(cx) {
            Poll::Ready(None) => Poll::Pending,
            polled => polled,
        }
    }
}

#[tokio::test]
async fn streamed_body_takes_no_memory() {
    let limit = MemoryLimit::new(KIB);
    let layer = PayloadLayer::streamed().memory_limit(limit.clone());
    let request = send(layer, post().body(full(text(MIB))).unwrap()).await.unwrap();
    let read = request.into_body().collect().await.unwrap().to_bytes();
    assert_eq!((read.len(), limit.taken_bytes()), (MIB, 0));
}

// === turns ===

/// How many times a request is polled until it is answered. Its body is all there.
fn polls(layer: &PayloadLayer, body: Bytes) -> usize {
    let inner = service_fn(|request: Request<Payload>| async move {
        assert!(request.body().document().is_ok());
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let request = post().body(full(body)).unwrap();
    let mut reading = pin!(layer.layer(inner).oneshot(request));
    let mut cx = Context::from_waker(Waker::noop());
    let mut polls = 1;
    loop {
        match reading.as_mut().poll(&mut cx) {
            Poll::Ready(response) => {
                assert_eq!(response.unwrap().status(), StatusCode::OK);
                return polls;
            }
            Poll::Pending => polls += 1,
        }
    }
}

#[test]
fn long_document_is_parsed_in_steps_of_256_kib() {
    let body = |length: usize| format!("[0{}]", ",0".repeat(length / 2 - 1)).into();
    for layer in [PayloadLayer::new(), PayloadLayer::bytes()] {
        assert_eq!(polls(&layer, body(1024)), 1);
        assert_eq!(polls(&layer, body(256 * KIB - 2)), 1);
        assert_eq!(polls(&layer, body(256 * KIB + 2)), 2);
        assert_eq!(polls(&layer, body(MIB)), 4);
    }
}

#[test]
fn bytes_without_array_or_object_are_not_parsed() {
    let layer = PayloadLayer::bytes();
    assert_eq!(polls(&layer, text(MIB)), 1);
    // What is no document is handed on all the same.
    let inner = service_fn(|request: Request<Payload>| async move {
        assert!(request.body().document().is_err());
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let body = full(vec![b'['; MIB]);
    let mut reading = pin!(layer.layer(inner).oneshot(post().body(body).unwrap()));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(response)) = reading.as_mut().poll(&mut cx) else { panic!("in turns") };
    assert_eq!(response.status(), StatusCode::OK);
}

/// A layer further in that reads the same bytes again does not weigh them twice.
#[tokio::test]
async fn same_bytes_are_counted_once() {
    let limit = MemoryLimit::new(4 * MIB);
    let layer = PayloadLayer::new().memory_limit(limit.clone());
    let taken = limit.clone();
    let inspected = service_fn(move |request: Request<Payload>| {
        assert!(request.body().document().is_ok());
        assert!(taken.taken_bytes() < 3 * MIB, "{}", taken.taken_bytes());
        async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }
    });
    // A framework between the two has hidden the type.
    let inner = layer.layer(inspected);
    let hide = |request: Request<Payload>| request.map(|body| body.boxed_unsync());
    let gateway = layer.layer(ServiceBuilder::new().map_request(hide).service(inner));
    let response = gateway.oneshot(post().body(full(text(2 * MIB))).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(limit.taken_bytes(), 0);
}

#[test]
fn document_of_a_given_payload_is_parsed_in_steps() {
    let inner = service_fn(|request: Request<Payload>| async move {
        assert!(request.body().document().is_ok());
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let payload = Payload::buffered(format!("[0{}]", ",0".repeat(MIB / 2 - 1)));
    let request = post().body(payload).unwrap();
    let mut reading = pin!(PayloadLayer::new().layer(inner).oneshot(request));
    let mut cx = Context::from_waker(Waker::noop());
    let turns = (0..).find(|_| reading.as_mut().poll(&mut cx).is_ready()).unwrap();
    assert_eq!(turns, 3);
}
