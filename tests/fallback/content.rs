//! The frames that are held back until the first content, and the end of late attempts.

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
async fn a_response_is_held_back_for_a_retry_until_the_same_deadline() {
    let hosts = hosts(TestResponse::events([ROLE]).then_stalls(), TestResponse::chat("two"));
    let hosts = hosts.slow_at("a", seconds(5));
    let layer = FallbackLayer::new([target("a")]).retries(1).first_content_timeout(seconds(7));
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let service = layer.layer(UpstreamLayer::new().layer(inner));
    let started = tokio::time::Instant::now();
    let response = service.oneshot(hello()).await.unwrap();
    assert_eq!(response.headers()["x-inference-target"], "a");
    assert_eq!((started.elapsed().as_secs(), hosts.calls()), (7, vec![1, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_alone_has_no_deadline_for_its_content() {
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::silent()))]);
    let got = send(&FallbackLayer::new([target("a")]), &hosts, hello()).await;
    // The deadline of `UpstreamLayer` applies.
    assert_eq!((got.status, hosts.calls()), (504, vec![1]));
}

/// A layer with the first target in flight at `b`, for as long as the response is kept.
async fn with_full_b(
    b: Target,
    hosts: &Hosts,
) -> (FallbackLayer, Response<impl Body<Data = Bytes> + use<>>) {
    let layer = FallbackLayer::new([target("a"), b.clone()]).first_content_timeout(seconds(2));
    let layer = layer.model("b", [b]);
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let service = layer.layer(UpstreamLayer::new().layer(inner));
    let response = service.oneshot(chat(r#"{"model":"b","messages":[]}"#)).await.unwrap();
    assert_eq!(response.headers()["x-inference-target"], "b");
    (layer, response)
}

#[tokio::test(start_paused = true)]
async fn a_slow_attempt_is_not_ended_for_a_place_in_a_queue() {
    let hosts = hosts(TestResponse::chat("one"), TestResponse::chat("two"));
    let hosts = hosts.slow_at("a", seconds(20));
    let (layer, response) = with_full_b(target("b").max_in_flight(1), &hosts).await;
    let started = tokio::time::Instant::now();
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.target.as_deref()), (200, Some("a")));
    assert_eq!((started.elapsed().as_secs(), hosts.calls()), (20, vec![1, 1]));
    assert_eq!(got.context.outcome().abandoned, []);
    drop(response);
}

