//! Events of streams that prove no success, and events beside a text that succeeds.

use tower_inference::context::StreamEnd;

use super::{
    results::{IMAGES, request, stored},
    *,
};

const TEXT: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
const LAST: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

/// Events that no stream has which succeeds: sender, event, and whether the stream has failed.
const DOUBTFUL: &[(&str, &str, bool)] = &[
    ("Python's form", "data: {'error': {'message': 'CUDA out of memory'}}", false),
    ("JavaScript's form", "data: {error: 'boom'}", false),
    ("text in braces", "data: {backend died}", false),
    ("a page in braces", "data: {<html>}", false),
    ("text", "data: Internal Server Error", false),
    ("text in brackets", "data: [ERROR] backend", false),
    ("a string", "data: \"Internal Server Error\"", false),
    ("a number", "data: 500", false),
    ("cut after a delta", r#"data: {"choices":[{"index":0,"delta":{"content":"x"}}"#, false),
    (
        "cut after a choice",
        r#"data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}"#,
        false,
    ),
    ("cut in a string", r#"data: {"choices":[{"index":0,"delta":{"content":"{x}"#, false),
    ("two documents", r#"data: {"a":1}{"b":"x"}"#, false),
    ("an unknown event", r#"data: {"reason":"oom"}"#, false),
    ("an unknown type", r#"data: {"type":"odd"}"#, false),
    ("a code and a message", r#"data: {"code":500,"message":"died","node":"n1"}"#, true),
    ("a code beside choices", r#"data: {"choices":[],"code":500,"message":"died"}"#, true),
    ("a short name", r#"data: {"err":"boom"}"#, true),
    ("an exception", r#"data: {"exception":"boom"}"#, true),
    ("a state", r#"data: {"state":"error","reason":"oom"}"#, true),
    ("a status", r#"data: {"status":"failed","reason":"oom","x":1}"#, true),
    ("a status beside choices", r#"data: {"choices":[],"status":"rejected"}"#, true),
    ("a type of abort", r#"data: {"type":"abort","reason":"x"}"#, true),
    ("a type of timeout", r#"data: {"type":"timeout"}"#, true),
    ("a type with a prefix", r#"data: {"type":"response.error","code":"x"}"#, true),
    ("an event of abort", "event: abort\ndata: {\"reason\":\"x\"}", true),
    ("an event of failure", "event: failure\ndata: {\"reason\":\"x\"}", true),
    ("an event of timeout", "event: timeout\ndata: {\"reason\":\"x\"}", true),
    ("a field of exceptions", "exception: backend died", true),
    ("a field of failures", "fail: backend died", true),
    ("a field of timeouts", "timeout: backend died", true),
    ("an unknown field", "message: backend died", false),
    (
        "a server's failure",
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"server_error"}]}"#,
        true,
    ),
    (
        "an engine's failure",
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"engine_error"}]}"#,
        true,
    ),
    ("text in the root", r#"data: {"text":"Service Unavailable"}"#, false),
];

#[tokio::test]
async fn a_stream_with_an_event_of_no_known_form_is_not_stored() {
    let body = streamed();
    for (sender, event, failed) in DOUBTFUL {
        for stream in [
            format!("data: {TEXT}\n\n{event}\n\ndata: {LAST}\n\ndata: [DONE]\n\n"),
            format!("data: {TEXT}\n\ndata: {LAST}\n\n{event}\n\ndata: [DONE]\n\n"),
        ] {
            let (stored, end) = stored(CHAT, &body, EVENTS, &stream).await;
            let expected = if *failed { StreamEnd::Failed } else { StreamEnd::Done };
            assert_eq!((stored, end), (false, Some(expected)), "{sender}: {stream}");
        }
        // The end mark alone is no success.
        let alone = format!("{event}\n\ndata: [DONE]\n\n");
        let (stored, end) = stored(CHAT, &body, EVENTS, &alone).await;
        assert!(!stored, "{sender}");
        let brought_text = event.contains("content") || event.contains("text");
        assert!(brought_text || end == Some(StreamEnd::Failed), "{sender}: {end:?}");
    }
}

/// Events beside the text of a stream that succeeds.
#[tokio::test]
async fn a_stream_with_events_beside_its_text_is_stored() {
    for event in [
        "event: ping\ndata: {}",
        "event: ping\ndata: {\"time\":1}",
        "data: {}",
        "data:",
        "data: {\"type\": \"ping\"}",
        ": HTTP_STATUS/200",
        "id: 1\nretry: 100\nevent: message\ndata: {\"choices\":[]}",
        r#"data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
        r#"data: {"choices":[{"index":0,"delta":{"content":"{\"error\":\"x\"} [}"},"finish_reason":null}],"usage":null}"#,
        r#"data: {"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","bytes":[97],"top_logprobs":[]}]},"finish_reason":null}]}"#,
        r#"data: {"choices":[],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false}}}]}"#,
        r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":{"error":"x"}}}]},"finish_reason":null}]}"#,
    ] {
        let stream = format!("data: {TEXT}\n\n{event}\n\ndata: {LAST}\n\ndata: [DONE]\n\n");
        let end = Some(StreamEnd::Done);
        assert_eq!(stored(CHAT, &streamed(), EVENTS, &stream).await, (true, end), "{event}");
    }
}

#[tokio::test]
async fn a_stream_without_the_result_of_its_route_is_not_stored() {
    let chat = format!("data: {TEXT}\n\ndata: {LAST}\n\ndata: [DONE]\n\n");
    for (path, stores) in [(CHAT, true), ("/", true), ("/v1/embeddings", false), (IMAGES, false)] {
        assert_eq!(stored(path, request(path), EVENTS, &chat).await.0, stores, "{path}");
    }
    let text = "data: {\"text\":\"Service Unavailable\"}\n\ndata: [DONE]\n\n";
    for (path, stores) in [(CHAT, false), ("/v1/responses", false), ("/generate", true)] {
        assert_eq!(stored(path, request(path), EVENTS, text).await.0, stores, "{path}");
    }
    // TGI ends its tokens with the whole text.
    let cut = "data:{\"token\":{\"text\":\"a\"},\"generated_text\":null}\n\ndata: [DONE]\n\n";
    let path = "/generate_stream";
    assert!(!stored(path, request(path), EVENTS, cut).await.0);
    // A message of OpenAI's responses failed although the response was completed.
    let completed = |status: &str| {
        format!(
            "data: {{\"type\":\"response.completed\",\"response\":{{\"status\":\"completed\",\"output\":[{{\"type\":\"message\",\"status\":\"{status}\"}}]}}}}\n\n"
        )
    };
    for (status, stores) in [("completed", true), ("failed", false), ("incomplete", false)] {
        let path = "/v1/responses";
        let (stored, _) = stored(path, request(path), EVENTS, &completed(status)).await;
        assert_eq!(stored, stores, "{status}");
    }
}
