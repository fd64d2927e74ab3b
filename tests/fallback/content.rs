//! What is held back until the first content, and what happens after it.

use super::*;

const ROLE: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"one"}}]}"#;

#[tokio::test(start_paused = true)]
async fn nothing_is_retried_after_content() {
    for (response, is_whole) in [
        (TestResponse::events([ROLE, TEXT]).then_fails(), false),
        (TestResponse::events([ROLE, TEXT, r#"{"error":{"message":"x"}}"#]), true),
        (TestResponse::events([ROLE, TEXT]), true),
        // An event of an unknown form may be content.
        (TestResponse::events([r#"{"anything":"at all"}"#]).then_fails(), false),
    ] {
        let row = format!("{response:?}");
        let hosts = hosts(response, TestResponse::chat_stream(["two"]));
        let got = send(&two(), &hosts, hello()).await;
        assert_eq!((got.target.as_deref(), hosts.calls()), (Some("a"), vec![1, 0]), "{row}");
        assert_eq!(got.is_whole, is_whole, "{row}");
        assert!(!got.body.contains("[DONE]") && !got.body.contains("two"), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_frames_before_the_first_content_are_kept_in_their_order() {
    let comment = format!("{ROLE}\n\n: ping");
    let events = [&*comment, ROLE, ROLE, TEXT, "[DONE]"];
    let hosts = hosts(TestResponse::events(events), TestResponse::chat_stream(["two"]));
    let got = send(&two(), &hosts, hello()).await;
    let expected: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    assert_eq!(got.body, expected);
}

#[tokio::test(start_paused = true)]
async fn a_whole_stream_without_text_is_a_response() {
    let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let hosts = hosts(TestResponse::events([ROLE, end, "[DONE]"]), TestResponse::chat("two"));
    let got = send(&two(), &hosts, hello()).await;
    assert_eq!((got.target.as_deref(), got.is_whole), (Some("a"), true));
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_streams_at_once() {
    // Its head arrives although no content ever comes.
    let silent = || TestResponse::events([ROLE]).then_stalls();
    for layer in [two(), two().retries(0), FallbackLayer::new([target("b")])] {
        let hosts = hosts(status(500), silent());
        let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
        let service = layer.layer(UpstreamLayer::new().layer(inner));
        let started = tokio::time::Instant::now();
        let response = service.oneshot(hello()).await.unwrap();
        assert_eq!(response.headers()["x-inference-target"], "b");
        assert!(started.elapsed() < seconds(1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_first_content_counts_from_the_call() {
    for response in [TestResponse::silent(), TestResponse::events([ROLE]).then_stalls()] {
        let hosts = hosts(response, TestResponse::chat("two"));
        let started = tokio::time::Instant::now();
        let got = send(&two().first_content_timeout(seconds(7)), &hosts, hello()).await;
        assert_eq!(got.target.as_deref(), Some("b"));
        assert_eq!(started.elapsed().as_secs(), 7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_alone_has_no_deadline_for_its_content() {
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::silent()))]);
    let got = send(&FallbackLayer::new([target("a")]), &hosts, hello()).await;
    // That of `UpstreamLayer` applies.
    assert_eq!((got.status, hosts.calls()), (504, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_nothing_can_replace_is_passed_on_as_it_is() {
    // `b` cools down when the stream of `a` fails.
    let a = TestUpstream::new(TestResponse::unreachable())
        .then(TestResponse::events([ROLE, r#"{"error":{"message":"late"}}"#]))
        .then(TestResponse::events([ROLE]).then_fails());
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(busy(503, "30")))]);
    let layer = two();
    assert_eq!(send(&layer, &hosts, hello()).await.status, 503);
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.target.as_deref()), (200, Some("a")));
    assert!(got.body.contains(ROLE) && got.body.contains("late"), "{}", got.body);
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.is_whole), (200, false));
    assert_eq!(hosts.calls(), [3, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_held_bytes_are_bounded() {
    let comment = format!("{ROLE}\n\n: {}", "x".repeat(30_000));
    let response = TestResponse::events([&*comment, &comment, &comment]).then_stalls();
    let hosts = hosts(response, TestResponse::chat("two"));
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let service = two().layer(UpstreamLayer::new().layer(inner));
    let started = tokio::time::Instant::now();
    let response = service.oneshot(hello()).await.unwrap();
    assert_eq!(response.headers()["x-inference-target"], "a");
    assert!(started.elapsed() < seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_document_is_passed_on_at_its_first_byte() {
    let whole = TestResponse::json(serde_json::json!({"choices": []}));
    let hosts = hosts(whole.clone().then_fails(), TestResponse::chat("two"));
    let got = send(&two(), &hosts, hello()).await;
    assert_eq!((got.target.as_deref(), got.is_whole), (Some("a"), false));
    assert_eq!(got.body, r#"{"choices":[]}"#);
}