#[tokio::test(start_paused = true)]
async fn a_slow_attempt_ends_once_another_target_has_a_place() {
    let hosts = hosts(TestResponse::silent(), TestResponse::chat("two"));
    let (layer, response) = with_full_b(target("b").max_in_flight(1), &hosts).await;
    let started = tokio::time::Instant::now();
    let later = tokio::spawn(async move {
        tokio::time::sleep(seconds(9)).await;
        drop(response);
    });
    let got = send(&layer, &hosts, hello()).await;
    later.await.unwrap();
    assert_eq!((got.status, got.target.as_deref()), (200, Some("b")));
    assert!((9..=10).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert_eq!(got.context.outcome().abandoned.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_attempt_is_not_ended_for_a_wait() {
    // `b` asks to wait, and the request would wait for it.
    let hosts = hosts(TestResponse::chat("one"), busy(503, "30"));
    let hosts = hosts.slow_at("a", seconds(10));
    let b = target("b");
    let layer = FallbackLayer::new([target("a"), b.clone()])
        .model("b", [b])
        .first_content_timeout(seconds(2))
        .wait_for_model(seconds(60));
    let started = tokio::time::Instant::now();
    let slow = tokio::spawn({
        let (layer, hosts) = (layer.clone(), hosts.clone());
        async move { send(&layer, &hosts, hello()).await }
    });
    // It begins before `b` asks to wait.
    tokio::task::yield_now().await;
    let other = send(&layer, &hosts, chat(r#"{"model":"b","messages":[]}"#));
    assert!(tokio::time::timeout(seconds(1), other).await.is_err());
    let got = slow.await.unwrap();
    assert_eq!((got.status, got.target.as_deref()), (200, Some("a")));
    assert_eq!((started.elapsed().as_secs(), hosts.calls()), (10, vec![1, 1]));
    // Nor for a retry of its own.
    let hosts = super::hosts(TestResponse::chat("one"), status(500)).slow_at("a", seconds(10));
    let layer = FallbackLayer::new([target("a")]).first_content_timeout(seconds(2)).retries(2);
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, hosts.calls()), (200, vec![1, 0]));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cools_down_may_follow_a_slow_attempt_afterwards() {
    let b = TestUpstream::new(busy(503, "5")).then(TestResponse::chat("two"));
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::silent())), ("b", b)]);
    let b = target("b");
    let layer = FallbackLayer::new([target("a"), b.clone()])
        .model("b", [b])
        .first_content_timeout(seconds(2));
    assert_eq!(send(&layer, &hosts, chat(r#"{"model":"b","messages":[]}"#)).await.status, 503);
    let started = tokio::time::Instant::now();
    let got = send(&layer, &hosts, hello()).await;
    assert_eq!((got.status, got.target.as_deref()), (200, Some("b")));
    assert!((5..=6).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_back_for_a_target_without_a_place() {
    let a = TestResponse::events([ROLE]).then_stalls();
    for (b, is_held) in [
        (target("b").max_in_flight(1).max_queued(0), false),
        // A failure before any content may wait there.
        (target("b").max_in_flight(1).max_queued(1), true),
    ] {
        let hosts = hosts(a.clone(), TestResponse::chat("two"));
        let (layer, full) = with_full_b(b, &hosts).await;
        let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
        let service = layer.layer(UpstreamLayer::new().layer(inner));
        let started = tokio::time::Instant::now();
        let response = service.oneshot(hello()).await.unwrap();
        assert_eq!(response.headers()["x-inference-target"], "a");
        assert_eq!(started.elapsed().as_secs(), if is_held { 2 } else { 0 });
        drop(full);
    }
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

/// A body of these frames, and then of empty ones without end if that is set.
#[derive(Clone)]
struct Frames(std::collections::VecDeque<Bytes>, bool);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let is_endless = self.1;
        let next = self.0.pop_front().or_else(|| is_endless.then(Bytes::new));
        Poll::Ready(next.map(|data| Ok(http_body::Frame::data(data))))
    }
}

/// The target that serves if the stream of the first one has these frames, and what the client gets.
async fn served(
    media_type: &'static str,
    frames: Frames,
) -> (String, Response<impl Body<Data = Bytes>>) {
    let client = tower::service_fn(move |request: Request<Payload>| {
        let is_first = request.uri().host() == Some("a.example");
        let body = if is_first { frames.clone() } else { Frames(["two".into()].into(), false) };
        let response = Response::builder().header("content-type", media_type).body(body).unwrap();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let service = two().layer(HfTokenLayer::stage(stage("default")).layer(client));
    let response = service.oneshot(hello()).await.unwrap();
    (response.headers()["x-inference-target"].to_str().unwrap().to_owned(), response)
}

#[tokio::test(start_paused = true)]
async fn empty_frames_without_end_are_not_waited_for() {
    for goal in [&[][..], &["data: {}\n\n"]] {
        let frames = goal.iter().map(|frame| Bytes::from(*frame)).collect();
        let (target, _response) = served("text/event-stream", Frames(frames, true)).await;
        assert_eq!(target, "a");
    }
}

#[tokio::test(start_paused = true)]
async fn content_and_errors_are_found_at_every_cut() {
    let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
    let error = r#"{"error":{"message":"x"}}"#;
    let stop = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let of = |delta: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{{delta}}}}}]}}"#);
    let call = r#""tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]"#;
    let usage =
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":0,"total_tokens":1}}"#;
    for (events, target) in [
        // Once the client has seen something, it keeps it.
        (vec![role, &of(r#""content":"one""#), error], "a"),
        (vec![role, &of(r#""reasoning_content":"one""#), error], "a"),
        (vec![role, &of(r#""reasoning":"one""#), error], "a"),
        (vec![role, &of(call), error], "a"),
        (vec![r#"{"unknown":"form"}"#, error], "a"),
        (vec![role, error], "b"),
        (vec![error], "b"),
        (vec![role, usage, error], "b"),
        (vec![role, usage], "b"),
        (vec![role, stop, usage, "[DONE]"], "a"),
    ] {
        for (start, field, end) in [
            ("", "data: ", "\n\n"),
            ("", "data:", "\r\n\r\n"),
            ("\u{feff}", "data: ", "\r\r"),
            (": keep-alive\n\n", "data: ", "\n\n: keep-alive\n\n"),
        ] {
            let events = events.iter().map(|event| format!("{field}{event}{end}"));
            let stream = Bytes::from(format!("{start}{}", events.collect::<String>()));
            for size in [1, 7, stream.len()] {
                let frames: Vec<_> = stream.chunks(size).map(Bytes::copy_from_slice).collect();
                let frames = Frames(frames.into(), false);
                let (found, response) = served("text/event-stream", frames).await;
                assert_eq!(found, target, "{size} {stream:?}");
                let body = std::pin::pin!(response.into_body()).collect().await;
                let body = body.ok().unwrap().to_bytes();
                assert_eq!(body, if target == "a" { stream.clone() } else { "two".into() });
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lines_of_json_are_streams_too() {
    let content = r#"{"message":{"role":"assistant","content":"one"},"done":false}"#;
    for (lines, target) in
        [(vec![content, r#"{"error":"x"}"#], "a"), (vec![r#"{"error":"x"}"#], "b")]
    {
        let frames = lines.iter().map(|line| Bytes::from(format!("{line}\n"))).collect();
        let (found, _response) = served("application/x-ndjson", Frames(frames, false)).await;
        assert_eq!(found, target, "{lines:?}");
    }
}
