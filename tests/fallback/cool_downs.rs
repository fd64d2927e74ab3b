//! Which targets get no attempt for a while, and the waits.

use std::sync::{Arc, Mutex};

use tower_inference::context::AbandonReason;

use super::*;

fn grouped() -> FallbackLayer {
    let of_router = |name: &str| target(name).group("router");
    FallbackLayer::new([of_router("a"), of_router("b"), target("c")])
}

fn three(a: TestUpstream, b: TestResponse, c: TestResponse) -> Hosts {
    Hosts::of([("a", a), ("b", TestUpstream::new(b)), ("c", TestUpstream::new(c))])
}

#[tokio::test(start_paused = true)]
async fn a_busy_upstream_stops_the_rest_of_its_group() {
    for failure in [status(429), status(503), busy(503, "3"), TestResponse::unreachable()] {
        let row = format!("{failure:?}");
        let a = TestUpstream::new(failure);
        let hosts = three(a, TestResponse::chat("two"), TestResponse::chat("three"));
        let got = send(&grouped(), &hosts, hello()).await;
        assert_eq!(got.target.as_deref(), Some("c"), "{row}");
        assert_eq!(hosts.calls(), [1, 0, 1], "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_alone_is_not_tried_in_turn() {
    let of_router = |name: &str| target(name).group("router");
    for failure in [status(429), status(503), TestResponse::unreachable()] {
        let hosts = hosts(failure, TestResponse::chat("two"));
        let layer = FallbackLayer::new([of_router("a"), of_router("b")]);
        assert!(send(&layer, &hosts, hello()).await.status >= 429);
        assert_eq!(hosts.calls(), [1, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn another_failure_lets_the_next_member_be_tried() {
    for failure in [status(500), status(502), TestResponse::events(["[DONE]"])] {
        let a = TestUpstream::new(failure);
        let hosts = three(a, TestResponse::chat("two"), TestResponse::chat("three"));
        let got = send(&grouped(), &hosts, hello()).await;
        assert_eq!((got.target.as_deref(), hosts.calls()), (Some("b"), vec![1, 1, 0]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_that_the_upstream_names_is_obeyed() {
    let a = TestUpstream::new(busy(429, "20")).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let layer = two();
    for (after, target, calls) in [(0, "b", [1, 1]), (19, "b", [1, 2]), (1, "a", [2, 2])] {
        tokio::time::advance(seconds(after)).await;
        let got = send(&layer, &hosts, hello()).await;
        assert_eq!((got.target.as_deref(), hosts.calls()), (Some(target), calls.to_vec()));
        assert_eq!(got.context.outcome().fell_back, target == "b");
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_is_bounded() {
    let a = TestUpstream::new(busy(503, "86400")).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let layer = two().max_cool_down(seconds(10));
    send(&layer, &hosts, hello()).await;
    tokio::time::advance(seconds(10)).await;
    assert_eq!(send(&layer, &hosts, hello()).await.target.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn without_a_time_a_target_is_tried_when_nothing_else_is_left() {
    let a = TestUpstream::new(status(429)).then(TestResponse::chat("one"));
    let b = TestUpstream::new(TestResponse::chat("two")).then(status(500));
    let hosts = Hosts::of([("a", a), ("b", b)]);
    let layer = two();
    assert_eq!(send(&layer, &hosts, hello()).await.target.as_deref(), Some("b"));
    // `a` cools down, so `b` is tried first.
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.target.as_deref(), hosts.calls()), (Some("a"), vec![2, 2]));
    // Its response has ended the cool-down.
    assert_eq!(send(&layer, &hosts, hello()).await.target.as_deref(), Some("a"));
    assert_eq!(hosts.calls(), [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_cool_down_without_a_time_ends() {
    let a = TestUpstream::new(TestResponse::unreachable()).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let layer = two().cool_down(seconds(3));
    send(&layer, &hosts, hello()).await;
    tokio::time::advance(seconds(2)).await;
    assert_eq!(send(&layer, &hosts, hello()).await.target.as_deref(), Some("b"));
    tokio::time::advance(seconds(1)).await;
    assert_eq!(send(&layer, &hosts, hello()).await.target.as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn the_shorter_of_several_cool_downs_wins() {
    // Two requests are in flight when the upstream tells each of them another time.
    let a = TestUpstream::new(busy(429, "40")).then(busy(429, "5")).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a)]);
    let layer = FallbackLayer::new([target("a"), target("a").name("again")]);
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.retry_after), (429, Some(5)));
    let layer = FallbackLayer::new([target("a").group("g"), target("a").group("g")]);
    let hosts =
        Hosts::of([("a", TestUpstream::new(busy(429, "40")).then(TestResponse::chat("one")))]);
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.retry_after, hosts.calls()), (429, Some(40), vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_request_for_targets_that_all_cool_down_is_rejected_at_once() {
    let hosts = hosts(busy(503, "30"), busy(429, "12.3"));
    let layer = two();
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.retry_after), (429, Some(13)));
    tokio::time::advance(seconds(2)).await;
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.retry_after, hosts.calls()), (503, Some(11), vec![1, 1]));
    assert_eq!(got.context.outcome().rejection, Some("overloaded"));
    assert_eq!(got.target, None);
}

#[tokio::test(start_paused = true)]
async fn layers_of_one_layer_share_the_cool_downs() {
    let a = TestUpstream::new(busy(429, "20"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let layer = two();
    send(&layer, &hosts, hello()).await;
    send(&layer.clone(), &hosts, hello()).await;
    assert_eq!(hosts.calls(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_loads_is_waited_for() {
    let a = TestUpstream::new(busy(503, "20")).then(busy(503, "5")).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a)]);
    let alone = || FallbackLayer::new([target("a")]);
    let started = tokio::time::Instant::now();
    let got = send(&alone().wait_for_model(seconds(60)), &hosts, hello()).await;
    assert_eq!((got.status, hosts.calls()), (200, vec![3]));
    // Up to a tenth more of each wait, and at least half a second.
    assert!((25..28).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());

    // By default it is not.
    let hosts = Hosts::of([("a", TestUpstream::new(busy(503, "120")))]);
    let got = send(&alone(), &hosts, hello()).await;
    assert_eq!((got.status, got.retry_after, hosts.calls()), (503, Some(60), vec![1]));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_model_has_a_deadline() {
    let hosts = Hosts::of([("a", TestUpstream::new(busy(429, "20")))]);
    let started = tokio::time::Instant::now();
    let layer = FallbackLayer::new([target("a")]).wait_for_model(seconds(50));
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.retry_after, hosts.calls()), (429, Some(20), vec![3]));
    assert!((40..45).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    // The next request finds the cool-down and waits for it.
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, hosts.calls()), (429, vec![5]));
}

#[tokio::test(start_paused = true)]
async fn a_busy_model_without_a_time_is_waited_for() {
    let a = TestUpstream::new(status(429)).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a)]);
    let layer = FallbackLayer::new([target("a")]).wait_for_model(seconds(30));
    let started = tokio::time::Instant::now();
    assert_eq!(send(&layer, &hosts, hello()).await.status, 200);
    assert_eq!(started.elapsed().as_secs(), 5);
    // A model that is paused has no time, and none is made up for it.
    let hosts = Hosts::of([("a", TestUpstream::new(status(503)))]);
    let layer = FallbackLayer::new([target("a")]).wait_for_model(seconds(30));
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.retry_after, hosts.calls()), (503, None, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn waits_for_a_model_are_bounded_by_their_deadline_and_not_by_attempts() {
    let hosts = Hosts::of([("a", TestUpstream::new(busy(503, "1")))]);
    let layer = FallbackLayer::new([target("a")]).max_attempts(1).wait_for_model(seconds(100));
    let started = tokio::time::Instant::now();
    let got = send(&layer, &hosts, hello()).await;
    // Each wait takes 1 to 1.5 seconds.
    assert!(got.status == 503 && (67..=101).contains(&hosts.calls()[0]), "{:?}", hosts.calls());
    assert!((98..=100).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    // Zero does not make it turn.
    let hosts = Hosts::of([("a", TestUpstream::new(busy(503, "0")))]);
    let layer = layer.cool_down(Duration::ZERO).wait_for_model(seconds(10));
    send(&layer, &hosts, hello()).await;
    assert!(hosts.calls()[0] <= 21, "{:?}", hosts.calls());
}

#[tokio::test(start_paused = true)]
async fn a_paused_endpoint_is_left_for_the_next_target_and_never_waited_for() {
    let paused = || {
        let text = "The endpoint is paused, ask a maintainer to restart it";
        let response = TestResponse::json(serde_json::json!({ "error": text }));
        TestUpstream::new(response.status(StatusCode::BAD_REQUEST))
    };
    let endpoint = || {
        let token = TokenSource::value(Secret::new("hf_a")).unwrap();
        let origin = "https://a.endpoints.huggingface.cloud".parse().unwrap();
        Target::new(Stage::new("a", origin, token))
    };
    let hosts = Hosts::of([("a", paused()), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let layer = FallbackLayer::new([endpoint(), target("b")]).retries(2);
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, hosts.calls()), (200, vec![1, 1]));

    let hosts = Hosts::of([("a", paused())]);
    let layer = FallbackLayer::new([endpoint()]).retries(2).wait_for_model(seconds(60));
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, hosts.calls()), (400, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn another_target_is_not_waited_for() {
    let hosts = hosts(busy(503, "20"), TestResponse::chat("two"));
    let started = tokio::time::Instant::now();
    let got = send(&two().wait_for_model(seconds(60)), &hosts, hello()).await;
    assert_eq!((got.target.as_deref(), started.elapsed()), (Some("b"), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_its_caller_leaves() {
    let hosts = Hosts::of([("a", TestUpstream::new(busy(503, "20")))]);
    let layer = FallbackLayer::new([target("a")]).wait_for_model(seconds(60));
    let gone = tokio::time::timeout(seconds(5), send(&layer, &hosts, hello())).await;
    assert!(gone.is_err());
    tokio::time::advance(seconds(100)).await;
    assert_eq!(hosts.calls(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_planned_retry_obeys_a_time_that_the_upstream_names_meanwhile() {
    for is_alone in [true, false] {
        let a =
            TestUpstream::new(status(500)).then(busy(503, "30")).then(TestResponse::chat("one"));
        let b = TestUpstream::new(TestResponse::chat("two"));
        let hosts = Hosts::of([("a", a), ("b", b)]);
        let targets = if is_alone { vec![target("a")] } else { vec![target("a"), target("b")] };
        let layer = FallbackLayer::new(targets).retries(1);
        let first = tokio::spawn({
            let (layer, hosts) = (layer.clone(), hosts.clone());
            async move { send(&layer, &hosts, hello()).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(hosts.calls(), [1, 0]);
        let second = send(&layer, &hosts, hello()).await;
        let first = first.await.unwrap();
        if is_alone {
            assert_eq!((second.status, second.retry_after), (503, Some(30)));
            assert_eq!((first.status, first.retry_after), (503, Some(30)));
            assert_eq!(hosts.calls(), [2, 0]);
        } else {
            assert_eq!((first.status, first.target.as_deref()), (200, Some("b")));
            assert_eq!(hosts.calls(), [2, 2]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_in_a_queue_obeys_a_time_that_the_upstream_names_meanwhile() {
    let a = TestUpstream::new(busy(503, "30")).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a)]).slow();
    let layer = FallbackLayer::new([target("a").max_in_flight(1)]);
    let (first, second) =
        tokio::join!(send(&layer, &hosts, hello()), send(&layer, &hosts, hello()));
    assert_eq!([first.status, second.status], [503, 503]);
    assert_eq!((second.retry_after, hosts.calls()), (Some(30), vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_one_target_rejects_says_nothing_about_the_next_one() {
    let hosts = Hosts::of([
        ("a", TestUpstream::new(status(401))),
        ("b", TestUpstream::new(TestResponse::unreachable())),
        ("c", TestUpstream::new(TestResponse::chat("three"))),
    ]);
    let layer = FallbackLayer::new([target("a"), target("b"), target("c")]);
    for (calls, reasons) in [
        ([1, 1, 1], vec![AbandonReason::TokenRejected, AbandonReason::Unreachable]),
        // `b` is avoided, and `c` serves before it.
        ([2, 1, 2], vec![AbandonReason::TokenRejected]),
    ] {
        let got = send(&layer, &hosts, hello()).await;
        let abandoned = got.context.outcome().abandoned;
        let found: Vec<_> = abandoned.iter().map(|attempt| attempt.abandoned.unwrap()).collect();
        assert_eq!((hosts.calls(), found), (calls.to_vec(), reasons));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_says_that_no_retry_helps_gets_none() {
    use http::HeaderName;

    let failure = || {
        let name = HeaderName::from_static("x-should-retry");
        busy(503, "0").header(name, HeaderValue::from_static("false"))
    };
    let hosts = hosts(failure(), TestResponse::chat("two"));
    let alone = FallbackLayer::new([target("a")]).retries(3).wait_for_model(seconds(60));
    assert_eq!(send(&alone, &hosts, hello()).await.status, 503);
    assert_eq!(hosts.calls(), [1, 0]);
    // Another target is another request.
    assert_eq!(send(&two().retries(3), &hosts, hello()).await.status, 200);
    assert_eq!(hosts.calls(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn cool_downs_without_end_are_cool_downs() {
    let hosts = hosts(busy(429, "99999999999999999999"), TestResponse::chat("two"));
    // `UpstreamLayer` has a bound of its own.
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let layer = FallbackLayer::new([target("a")]).max_cool_down(Duration::MAX);
    let service = layer.layer(inner);
    for _ in 0..2 {
        let response = service.clone().oneshot(hello()).await.unwrap();
        assert_eq!(response.headers()[RETRY_AFTER], "31536000");
    }
    assert_eq!(hosts.calls(), [1, 0]);
    let a = TestUpstream::new(TestResponse::unreachable());
    let b = TestUpstream::new(TestResponse::chat("two"));
    let hosts = Hosts::of([("a", a), ("b", b)]);
    let layer = two().cool_down(Duration::MAX);
    for calls in [[1, 1], [1, 2]] {
        assert_eq!(send(&layer, &hosts, hello()).await.status, 200);
        assert_eq!(hosts.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_the_gateway_ends_no_cool_down() {
    let a = TestUpstream::new(status(429)).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let layer = FallbackLayer::new([target("a"), target("b").max_in_flight(1)]);
    let service = layer.layer(UpstreamLayer::new().max_in_flight(1).layer(inner));
    let first = service.clone().oneshot(hello()).await.unwrap();
    assert_eq!(first.headers()["x-inference-target"], "b");
    // `b` is full, so this one is for `a`. The gateway has no slot for it.
    let second = service.clone().oneshot(hello()).await.unwrap();
    assert_eq!((second.status(), hosts.calls()), (StatusCode::SERVICE_UNAVAILABLE, vec![1, 1]));
    drop(first);
    let third = service.oneshot(hello()).await.unwrap();
    assert_eq!(third.headers()["x-inference-target"], "b");
}

/// The times at which 30 requests that have waited for a model reach it.
async fn times_after_a_wait(wait: Duration) -> Vec<Duration> {
    let started = tokio::time::Instant::now();
    let times = Arc::<Mutex<Vec<_>>>::default();
    let of_client = Arc::clone(&times);
    let client = tower::service_fn(move |_request: Request<Payload>| {
        let mut times = of_client.lock().unwrap();
        times.push(started.elapsed());
        let response = Response::builder().status(if times.len() == 1 { 503 } else { 200 });
        let body = http_body_util::Empty::<Bytes>::new();
        let response = response.header(RETRY_AFTER, "20").body(body).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let layer = FallbackLayer::new([target("a")]).wait_for_model(wait);
    let service = layer.layer(HfTokenLayer::stage(stage("default")).layer(client));
    let requests: Vec<_> =
        (0..30).map(|_| tokio::spawn(service.clone().oneshot(hello()))).collect();
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    let times = times.lock().unwrap();
    assert_eq!((times.len(), times[0]), (31, Duration::ZERO));
    times[1..].to_vec()
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_a_model_do_not_come_back_at_once() {
    let mut times = times_after_a_wait(seconds(60)).await;
    assert!(times.iter().all(|time| (20..=22).contains(&time.as_secs())), "{times:?}");
    times.dedup();
    assert!(times.len() > 15, "{times:?}");
    // Not after the end of all waits.
    let times = times_after_a_wait(Duration::from_millis(20_100)).await;
    let last = Duration::from_millis(20_101);
    assert!(times.iter().all(|time| (seconds(20)..=last).contains(time)), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_whose_wait_is_over_does_not_wait_again() {
    // The wait for `b` ends during the attempt at `a`.
    let a = TestUpstream::new(busy(503, "2")).then(busy(503, "30"));
    let b = TestUpstream::new(busy(503, "3")).then(TestResponse::chat("two"));
    let hosts = Hosts::of([("a", a), ("b", b)]).slow_at("a", seconds(4));
    let started = tokio::time::Instant::now();
    let got = send(&two().wait_for_model(seconds(60)), &hosts, hello()).await;
    assert_eq!((got.target.as_deref(), hosts.calls()), (Some("b"), vec![2, 2]));
    // The attempts at `a` take 8 seconds, the wait for it 2 and the one for `b` half a second, and
    // both waits up to half a second more.
    let waited = started.elapsed();
    assert!(waited < Duration::from_millis(11_600), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_date_in_retry_after_is_obeyed() {
    // Without `UpstreamLayer`, which writes dates as seconds.
    for (date, header, cools) in [
        ("Sun, 30 Aug 2015 12:36:00 GMT", "Sun, 30 Aug 2015 12:36:20 GMT", true),
        ("Sun, 30 Aug 2015 12:36:00 GMT", "Sun, 30 Aug 2015 12:35:00 GMT", false),
    ] {
        let a = TestUpstream::new(
            busy(503, header).header(http::header::DATE, HeaderValue::from_static(date)),
        );
        let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
        let layer = two();
        let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
        let service = layer.layer(inner);
        let mut calls = Vec::new();
        for after in [0, 19, 1] {
            tokio::time::advance(seconds(after)).await;
            let response = service.clone().oneshot(hello()).await.unwrap();
            assert_eq!(response.headers()["x-inference-target"], "b");
            calls.push(hosts.calls()[0]);
        }
        assert_eq!(calls, if cools { [1, 1, 2] } else { [1, 2, 3] });
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_target_cools_down_goes_to_another_target_before_it_waits() {
    let a = TestUpstream::new(status(500)).then(busy(503, "30")).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let layer = two().retries(1).wait_for_model(seconds(60));
    let first = tokio::spawn({
        let (layer, hosts) = (layer.clone(), hosts.clone());
        async move { send(&layer, &hosts, hello()).await }
    });
    tokio::task::yield_now().await;
    let started = tokio::time::Instant::now();
    send(&layer, &hosts, hello()).await;
    let first = first.await.unwrap();
    assert_eq!((first.status, first.target.as_deref()), (200, Some("b")));
    assert!(started.elapsed() < seconds(1), "{:?}", started.elapsed());
}
