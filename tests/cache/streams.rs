//! Replay of streams, and conversion between variants.

use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::conformance;

const FIRST: &[u8] = br#"data: {"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

"#;
const SECOND: &[u8] = br#"data: {"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}

"#;
const THIRD: &[u8] = br#"data: {"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}

"#;
const USAGE: &[u8] = br#"data: {"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}

"#;
const DONE: &[u8] = b"data: [DONE]\n\n";

const PLAIN: &str = r#"{"id":"c","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;

fn with_usage() -> Request<Payload> {
    let body = r#"{"model":"m","temperature":0,"messages":[],"stream":true,"stream_options":{"include_usage":true}}"#;
    post(Some(user("a")), CHAT, body)
}

/// Responds in the requested variant.
fn chat() -> Upstream {
    Upstream::new(|_, request| {
        let root = request.body().document().unwrap().root();
        if root.get("stream").is_none() {
            return json(PLAIN);
        }
        let usage = root.get("stream_options").is_some();
        let frames = [FIRST, SECOND, THIRD, USAGE, DONE].into_iter();
        events(frames.filter(|frame| usage || *frame != USAGE).map(Step::Data))
    })
}

/// The data of each event.
fn data(stream: &str) -> Vec<Value> {
    let events = stream.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap());
    events.map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data))).collect()
}

#[tokio::test]
async fn a_finished_stream_with_usage_serves_all_variants() {
    let ((layer, _), upstream) = (layer(Scope::Identity), chat());
    body_of(&layer, &upstream, with_usage()).await;
    let plain = send(&layer, &upstream, plain()).await;
    assert_eq!(plain.headers()["content-type"], "application/json");
    assert_eq!(plain.headers()["cache-status"], "tower-inference; hit; ttl=300");
    let plain: Value = serde_json::from_str(&text(plain).await).unwrap();
    assert_eq!(plain, serde_json::from_str::<Value>(PLAIN).unwrap());
    let stream = body_of(&layer, &upstream, streamed()).await;
    assert!(stream.ends_with("data: [DONE]\n\n"));
    assert!(!stream.contains("usage"));
    assert_eq!(data(&stream).len(), 4);
    assert_eq!(upstream.calls(), 1);
}

/// OpenAI's SDK for Python closes the connection at `[DONE]` (openai-python 3.54, `_streaming.py`). The
/// server may send the end of the transfer coding later.
#[tokio::test]
async fn a_reader_that_leaves_at_the_end_mark_leaves_a_stored_stream() {
    for (frames, is_stored) in [
        (&[FIRST, SECOND, THIRD, USAGE, DONE][..], true),
        (&[FIRST, SECOND, THIRD, USAGE], false),
        (&[FIRST, SECOND, DONE], false),
    ] {
        let (layer, _) = layer(Scope::Identity);
        let upstream = Upstream::new(move |_, _| {
            events(frames.iter().copied().map(Step::Data).chain([Step::Stall]))
        });
        let mut body = send(&layer, &upstream, with_usage()).await.into_body();
        for frame in frames {
            let read = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(read, *frame);
        }
        drop(body);
        let second = send(&layer, &upstream, with_usage()).await;
        assert_eq!(upstream.calls(), if is_stored { 1 } else { 2 });
        if is_stored {
            assert_eq!(text(second).await.as_bytes(), frames.concat());
        }
    }
}

#[tokio::test]
async fn a_plain_response_serves_streams() {
    let ((layer, clock), upstream) = (layer(Scope::Identity), chat());
    body_of(&layer, &upstream, plain()).await;
    clock.advance(Duration::from_secs(100));
    let stream = send(&layer, &upstream, with_usage()).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert!(!stream.headers().contains_key("content-length"));
    // It has the age of the original.
    assert_eq!(stream.headers()["age"], "100");
    let stream = data(&text(stream).await);
    let usage = stream[stream.len() - 2]["usage"].clone();
    assert_eq!(usage, json!({"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}));
    let content =
        |event: &Value| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned);
    assert_eq!(stream.iter().filter_map(content).collect::<String>(), "Hi");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_stream_without_usage_serves_no_other_variant() {
    let ((layer, _), upstream) = (layer(Scope::Identity), chat());
    body_of(&layer, &upstream, streamed()).await;
    assert_eq!(body_of(&layer, &upstream, plain()).await, PLAIN);
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn other_responses_are_not_converted() {
    let calls_a_tool = PLAIN.replace(r#""content":"Hi""#, r#""content":null,"tool_calls":[{}]"#);
    for (path, response) in [("/v1/responses", PLAIN.to_owned()), (CHAT, calls_a_tool)] {
        let (layer, _) = layer(Scope::Identity);
        let upstream = Upstream::new(move |_, _| json(&response));
        let ask_for = |stream: bool| {
            let body = format!(r#"{{"temperature":0,"stream":{stream}}}"#);
            post(Some(user("a")), path, &body)
        };
        body_of(&layer, &upstream, ask_for(false)).await;
        body_of(&layer, &upstream, ask_for(true)).await;
        assert_eq!(upstream.calls(), 2, "{path}");
    }
}

#[tokio::test]
async fn invalidation_concerns_all_variants() {
    let ((layer, _), upstream) = (layer(Scope::Identity), chat());
    body_of(&layer, &upstream, with_usage()).await;
    body_of(&layer, &upstream, plain()).await;
    layer.invalidate(&streamed());
    assert_eq!(layer.entries(), 0);
    body_of(&layer, &upstream, plain()).await;
    assert_eq!(upstream.calls(), 2);
}

/// Each vector is split at each byte.
#[tokio::test]
#[ignore = "needs CONFORMANCE_DATA"]
async fn streams_are_replayed_in_their_original_chunks() {
    let vectors = fs::read(conformance::path("sse/vectors.json")).unwrap();
    let vectors: Value = serde_json::from_slice(&vectors).unwrap();
    let mut stored = 0;
    for case in vectors["cases"].as_array().unwrap() {
        let Some(stream) = case["stream_text"].as_str() else { continue };
        // A stream that says nothing is not stored.
        let end = b"\n\ndata: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        let stream = [stream.as_bytes(), end].concat();
        for at in 0..=stream.len() {
            let pieces = [&stream[..at], &stream[at..]].map(Bytes::copy_from_slice);
            let (layer, _) = layer(Scope::Identity);
            let sent = pieces.clone();
            let upstream = Upstream::new(move |_, _| events(sent.clone().map(Step::Bytes)));
            let passed = read(send(&layer, &upstream, streamed()).await).await.0;
            let replayed = read(send(&layer, &upstream, streamed()).await).await.0;
            assert_eq!((&passed[..], &replayed[..]), (&pieces[..], &pieces[..]), "{case}");
            // Other data than events of a model is passed on and proves nothing.
            let is_stored = case["stream_text"].as_str().is_some_and(|text| text.contains("{\""));
            if is_stored {
                assert_eq!(upstream.calls(), 1, "{case}");
                stored += 1;
            }
        }
    }
    assert!(stored > 100, "{stored}");
}
