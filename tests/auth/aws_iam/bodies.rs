//! Bodies are always hashed.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt, Channel, Full};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    auth::{
        AuthLayer,
        aws_iam::{SignedBody, SignedBodyLayer},
    },
    memory_limit::MemoryLimit,
    payload::{Payload, PayloadLayer},
    rejection::Refusal,
    stack::Stack,
    upstream::UpstreamLayer,
};

use super::{
    super::support::{ScriptedBody, Step},
    sign::{Signing, send, send_through, sha256, sigv4},
};

fn layer() -> AuthLayer {
    AuthLayer::new(sigv4())
}

fn signed() -> Request<Full<Bytes>> {
    Signing::default().declared("/v1/chat", "{\"a\": 1}")
}

#[tokio::test]
async fn declared_digest_is_checked_while_the_body_is_read() {
    let outcome = send(&layer(), signed()).await;
    assert_eq!(outcome.seen.unwrap().body, "{\"a\": 1}");
    for body in ["{\"a\": 2}", "", "{\"a\": 1} "] {
        let outcome = send(&layer(), signed().map(|_| Full::from(body))).await;
        // `PayloadLayer` gives the same response as `AuthLayer`.
        assert_eq!((outcome.status.as_u16(), outcome.calls), (401, 0), "{body}");
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidSignature));
        assert_eq!(outcome.headers["www-authenticate"], "AWS4-HMAC-SHA256");
    }
}

#[tokio::test]
async fn declared_digest_is_part_of_the_signature() {
    let mut request = signed().map(|_| Full::from("another"));
    let hash = sha256(b"another").parse().unwrap();
    request.headers_mut().insert("x-amz-content-sha256", hash);
    let outcome = send(&layer(), request).await;
    assert_eq!(outcome.detail(), "the signature does not match");
}

/// What the inner service of a streamed route received.
async fn streamed(chunks: &[&'static str]) -> (Vec<Bytes>, Result<(), String>) {
    let received = Arc::new(Mutex::new((Vec::new(), Ok(()))));
    let inner = {
        let received = Arc::clone(&received);
        service_fn(move |request: Request<Payload>| {
            let received = Arc::clone(&received);
            async move {
                let mut body = request.into_body();
                while let Some(frame) = body.frame().await {
                    let mut received = received.lock().unwrap();
                    match frame {
                        // Trailers would fail here. They are not signed.
                        Ok(frame) => received.0.push(frame.into_data().unwrap()),
                        Err(error) => received.1 = Err(format!("{error:?}")),
                    }
                }
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        })
    };
    let trailers = HeaderMap::from_iter([("x-unsigned".parse().unwrap(), "1".parse().unwrap())]);
    let steps = chunks.iter().flat_map(|chunk| [Step::Pending, Step::Data(chunk.as_bytes())]);
    let body = ScriptedBody::new(steps.chain([Step::Trailers(trailers)]));
    let service =
        SignedBodyLayer::new().layer(layer().layer(PayloadLayer::streamed().layer(inner)));
    service.oneshot(signed().map(|_| body)).await.unwrap();
    let received = received.lock().unwrap();
    received.clone()
}

#[tokio::test]
async fn last_chunk_of_a_streamed_body_is_held_until_the_digest_fits() {
    let (chunks, end) = streamed(&["{\"a\"", ": ", "", "1}", ""]).await;
    assert_eq!((chunks, end), (vec!["{\"a\"".into(), ": ".into(), "1}".into()], Ok(())));
    // The upstream never sees a complete body of another digest.
    let (chunks, end) = streamed(&["{\"a\"", ": ", "2}", ""]).await;
    assert_eq!(chunks, ["{\"a\"", ": "]);
    assert!(end.unwrap_err().contains("DigestMismatch"));
    let (chunks, end) = streamed(&[]).await;
    assert!(chunks.is_empty() && end.is_err());
}

#[tokio::test]
async fn body_without_a_declared_digest_is_read_after_the_head_holds() {
    let head = Signing::default().request("POST", "/v1/chat", "");
    // Each body never ends. Only the valid head waits for it.
    let endless = |request: &Request<Full<Bytes>>| {
        let (sender, body) = Channel::<Bytes, Infallible>::new(1);
        let mut endless = Request::new(body);
        endless.headers_mut().clone_from(request.headers());
        *endless.method_mut() = request.method().clone();
        *endless.uri_mut() = request.uri().clone();
        (sender, endless)
    };
    let other_region = Signing { region: "eu-west-1", ..Signing::default() };
    let old = Signing { date: "20270115T070000Z", ..Signing::default() };
    let mut stranger = Signing::default().request("POST", "/v1/chat", "");
    let value = stranger.headers()["authorization"].to_str().unwrap().replace("AKID", "XXXX");
    stranger.headers_mut().insert("authorization", value.parse().unwrap());
    for head in [other_region.request("POST", "/", ""), old.request("POST", "/", ""), stranger] {
        let (_sender, request) = endless(&head);
        let outcome = send(&layer(), request).await;
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidSignature));
    }
    tokio::time::pause();
    let (_sender, request) = endless(&head);
    let outcome = send(&layer(), request).await;
    assert_eq!((outcome.refusal(), outcome.calls), (Some(Refusal::PayloadTimeout), 0));
}

