//! Usage and ends of event streams.

use http::{Method, Response};
use tower_inference::body::WatchedBody;

use super::*;
use crate::support::{ScriptedBody, Step};

const CHAT: &str = concat!(
    ": keep-alive\n\n",
    r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"choices":[{"index":0,"delta":{"content":"Say \"usage\": {\"prompt_tokens\":1}"},"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#,
    "\n\n",
    r#"data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
    "\n\n",
);

#[test]
fn openai_stream_with_usage() {
    let done = format!("{CHAT}data: [DONE]\n\n");
    assert_eq!(stream(&done), (Some((Some(9), Some(2), Some(11))), Some(StreamEnd::Done)));
    let crlf = done.replace('\n', "\r\n");
    assert_eq!(stream(&crlf), (Some((Some(9), Some(2), Some(11))), Some(StreamEnd::Done)));
    let marked = format!("\u{feff}{}", done.trim_start_matches(": keep-alive\n\n"));
    assert_eq!(stream(&marked), (Some((Some(9), Some(2), Some(11))), Some(StreamEnd::Done)));
}

#[test]
fn last_event_with_usage_is_used() {
    let event = |tokens| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}],\"usage\":{{\"prompt_tokens\":4,\
             \"completion_tokens\":{tokens},\"total_tokens\":{}}}}}\n\n",
            tokens + 4,
        )
    };
    let body = format!("{}{}data: {{\"usage\":null}}\n\ndata: [DONE]\n\n", event(1), event(2));
    assert_eq!(stream(&body), (Some((Some(4), Some(2), Some(6))), Some(StreamEnd::Done)));
}

#[test]
fn usage_and_end_are_recorded_with_their_events() {
    let context = RequestContext::new();
    let mut tap = Tap::claim(&context, StatusCode::OK, &headers(&[EVENTS])).unwrap();
    tap.data(&Bytes::from(CHAT));
    assert_eq!(context.outcome().usage.unwrap().total_tokens, Some(11));
    assert_eq!(context.outcome().stream_end, None);
    tap.data(&Bytes::from("data: [DONE]\r\n\r"));
    assert_eq!(context.outcome().stream_end, Some(StreamEnd::Done));
    tap.end(BodyEnd::Cancelled);
    assert_eq!(context.outcome().stream_end, Some(StreamEnd::Done));
}

#[test]
fn finish_reason_without_an_end_mark_needs_a_complete_body() {
    assert_eq!(stream(CHAT).1, Some(StreamEnd::Done));
    let end = |end| run_to(&[EVENTS], &[CHAT.as_bytes()], end).1;
    assert_eq!(end(BodyEnd::Trailers), Some(StreamEnd::Done));
    assert_eq!(end(BodyEnd::Error), Some(StreamEnd::Cut));
    assert_eq!(end(BodyEnd::Cancelled), Some(StreamEnd::Cut));
}

