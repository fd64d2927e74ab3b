//! The requests that are retried, and how often.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use http::{HeaderName, Method};
use tower_inference::{
    context::{AbandonReason, Usage},
    fallback::RetryBudget,
    test_util::TestFault,
};

use super::*;

fn reasons(got: &Got) -> Vec<AbandonReason> {
    got.context.outcome().abandoned.iter().map(|attempt| attempt.abandoned.unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_target_serves_while_it_can() {
    let hosts = hosts(TestResponse::chat("one"), TestResponse::chat("two"));
    let got = send(&two(), &hosts, hello()).await;
    assert_eq!((got.status, got.target.as_deref()), (200, Some("a")));
    assert!(got.body.contains("one"));
    assert_eq!(hosts.calls(), [1, 0]);
    let outcome = got.context.outcome();
    assert_eq!((outcome.attempts, outcome.fell_back), (1, false));
    assert_eq!(outcome.abandoned, []);
}

#[tokio::test(start_paused = true)]
async fn the_next_target_follows_a_failure() {
    use AbandonReason::{Broken, ErrorEvent, Status, Timeout, Unreachable};
    let error = r#"{"error":{"message":"overloaded"}}"#;
    for (response, reason, code) in [
        (TestResponse::unreachable(), Unreachable, None),
        (status(500), Status, Some(500)),
        (status(502), Status, Some(502)),
        (status(503), Status, Some(503)),
        (status(504), Status, Some(504)),
        (status(599), Status, Some(599)),
        (status(429), Status, Some(429)),
        (TestResponse::silent(), Timeout, None),
        (TestResponse::events([error]), ErrorEvent, Some(200)),
        (TestResponse::chat_stream([""; 0]).then_fails(), Broken, Some(200)),
        (TestResponse::chat_stream([""; 0]).then_stalls(), Timeout, Some(200)),
        // A comment and a role are no content.
        (
            TestResponse::events([
                "{\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n: ping",
            ]),
            Broken,
            Some(200),
        ),
        (TestResponse::events(["[DONE]"]), ErrorEvent, Some(200)),
    ] {
        let row = format!("{response:?}");
        let hosts = hosts(response, TestResponse::chat_stream(["two"]));
        let got = send(&two(), &hosts, hello()).await;
        assert_eq!((got.status, got.target.as_deref()), (200, Some("b")), "{row}");
        assert!(got.body.contains("two") && got.is_whole, "{row}: {}", got.body);
        assert_eq!(hosts.calls(), [1, 1], "{row}");
        let outcome = got.context.outcome();
        assert_eq!((outcome.attempts, outcome.fell_back), (2, true), "{row}");
        assert_eq!(outcome.rejection, None, "{row}");
        let [abandoned] = &outcome.abandoned[..] else { panic!("{row}: {outcome:?}") };
        assert_eq!(
            (abandoned.target.as_deref(), abandoned.abandoned),
            (Some("a"), Some(reason)),
            "{row}"
        );
        assert_eq!(abandoned.status.map(|status| status.as_u16()), code, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_responses_are_passed_on() {
    for code in [200, 204, 301, 400, 401, 403, 404, 408, 413, 422] {
        let hosts = hosts(status(code), TestResponse::chat("two"));
        let got = send(&two(), &hosts, hello()).await;
        // The token layer turns 401 into a failure of the gateway, which another target may not have.
        let expected = if code == 401 { [1, 1] } else { [1, 0] };
        assert_eq!(hosts.calls(), expected, "{code}");
        if code == 401 {
            assert_eq!(reasons(&got), [AbandonReason::TokenRejected]);
        } else {
            assert_eq!(got.status, code);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_gets_the_last_failure() {
    let hosts = hosts(TestResponse::unreachable(), status(500));
    let got = send(&two(), &hosts, hello()).await;
    assert_eq!((got.status, got.target.as_deref()), (500, Some("b")));
    assert!(got.body.contains("a scripted error"));
    assert!(!got.context.outcome().fell_back);

    let hosts = super::hosts(status(500), TestResponse::unreachable());
    let got = send(&two(), &hosts, hello()).await;
    assert_eq!(got.status, 502);
    assert!(got.body.contains("upstream_unavailable"));
    assert_eq!(got.context.outcome().rejection, Some("upstream-unavailable"));
}

#[tokio::test(start_paused = true)]
async fn a_client_without_upstream_layer_fails_over_too() {
    let hosts = hosts(TestResponse::unreachable(), TestResponse::chat("two"));
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let response = two().layer(inner.clone()).oneshot(hello()).await.unwrap();
    assert_eq!(response.headers()["x-inference-target"], "b");

    let hosts = super::hosts(TestResponse::unreachable(), TestResponse::unreachable());
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    assert!(two().layer(inner).oneshot(hello()).await.is_err());
    assert_eq!(hosts.calls(), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn only_a_request_that_changes_nothing_has_a_second_attempt() {
    let post = |path: &str, body: &'static str| {
        let request = Request::post(path).header("content-type", "application/json");
        request.body(Payload::buffered(body)).unwrap()
    };
    let streamed = || {
        let body = Payload::streamed(http_body_util::Full::new(Bytes::from_static(b"{}")));
        Request::post("/v1/chat/completions").body(body).unwrap()
    };
    for request in [
        post("/v1/responses", r#"{"model":"m","input":"x"}"#),
        post("/v1/chat/completions", r#"{"model":"m","messages":[],"store":true}"#),
        post("/v1/files", "{}"),
        streamed(),
    ] {
        let row = format!("{} {request:?}", request.uri());
        let hosts = hosts(status(500), TestResponse::chat("two"));
        let got = send(&two().retries(2), &hosts, request).await;
        assert_eq!((got.status, hosts.calls()), (500, vec![1, 0]), "{row}");
    }
    // A list of models is the same each time.
    let hosts = hosts(status(500), TestResponse::chat("two"));
    let request = Request::get("/v1/models").body(Payload::default()).unwrap();
    assert_eq!(send(&two(), &hosts, request).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_target_is_retried_as_often_as_configured() {
    let hosts = hosts(status(500), TestResponse::chat("two"));
    let started = tokio::time::Instant::now();
    let got = send(&two().retries(2), &hosts, hello()).await;
    assert_eq!((got.target.as_deref(), hosts.calls()), (Some("b"), vec![3, 1]));
    // Two waits, of 100 and 200 ms and up to as much again.
    let waited = started.elapsed();
    assert!(
        (Duration::from_millis(300)..Duration::from_millis(610)).contains(&waited),
        "{waited:?}"
    );

    let upstream = TestUpstream::new(status(500)).then(TestResponse::chat("again"));
    let hosts = Hosts::of([("a", upstream)]);
    let got = send(&FallbackLayer::new([target("a")]).retries(1), &hosts, hello()).await;
    assert_eq!((got.status, hosts.calls()), (200, vec![2]));
    assert!(!got.context.outcome().fell_back);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_retried_after_the_other_targets() {
    let a = TestUpstream::new(TestResponse::unreachable()).then(TestResponse::chat("again"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::unreachable()))]);
    let got = send(&two().retries(1), &hosts, hello()).await;
    assert_eq!((got.status, got.target.as_deref()), (200, Some("a")));
    assert_eq!(hosts.calls(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_bounded() {
    let five = || FallbackLayer::new([target("a"), target("b"), target("a"), target("b")]);
    for (layer, calls) in [
        (five(), 4),
        (five().retries(1), 8),
        (five().retries(100), 16),
        (five().retries(100).max_attempts(20), 20),
        (five().retries(100).max_attempts(1_000), 64),
        (five().max_attempts(3), 3),
        (five().max_attempts(0), 1),
    ] {
        let layer = layer.retry_budget(RetryBudget::new().min_per_second(100));
        let hosts = hosts(status(500), status(500));
        let got = send(&layer, &hosts, hello()).await;
        assert_eq!(hosts.calls().iter().sum::<usize>(), calls);
        assert_eq!(got.context.outcome().attempts as usize, calls);
        assert_eq!(reasons(&got).len(), calls - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_retry_budget_bounds_retries_and_not_fallbacks() {
    let budget = RetryBudget::new().percent(0).min_per_second(1).window(seconds(1));
    let layer = two().retries(1).retry_budget(budget);
    let hosts = hosts(status(500), status(500));
    send(&layer, &hosts, hello()).await;
    assert_eq!(hosts.calls(), [2, 1]);
    send(&layer, &hosts, hello()).await;
    assert_eq!(hosts.calls(), [3, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_reports_usage_is_recorded_with_it() {
    let usage = r#"{"error":{"message":"x"},"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;
    let failed = TestResponse::json(serde_json::from_str::<serde_json::Value>(usage).unwrap());
    let header = HeaderName::from_static("x-prompt-tokens");
    for (response, prompt, output) in [
        (failed.clone().status(StatusCode::INTERNAL_SERVER_ERROR), Some(7), Some(2)),
        (status(500).header(header, HeaderValue::from_static("9")), Some(9), None),
        (failed.status(StatusCode::BAD_GATEWAY).then_stalls(), None, None),
    ] {
        let hosts = hosts(response, TestResponse::chat("two"));
        let got = send(&two(), &hosts, hello()).await;
        assert_eq!(got.target.as_deref(), Some("b"));
        let outcome = got.context.outcome();
        let abandoned = outcome.abandoned[0].usage.unwrap_or_default();
        assert_eq!((abandoned.prompt_tokens, abandoned.completion_tokens), (prompt, output));
        // This layer does not read the usage of the attempt that serves.
        assert_eq!(outcome.usage, None::<Usage>);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_without_a_body_passes_at_once() {
    let hosts = hosts(status(200).then_stalls(), TestResponse::chat("two"));
    let request = Request::builder().method(Method::HEAD).uri("/v1/models");
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let service = two().layer(UpstreamLayer::new().layer(inner));
    let response = service.oneshot(request.body(Payload::default()).unwrap()).await.unwrap();
    assert_eq!((response.status(), hosts.calls()), (StatusCode::OK, vec![1, 0]));
}

#[tokio::test(start_paused = true)]
async fn the_percentage_of_the_retry_budget_is_exact() {
    for (percent, retries) in
        [(0, 0), (1, 1), (20, 20), (33, 33), (60, 60), (99, 99), (100, 100), (150, 150)]
    {
        let budget = RetryBudget::new().percent(percent).min_per_second(0).window(seconds(60));
        let layer = FallbackLayer::new([target("a")]).retries(2).retry_budget(budget);
        let hosts = hosts(status(500), status(500));
        // Many at once, so that none waits for the window to end.
        let requests = (0..100).map(|_| {
            let (layer, hosts) = (layer.clone(), hosts.clone());
            tokio::spawn(async move { send(&layer, &hosts, hello()).await })
        });
        let requests: Vec<_> = requests.collect();
        for request in requests {
            assert_eq!(request.await.unwrap().status, 500);
        }
        assert_eq!(hosts.calls()[0] - 100, retries, "{percent}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_of_many_attempts_is_the_one_that_is_recorded() {
    let upstream = |name| {
        let loading = (0..50)
            .fold(TestUpstream::new(busy(503, "1")), |upstream, _| upstream.then(busy(503, "1")));
        loading.then(TestResponse::chat(name))
    };
    let hosts = Hosts::of([("a", upstream("one")), ("b", upstream("two"))]);
    let layer = FallbackLayer::new([target("a").model("org/a"), target("b").model("org/b")])
        .wait_for_model(seconds(1_000));
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!(got.status, 200);
    assert!(hosts.calls().iter().sum::<usize>() > 100, "{:?}", hosts.calls());
    let (origin, model) = match got.target.as_deref() {
        Some("a/org/a") => ("https://a.example", "org/a"),
        _ => ("https://b.example", "org/b"),
    };
    assert_eq!((got.context.upstream(), got.context.target()), (Some(origin), Some(model)));
}

/// A client whose instances fail to become ready when `fails` says so by their number. None may be
/// polled after that.
struct Instance {
    hosts: Hosts,
    number: usize,
    made: Arc<AtomicUsize>,
    fails: fn(usize) -> bool,
    failed: bool,
}

impl Clone for Instance {
    fn clone(&self) -> Self {
        assert!(!self.failed, "a copy of instance {} that has failed", self.number);
        let number = self.made.fetch_add(1, SeqCst);
        Self { hosts: self.hosts.clone(), made: Arc::clone(&self.made), number, ..*self }
    }
}

impl Service<Request<Payload>> for Instance {
    type Response = <Hosts as Service<Request<Payload>>>::Response;
    type Error = <Hosts as Service<Request<Payload>>>::Error;
    type Future = <Hosts as Service<Request<Payload>>>::Future;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        assert!(!self.failed, "instance {} is polled after it has failed", self.number);
        self.failed = (self.fails)(self.number);
        Poll::Ready(if self.failed { Err(TestFault::Unreachable) } else { Ok(()) })
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        assert!(!self.failed, "instance {} is called after it has failed", self.number);
        self.hosts.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_fails_to_become_ready_is_not_polled_again() {
    let hosts = Hosts::of([
        ("a", TestUpstream::new(status(500))),
        ("b", TestUpstream::new(TestResponse::chat("two"))),
        ("c", TestUpstream::new(TestResponse::chat("three"))),
    ]);
    // The first two instances are those of the first attempt and its successors.
    let client = Instance {
        hosts: hosts.clone(),
        number: 0,
        made: Arc::new(AtomicUsize::new(1)),
        fails: |number| number == 1 || number == 2,
        failed: false,
    };
    let layer = FallbackLayer::new([target("a"), target("b"), target("c")]).retries(1);
    let mut service = layer.layer(HfTokenLayer::stage(stage("default")).layer(client));
    std::future::poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
    let response = service.call(hello()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(hosts.calls()[0] >= 1 && hosts.calls()[1..].iter().sum::<usize>() == 1);
}