#[tokio::test]
async fn body_that_is_read_first_is_bounded() {
    let request = || Signing::default().request("POST", "/v1/chat", "0123456789");
    let small = SignedBodyLayer::new().max_body_bytes(9);
    let outcome = send_through(small, &layer(), request()).await;
    assert_eq!(outcome.refusal(), Some(Refusal::PayloadTooLarge));
    assert!(outcome.detail().contains("9 bytes"));
    let exact = SignedBodyLayer::new().max_body_bytes(10);
    let outcome = send_through(exact, &layer(), request()).await;
    assert_eq!(outcome.seen.unwrap().body, "0123456789");
    let memory = MemoryLimit::new(1_000);
    let full = SignedBodyLayer::new().memory_limit(memory.clone());
    let outcome = send_through(full, &layer(), request()).await;
    assert_eq!(outcome.refusal(), Some(Refusal::Overloaded));
    assert_eq!(memory.taken_bytes(), 0);
    let slow = SignedBodyLayer::new().body_timeout(Duration::ZERO);
    let (_sender, body) = Channel::<Bytes, Infallible>::new(1);
    let outcome = send_through(slow, &layer(), request().map(|_| body)).await;
    assert_eq!(outcome.refusal(), Some(Refusal::PayloadTimeout));
}

#[tokio::test]
async fn unsigned_payload_needs_the_dangerous_switch() {
    let request = |hash: &'static str, body: &'static str| {
        let canonical = Signing::default();
        let text = format!(
            "POST\n/\n\nhost:gw.example\nx-amz-date:{}\n\nhost;x-amz-date\n{hash}",
            canonical.date
        );
        let mut request = canonical.request("POST", "/", body);
        let authorization = canonical.authorization(&text).parse().unwrap();
        request.headers_mut().insert("authorization", authorization);
        request.headers_mut().insert("x-amz-content-sha256", HeaderValue::from_static(hash));
        request
    };
    let outcome = send(&layer(), request("UNSIGNED-PAYLOAD", "any")).await;
    assert!(outcome.detail().contains("`UNSIGNED-PAYLOAD` is not accepted"));
    let lax = AuthLayer::new(sigv4().dangerous_unsigned_payload());
    let outcome = send(&lax, request("UNSIGNED-PAYLOAD", "any")).await;
    assert_eq!(outcome.seen.unwrap().body, "any");
    for streaming in ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"] {
        let outcome = send(&lax, request(streaming, "any")).await;
        assert!(outcome.detail().contains("payloads are not supported"), "{streaming}");
    }
    let outcome = send(&lax, request("00", "any")).await;
    assert!(outcome.detail().contains("`x-amz-content-sha256` is malformed"));
}

#[tokio::test]
async fn signed_requests_are_refused_without_the_layer_or_after_the_body_was_read() {
    let inner = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    for request in [signed(), Signing::default().request("GET", "/", "")] {
        let response = layer().layer(inner).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
    }
    // `PayloadLayer` between the two layers has read the body.
    let inner = service_fn(|_: Request<Payload>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let wrong = SignedBodyLayer::new().layer(PayloadLayer::bytes().layer(layer().layer(inner)));
    assert_eq!(wrong.oneshot(signed()).await.unwrap().status(), 500);
}

#[tokio::test]
async fn path_that_a_router_has_cut_is_verified_as_it_was_on_the_wire() {
    let inner = layer().layer(service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    }));
    let router = service_fn(move |mut request: Request<_>| {
        *request.uri_mut() = "/chat".parse().unwrap();
        inner.clone().oneshot(request)
    });
    let request = Signing::default().declared("/v1/chat", "{}");
    let response = SignedBodyLayer::new().layer(router).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn body_of_another_request_passes_as_it_is() {
    let received = service_fn(|request: Request<SignedBody<Full<Bytes>>>| async {
        let (parts, body) = request.into_parts();
        assert!(parts.extensions.is_empty());
        let hint = body.size_hint().exact();
        assert_eq!((hint, body.collect().await.unwrap().to_bytes()), (Some(4), "body".into()));
        Ok::<_, Infallible>(Response::new(()))
    });
    let request = Request::builder().uri("/?x-amz=1").header("authorization", "Bearer AWS4-");
    let request = request.body(Full::from("body")).unwrap();
    SignedBodyLayer::new().layer(received).oneshot(request).await.unwrap();
}

#[test]
fn request_without_a_signature_costs_no_allocation() {
    #[derive(Clone)]
    struct Trivial;

    impl Service<Request<SignedBody<Full<Bytes>>>> for Trivial {
        type Response = u64;
        type Error = Infallible;
        type Future = std::future::Ready<Result<u64, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<SignedBody<Full<Bytes>>>) -> Self::Future {
            std::future::ready(Ok(request.body().size_hint().exact().unwrap()))
        }
    }

    let mut service = SignedBodyLayer::new().layer(Trivial);
    let request = Request::builder().uri("/v1/chat?a=1&x-amz=2%20");
    let request = request.header("authorization", "Bearer token").body(Full::from("body")).unwrap();
    let measured = allocation_counter::measure(|| {
        let future = pin!(service.call(request));
        let polled = future.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(4))));
    });
    assert_eq!(measured.count_total, 0);
}

#[tokio::test]
async fn layer_goes_around_any_stack() {
    let client = service_fn(|request: Request<Payload>| async move {
        // As an HTTP client does, it fails with its body.
        let body = request.into_body().collect().await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(Response::new(Full::new(body.to_bytes())))
    });
    let stack = |payload| {
        let stack = Stack::new().upstream(UpstreamLayer::new()).payload(payload).auth(layer());
        stack.around(SignedBodyLayer::new()).layer(client)
    };
    for payload in [PayloadLayer::bytes(), PayloadLayer::streamed()] {
        let response = stack(payload.clone()).oneshot(signed()).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "{\"a\": 1}");
        let other = signed().map(|_| Full::<Bytes>::from("other"));
        let response = stack(payload).oneshot(other).await.unwrap();
        // The call of a streamed route has begun before the digest is known.
        assert!(matches!(response.status().as_u16(), 401 | 502));
    }
}