#[test]
fn stream_without_an_end_is_cut() {
    for cut in [
        "",
        ": keep-alive\n\n",
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":null}]}\n\n",
        // Some servers send an empty finish reason with every event.
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"\"}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"finish_reason\":\"stop\"}}]}\n\n",
        // The `stop_reason` of vLLM is the stop string.
        "data: {\"choices\":[{\"delta\":{},\"finish_reason\":null,\"stop_reason\":\"stop\"}]}\n\n",
        "data: [DON",
        "data: x [DONE]\n\n",
        "data: [DONE]\ndata: x\n\n",
        "event: [DONE]\n\n",
        "event: response.failed\n\n",
        "event: errors\ndata: x\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"[DONE] {\\\"error\\\":1}\"}}]}\n\n",
        "data: {\"error\":null}\n\n",
        "data: {\"error\":\"\"}\n\n",
        "data: {\"error\":false}\n\n",
        "data: {\"a\":{\"error\":{}}}\n\n",
        "data: {\"error\":{}\n\n",
    ] {
        assert_eq!(stream(cut), (None, Some(StreamEnd::Cut)), "{cut}");
    }
}

#[test]
fn failure_inside_a_stream_is_final() {
    for event in [
        r#"data:{"error":{"message":"m","http_status_code":422}}"#,
        r#"data: {"error":"overloaded","error_type":"overloaded"}"#,
        r#"data: {"error" : [1]}"#,
        r#"data: {"error":7}"#,
        r#"data: {"error":true}"#,
        r#"data: {"\u0065rror":{}}"#,
        "event: error\ndata: out of memory",
        "event: error\ndata",
        "event: error",
        r#"data: {"type":"error","message":"m"}"#,
        "event: response.failed\ndata: {}",
        r#"data: {"type":"response.failed","response":{}}"#,
        "data: {\"error\"\ndata: :\ndata: {}}",
    ] {
        let expected = (None, Some(StreamEnd::Failed));
        assert_eq!(stream(&format!("{event}\n\n")), expected, "{event}");
        assert_eq!(stream(&format!("{event}\n\ndata: [DONE]\n\n")), expected, "{event}");
        assert_eq!(stream(&format!("data: [DONE]\n\n{event}\n\n")), expected, "{event}");
    }
}

#[test]
fn tgi_generate_stream() {
    let token = r#"data:{"index":1,"token":{"id":1,"text":"a","logprob":-0.1,"special":false},"generated_text":null,"details":null}"#;
    let last = r#"data:{"index":2,"token":{"id":2,"text":"b"},"generated_text":"ab","details":{"finish_reason":"length","generated_tokens":2,"seed":null,"input_length":5}}"#;
    let body = format!("{token}\n\n{last}\n\n");
    assert_eq!(stream(&body), (Some((Some(5), Some(2), None)), Some(StreamEnd::Done)));
    assert_eq!(stream(&format!("{token}\n\n")), (None, Some(StreamEnd::Cut)));
    // Details come only on request.
    let plain = "data:{\"token\":{},\"generated_text\":\"\",\"details\":null}\n\n";
    assert_eq!(stream(plain), (None, Some(StreamEnd::Done)));
}

#[test]
fn tgi_generate_stream_that_fails() {
    let body = concat!(
        "data:{\"token\":{\"text\":\"a\"},\"generated_text\":null,\"details\":null}\n\n",
        "data:{\"error\":\"Request failed during generation\",\"error_type\":\"generation\"}\n\n",
    );
    assert_eq!(stream(body), (None, Some(StreamEnd::Failed)));
}

/// Each event of llama.cpp has its counts. The stream may be cut before the last event.
#[test]
fn llama_cpp_stream() {
    let event = |tokens: u64, stop: bool| {
        format!(
            "data: {{\"index\":0,\"content\":\"a\",\"stop\":{stop},\"tokens_predicted\":{tokens},\
             \"tokens_evaluated\":4}}\n\n"
        )
    };
    let cut = format!("{}{}", event(1, false), event(2, false));
    assert_eq!(stream(&cut), (Some((Some(4), Some(2), None)), Some(StreamEnd::Cut)));
    let whole = format!("{cut}{}", event(3, true));
    assert_eq!(stream(&whole), (Some((Some(4), Some(3), None)), Some(StreamEnd::Done)));
}

#[test]
fn openai_responses_stream() {
    let event = |name: &str| {
        format!(
            "{{\"type\":\"{name}\",\"sequence_number\":9,\"response\":{{\"id\":\"r\",\"error\":null,\
             \"output\":[{{\"usage\":{{\"input_tokens\":1}}}}],\"usage\":{{\"input_tokens\":3,\
             \"output_tokens\":4,\"total_tokens\":7}}}}}}"
        )
    };
    let first = "data: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n";
    let delta = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n";
    let usage = Some((Some(3), Some(4), Some(7)));
    for (name, end) in [
        ("response.completed", StreamEnd::Done),
        ("response.incomplete", StreamEnd::Done),
        ("response.failed", StreamEnd::Failed),
    ] {
        let data = event(name);
        let named = format!("{first}{delta}event: {name}\ndata: {data}\n\n");
        assert_eq!(stream(&named), (usage, Some(end)), "{name}");
        // The server of Hugging Face sends no field `event`.
        assert_eq!(
            stream(&format!("{first}{delta}data: {data}\n\n")),
            (usage, Some(end)),
            "{name}"
        );
    }
    assert_eq!(stream(&format!("{first}{delta}")), (None, Some(StreamEnd::Cut)));
}

/// Usage and end of an event that is too long for the buffer, in pieces of several sizes.
#[test]
fn event_beyond_a_mebibyte_is_read_piece_by_piece() {
    let text = "x".repeat(1024 * 1024 + 1);
    let usage = r#""usage":{"input_tokens":9,"output_tokens":300000,"total_tokens":300009}"#;
    let completed = format!(
        "event: response.completed\r\ndata: {{\"type\":\"response.completed\",\"response\":{{\"output\":\
         [{{\"content\":[{{\"text\":\"{text}\"}}]}}],{usage}}}}}\r\n\r\n"
    );
    let two_lines = completed.replace(",\"usage\"", ",\r\ndata:\"usage\"");
    let expected = (Some((Some(9), Some(300_000), Some(300_009))), Some(StreamEnd::Done));
    let failed = format!("data: {{\"output\":\"{text}\",\"error\":{{\"code\":500}}}}\n\n");
    let by_field = format!("error: {{\"message\":\"{text}\"}}\n\n");
    let marked = format!("\u{feff}{completed}");
    let unclosed = completed.trim_end().to_owned();
    let fails = (None, Some(StreamEnd::Failed));
    for (stream, expected) in [
        (&completed, expected),
        (&two_lines, expected),
        (&marked, expected),
        (&unclosed, expected),
        (&failed, fails),
        (&by_field, fails),
    ] {
        // Events after it are read if it is closed.
        let closed = stream.ends_with("\n\n") || stream.ends_with("\r\n\r\n");
        let then = format!("{stream}data: {{\"a\":1}}\n\ndata: [DONE]\n\n");
        let then = if closed { &then } else { stream };
        for (stream, size) in
            [(stream, stream.len()), (stream, 1000), (stream, 65_536), (then, 7919)]
        {
            let chunks: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            let found = run_to(&[EVENTS], &chunks, BodyEnd::Complete);
            assert_eq!(found, expected, "{size}, {}", &stream[..40]);
        }
    }
}

#[test]
fn text_of_a_long_event_is_estimated() {
    let text = "x".repeat(400_000);
    let counted_in = |size: usize, event: &str| {
        let context = RequestContext::new();
        let mut tap = Tap::claim(&context, StatusCode::OK, &headers(&[EVENTS])).unwrap();
        for chunk in event.as_bytes().chunks(size) {
            tap.data(&Bytes::copy_from_slice(chunk));
        }
        context.outcome().generated_tokens
    };
    let counted = |event: &str| counted_in(10_000, event);
    let delta = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let whole = counted_in(delta.len(), &delta);
    assert!(whole > 100_000, "{whole}");
    assert_eq!(counted(&delta), whole);
    let json = format!(
        "data: {{\"type\":\"content_block_delta\",\"delta\":{{\"partial_json\":\"{text}\"}}}}\n\n"
    );
    assert_eq!(counted(&json), whole);
    // The event repeats earlier text.
    let whole = format!("data: {{\"type\":\"response.output_text.done\",\"text\":\"{text}\"}}\n\n");
    assert_eq!(counted(&whole), 0);
    let unknown = format!("data: {{\"a\":\"{text}\"}}\n\n");
    assert_eq!(counted(&unknown), 100_002);
}

#[test]
fn header_counts_of_a_stream_stay_until_an_event_has_others() {
    let head = [EVENTS, ("x-prompt-tokens", "3")];
    let body = "data: {\"usage\":{\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
    assert_eq!(usage_and_end(&head, body).0, Some((Some(3), Some(2), None)));
}

#[tokio::test]
async fn body_passes_unchanged_and_a_dropped_stream_is_cut() {
    let body = ScriptedBody::new([Step::Data(CHAT.as_bytes()), Step::Pending, Step::Data(b"data")]);
    let mut response = Response::new(body);
    *response.headers_mut() = headers(&[EVENTS]);
    let context = RequestContext::new();
    let tap = Tap::claim(&context, response.status(), response.headers()).unwrap();
    let mut body = WatchedBody::of_response(response, &Method::POST, tap).into_body();
    for expected in [CHAT, "data"] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), expected);
    }
    drop(body);
    assert_eq!(context.outcome().stream_end, Some(StreamEnd::Cut));
    assert_eq!(context.outcome().usage.unwrap().prompt_tokens, Some(9));
}

#[test]
fn debug_output_hides_the_response() {
    let mut tap = Tap::claim(&RequestContext::new(), StatusCode::OK, &headers(&[EVENTS])).unwrap();
    tap.data(&Bytes::from("data: \"secret"));
    let text = format!("{tap:?}");
    assert!(text.contains("events") && !text.contains("secret"), "{text}");
}
