//! The requests in flight at each target.

use std::sync::Arc;

use tower_inference::identity::{Identity, Proof};

use super::*;

fn service(
    layer: &FallbackLayer,
    hosts: &Hosts,
) -> impl Service<
    Request<Payload>,
    Response = Response<impl Body<Data = Bytes, Error: std::fmt::Debug> + Unpin + use<>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ use<> {
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    layer.layer(UpstreamLayer::new().layer(inner))
}

#[tokio::test(start_paused = true)]
async fn a_full_target_is_skipped_while_another_one_is_left() {
    let hosts = hosts(TestResponse::chat("one"), TestResponse::chat("two"));
    let layer = FallbackLayer::new([target("a").max_in_flight(1), target("b")]);
    let service = service(&layer, &hosts);
    let first = service.clone().oneshot(hello()).await.unwrap();
    assert_eq!(first.headers()["x-inference-target"], "a");
    // The permit is taken to the end of the body.
    let second = service.clone().oneshot(hello()).await.unwrap();
    assert_eq!(second.headers()["x-inference-target"], "b");
    first.into_body().collect().await.unwrap();
    let third = service.clone().oneshot(hello()).await.unwrap();
    assert_eq!(third.headers()["x-inference-target"], "a");
    drop(third);
    let fourth = service.oneshot(hello()).await.unwrap();
    assert_eq!(fourth.headers()["x-inference-target"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_its_first_choice_if_all_are_full() {
    let hosts = hosts(TestResponse::chat("one"), TestResponse::chat("two"));
    let of = |name: &str| target(name).max_in_flight(1).max_queued(1);
    let layer = FallbackLayer::new([of("a"), of("b")]);
    let service = service(&layer, &hosts);
    let first = service.clone().oneshot(hello()).await.unwrap();
    let _second = service.clone().oneshot(hello()).await.unwrap();
    let third = tokio::spawn(service.clone().oneshot(hello()));
    tokio::task::yield_now().await;
    // Its queue is full.
    let fourth = service.clone().oneshot(hello()).await.unwrap();
    assert_eq!(
        (fourth.status(), &fourth.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from_static("1"))
    );
    drop(first);
    let third = third.await.unwrap().unwrap();
    assert_eq!(third.headers()["x-inference-target"], "a");
    assert_eq!(hosts.calls(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_target_has_a_deadline() {
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::chat("one")))]);
    let layer = FallbackLayer::new([target("a").max_in_flight(1).queue_timeout(seconds(3))]);
    let service = service(&layer, &hosts);
    let _first = service.clone().oneshot(hello()).await.unwrap();
    let started = tokio::time::Instant::now();
    let second = service.oneshot(hello()).await.unwrap();
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(started.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_and_a_client_that_leaves_give_their_permits_back() {
    let a =
        TestUpstream::new(status(500)).then(TestResponse::silent()).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let layer = FallbackLayer::new([target("a").max_in_flight(1), target("b")]);
    let service = service(&layer, &hosts);
    let first = service.clone().oneshot(hello()).await.unwrap();
    assert_eq!(first.headers()["x-inference-target"], "b");
    let gone = tokio::time::timeout(seconds(1), service.clone().oneshot(hello())).await;
    assert!(gone.is_err());
    let third = service.oneshot(hello()).await.unwrap();
    assert_eq!(third.headers()["x-inference-target"], "a");
}

#[tokio::test(start_paused = true)]
async fn a_request_has_no_permit_while_it_waits_for_a_retry() {
    let a = TestUpstream::new(status(500)).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a)]);
    let layer = FallbackLayer::new([target("a").max_in_flight(1)]).retries(1);
    let service = service(&layer, &hosts);
    let first = tokio::spawn(service.clone().oneshot(hello()));
    tokio::task::yield_now().await;
    let started = tokio::time::Instant::now();
    let second = service.oneshot(hello()).await.unwrap();
    assert_eq!((second.status(), started.elapsed()), (StatusCode::OK, Duration::ZERO));
    drop(second);
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
}

/// A request for the targets of this name.
fn named(model: &str) -> Request<Payload> {
    chat(format!(r#"{{"model":"{model}","messages":[]}}"#))
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_leaves_the_queue_of_the_next_target() {
    let hosts = hosts(TestResponse::chat("one"), TestResponse::chat("two"));
    let of = |name: &str| target(name).max_in_flight(1);
    let layer = FallbackLayer::new([of("a").max_queued(0), of("b").max_queued(1)]);
    let service = service(&layer, &hosts);
    let _first = service.clone().oneshot(hello()).await.unwrap();
    let second = service.clone().oneshot(hello()).await.unwrap();
    let third = tokio::spawn(service.clone().oneshot(hello()));
    tokio::task::yield_now().await;
    assert_eq!(service.oneshot(hello()).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(second);
    let third = third.await.unwrap().unwrap();
    assert_eq!(third.headers()["x-inference-target"], "b");
}

#[tokio::test(start_paused = true)]
async fn a_full_target_leaves_the_retries_of_another_one() {
    let a = TestUpstream::new(TestResponse::unreachable()).then(TestResponse::chat("again"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let b = target("b").max_in_flight(1).max_queued(0);
    let layer = FallbackLayer::new([target("a"), b.clone()]).model("b", [b]).retries(1);
    let full = service(&layer, &hosts).oneshot(named("b")).await.unwrap();
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.target.as_deref(), hosts.calls()), (200, Some("a"), vec![2, 1]));
    drop(full);
}

#[tokio::test(start_paused = true)]
async fn a_full_target_leaves_the_wait_for_another_one() {
    let a = TestUpstream::new(busy(503, "20")).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let b = target("b").max_in_flight(1).max_queued(0);
    let layer =
        FallbackLayer::new([target("a"), b.clone()]).model("b", [b]).wait_for_model(seconds(60));
    let full = service(&layer, &hosts).oneshot(named("b")).await.unwrap();
    for calls in [2, 3] {
        let got = send(&layer, &hosts, hello()).await;
        assert_eq!((got.status, got.target.as_deref()), (200, Some("a")));
        assert_eq!(hosts.calls(), [calls, 1]);
    }
    drop(full);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_over_leaves_the_next_target() {
    let hosts = hosts(TestResponse::chat("one"), TestResponse::chat("two"));
    let of = |name: &str| target(name).max_in_flight(1).queue_timeout(seconds(3));
    let layer = FallbackLayer::new([of("a"), of("b")]);
    let service = service(&layer, &hosts);
    let _first = service.clone().oneshot(hello()).await.unwrap();
    let second = service.clone().oneshot(hello()).await.unwrap();
    let later = tokio::spawn(async move {
        tokio::time::sleep(seconds(2)).await;
        drop(second);
    });
    let started = tokio::time::Instant::now();
    let third = service.clone().oneshot(hello()).await.unwrap();
    later.await.unwrap();
    assert_eq!(third.headers()["x-inference-target"], "b");
    assert_eq!(started.elapsed().as_secs(), 3);
    // If every wait ends, the request is rejected.
    let started = tokio::time::Instant::now();
    let fourth = service.oneshot(hello()).await.unwrap();
    assert_eq!((fourth.status().as_u16(), started.elapsed().as_secs()), (503, 6));
    assert!(!fourth.headers().contains_key("x-inference-target"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_without_a_place_leaves_the_next_target() {
    for is_alone in [true, false] {
        let a = TestUpstream::new(status(500)).then(TestResponse::chat("one"));
        let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
        let a = target("a").max_in_flight(1).max_queued(0);
        let targets = if is_alone { vec![a.clone()] } else { vec![a.clone(), target("b")] };
        let layer = FallbackLayer::new(targets).model("a", [a]).retries(1);
        let service = service(&layer, &hosts);
        let first = tokio::spawn(service.clone().oneshot(hello()));
        tokio::task::yield_now().await;
        let full = service.oneshot(named("a")).await.unwrap();
        assert_eq!(full.status(), StatusCode::OK);
        let first = first.await.unwrap().unwrap();
        if is_alone {
            assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(first.headers()["retry-after"], "1");
        } else {
            assert_eq!(first.headers()["x-inference-target"], "b");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_gets_the_last_failure_when_no_other_target_has_a_place() {
    let hosts = hosts(status(500), TestResponse::chat("two"));
    let b = target("b").max_in_flight(1).max_queued(0);
    let layer = FallbackLayer::new([target("a"), b.clone()]).model("b", [b]);
    let full = service(&layer, &hosts).oneshot(named("b")).await.unwrap();
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.target.as_deref()), (500, Some("a")));
    assert!(got.body.contains("a scripted error"));
    drop(full);
}

fn by(caller: &str) -> Request<Payload> {
    let mut request = hello();
    let identity = Identity::new(Proof::Jwt, "https://issuer.example", caller);
    RequestContext::ensure(request.extensions_mut()).set_identity(Arc::new(identity));
    request
}

#[tokio::test(start_paused = true)]
async fn one_caller_leaves_places_for_others() {
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::chat("one")))]);
    let layer = FallbackLayer::new([target("a").max_in_flight(8)]);
    let service = service(&layer, &hosts);
    // Six of eight places, and 48 of 64 in the queue.
    let mut busy = Vec::new();
    for _ in 0..6 {
        busy.push(service.clone().oneshot(by("greedy")).await.unwrap());
    }
    let mut waiting = Vec::new();
    for _ in 0..48 {
        let request = service.clone().oneshot(by("greedy"));
        waiting.push(tokio::spawn(request));
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        let mut request = by("greedy");
        let context = RequestContext::ensure(request.extensions_mut());
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(context.outcome().limited_by.as_deref(), Some("caller-share"));
    }
    for caller in ["one", "two"] {
        busy.push(service.clone().oneshot(by(caller)).await.unwrap());
    }
    let third = tokio::spawn(service.clone().oneshot(by("three")));
    tokio::task::yield_now().await;
    // Its turn comes before the 48 of the caller that has its share.
    drop(busy.pop());
    assert_eq!(third.await.unwrap().unwrap().status(), StatusCode::OK);
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_caller_beyond_its_share_of_a_target_goes_to_the_next_one() {
    let body = r#"{"model":"smart","messages":[]}"#;
    let hosts = hosts(TestResponse::chat("one"), TestResponse::chat("two"));
    let a = target("a").model("org/large").max_in_flight(4).max_queued(0);
    let layer = FallbackLayer::new([]).model("smart", [a, target("b")]);
    let service = service(&layer, &hosts);
    let smart = |caller: &str| by(caller).map(|_| Payload::buffered(body));
    let mut busy = Vec::new();
    for target in ["a/org/large", "a/org/large", "a/org/large", "b"] {
        let response = service.clone().oneshot(smart("greedy")).await.unwrap();
        assert_eq!(response.headers()["x-inference-target"], target);
        busy.push(response);
    }
    assert_eq!(hosts.requests("b")[0].body(), body);
    let response = service.oneshot(smart("other")).await.unwrap();
    assert_eq!(response.headers()["x-inference-target"], "a/org/large");
}

#[tokio::test(start_paused = true)]
async fn the_share_of_a_caller_is_settable() {
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::chat("one")))]);
    for a in [
        target("a").max_in_flight(8).caller_share(100).max_queued(0),
        target("a").caller_share(100).max_in_flight(8).max_queued(0),
    ] {
        let layer = FallbackLayer::new([a]);
        let service = service(&layer, &hosts);
        let mut busy = Vec::new();
        for _ in 0..8 {
            let response = service.clone().oneshot(by("only")).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            busy.push(response);
        }
        let ninth = service.oneshot(by("only")).await.unwrap();
        assert_eq!(ninth.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
