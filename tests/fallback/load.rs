//! The requests in flight at each target.

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
