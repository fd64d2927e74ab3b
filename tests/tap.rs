//! Usage and stream ends that `Tap` reads from recorded responses, whole and cut at every byte.

mod support;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;
use proptest::prelude::*;
use serde_json::Value;
use support::{ScriptedBody, Step};
use tower_inference::{
    body::{BodyEnd, Watch, WatchedBody},
    context::{RequestContext, StreamEnd, Usage},
    tap::Tap,
};

/// Prompt, completion and total tokens.
type Tokens = (Option<u64>, Option<u64>, Option<u64>);

const JSON: (&str, &str) = ("content-type", "application/json");
const EVENTS: (&str, &str) = ("content-type", "text/event-stream");

fn headers(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    pairs.collect()
}

fn tokens(usage: Usage) -> Tokens {
    (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
}

fn run_to(
    head: &[(&'static str, &'static str)],
    chunks: &[&[u8]],
    end: BodyEnd,
) -> (Option<Tokens>, Option<StreamEnd>) {
    let context = RequestContext::new();
    if let Some(mut tap) = Tap::claim(&context, StatusCode::OK, &headers(head)) {
        for chunk in chunks {
            tap.data(&Bytes::copy_from_slice(chunk));
        }
        tap.end(end);
    }
    (context.outcome().usage.map(tokens), context.outcome().stream_end)
}

/// Returns usage and end of a response, which must be the same at every cut.
fn usage_and_end(
    head: &[(&'static str, &'static str)],
    body: &str,
) -> (Option<Tokens>, Option<StreamEnd>) {
    let body = body.as_bytes();
    let whole = run_to(head, &[body], BodyEnd::Complete);
    for at in 0..=body.len() {
        let cut = run_to(head, &[&body[..at], &body[at..]], BodyEnd::Complete);
        assert_eq!(cut, whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(run_to(head, &bytes, BodyEnd::Complete), whole, "byte by byte");
    whole
}

fn json(body: &str) -> Option<Tokens> {
    let (usage, end) = usage_and_end(&[JSON], body);
    assert_eq!(end, None, "only streams have an end");
    usage
}

fn stream(body: &str) -> (Option<Tokens>, Option<StreamEnd>) {
    usage_and_end(&[EVENTS], body)
}

// === JSON documents ===

#[test]
fn openai_chat_completion() {
    let body = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m",
        "choices":[{"index":0,"message":{"role":"assistant","content":"Hi \"usage\": \u2603 ☃"},
        "logprobs":null,"finish_reason":"stop"}],
        "usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,
        "prompt_tokens_details":{"cached_tokens":4,"prompt_tokens":99},
        "completion_tokens_details":{"reasoning_tokens":5}},"system_fingerprint":null}"#;
    assert_eq!(json(body), Some((Some(9), Some(12), Some(21))));
}

#[test]
fn openai_embeddings_have_no_completion() {
    let body = r#"{"object":"list","data":[{"object":"embedding","index":0,
        "embedding":[0.0023,-0.009,1e-3,-2.5E+2,0]},{"embedding":"AAAAPw=="}],
        "model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    assert_eq!(json(body), Some((Some(8), None, Some(8))));
}

#[test]
fn openai_responses_use_other_names_for_tokens() {
    let body = r#"{"object":"response","status":"completed","error":null,"output":[],
        "usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":0},
        "output_tokens":87,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":123}}"#;
    assert_eq!(json(body), Some((Some(36), Some(87), Some(123))));
    // Some gateways send both names with one of them empty.
    let both = r#"{"usage":{"input_tokens":0,"prompt_tokens":7,"completion_tokens":null,"output_tokens":3}}"#;
    assert_eq!(json(both), Some((Some(7), Some(3), None)));
}

const TGI: &str = r#"{"generated_text":" a","details":{"finish_reason":"length",
    "generated_tokens":20,"seed":null,"prefill":[{"id":0,"text":"x","generated_tokens":7}],
    "tokens":[{"id":1,"text":" a","logprob":-0.5,"special":false}]}}"#;

#[test]
fn tgi_generate() {
    // The prompt tokens are listed.
    assert_eq!(json(TGI), Some((Some(1), Some(20), None)));
    assert_eq!(
        json(&TGI.replace("details\":{", "details\":{\"input_length\":4,")),
        Some((Some(4), Some(20), None))
    );
    assert_eq!(json(r#"{"generated_text":" a"}"#), None);
}

#[test]
fn tgi_generate_in_an_array_of_one() {
    assert_eq!(json(&format!("[{TGI}]")), Some((Some(1), Some(20), None)));
    assert_eq!(json(&format!("[{TGI},{TGI}]")), None, "the counts of two responses");
    assert_eq!(json(&format!("[[{TGI}]]")), None);
}

#[test]
fn tgi_headers_complete_the_counts_of_the_body() {
    let head = [JSON, ("x-prompt-tokens", "5"), ("x-generated-tokens", "20")];
    assert_eq!(usage_and_end(&head, TGI).0, Some((Some(5), Some(20), None)));
    assert_eq!(
        usage_and_end(&head, r#"{"generated_text":"a"}"#).0,
        Some((Some(5), Some(20), None))
    );
    // The body takes precedence over the headers.
    let chat = r#"{"usage":{"prompt_tokens":6,"total_tokens":26}}"#;
    assert_eq!(usage_and_end(&head, chat).0, Some((Some(6), Some(20), Some(26))));
}

#[test]
fn tei_headers_are_prompt_tokens() {
    let head = [JSON, ("x-compute-tokens", "512"), ("x-compute-type", "cpu")];
    assert_eq!(usage_and_end(&head, "[[0.1,0.2],[0.3]]").0, Some((Some(512), None, None)));
}

#[test]
fn headers_are_read_of_every_response_at_once() {
    let context = RequestContext::new();
    let head = headers(&[("content-type", "image/png"), ("x-compute-tokens", "3")]);
    assert!(Tap::claim(&context, StatusCode::OK, &head).is_none());
    assert_eq!(context.outcome().usage.unwrap().prompt_tokens, Some(3));
}

#[test]
fn header_that_is_no_count_is_ignored() {
    let prompt = |value| run_to(&[("x-prompt-tokens", value)], &[], BodyEnd::Complete).0;
    for bogus in ["", "-1", "+1", "1.0", "1e3", " 7", "seven", "0x10", "1,2"] {
        assert_eq!(prompt(bogus), None, "{bogus:?}");
    }
    assert_eq!(prompt("007"), Some((Some(7), None, None)));
    assert_eq!(prompt("99999999999999999999999"), Some((Some(u64::MAX), None, None)));
}

#[test]
fn only_readable_responses_are_claimed() {
    let claims = |status: u16, head: &[(&'static str, &'static str)]| {
        let status = StatusCode::from_u16(status).unwrap();
        Tap::claim(&RequestContext::new(), status, &headers(head)).is_some()
    };
    for media_type in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.api+json",
        "application/problem+JSON ;a=b",
        "application/x-ndjson",
        "application/jsonl; charset=utf-8",
        "text/event-stream",
        "TEXT/Event-Stream;charset=UTF-8",
    ] {
        assert!(claims(200, &[("content-type", media_type)]), "{media_type}");
        assert!(claims(400, &[("content-type", media_type)]), "{media_type}");
        for status in [103, 204, 304] {
            assert!(!claims(status, &[("content-type", media_type)]), "{media_type}, {status}");
        }
        let coded =
            |coding| claims(200, &[("content-type", media_type), ("content-encoding", coding)]);
        assert!(coded("identity") && coded("Identity"));
        assert!(!coded("gzip") && !coded("br") && !coded("identity, gzip") && !coded(""));
    }
    for media_type in ["", "text/plain", "application/json-seq", "json", "+jso"] {
        assert!(!claims(200, &[("content-type", media_type)]), "{media_type}");
    }
    assert!(!claims(200, &[]));
}

#[test]
fn first_claim_runs_the_tap() {
    let context = RequestContext::new();
    assert!(Tap::claim(&context, StatusCode::OK, &headers(&[JSON])).is_some());
    assert!(Tap::claim(&context, StatusCode::OK, &headers(&[JSON])).is_none());
    assert!(Tap::claim(&RequestContext::new(), StatusCode::OK, &headers(&[JSON])).is_some());
}

#[test]
fn usage_members_in_other_places_are_ignored() {
    for document in [
        r#"{"choices":[{"usage":{"prompt_tokens":1}}]}"#,
        r#"{"a":{"usage":{"prompt_tokens":1}}}"#,
        r#"{"usage":{"a":{"prompt_tokens":1}}}"#,
        r#"{"usage":[{"prompt_tokens":1}]}"#,
        r#"{"usage":"{\"prompt_tokens\":1}"}"#,
        r#"{"a":"\",\"usage\":{\"prompt_tokens\":1}"}"#,
        r#"{"a":"\\\",\"usage\":{\"prompt_tokens\":1}"}"#,
        r#"{"a":["usage",{"prompt_tokens":1}]}"#,
        r#"{"usage ":{"prompt_tokens":1}}"#,
        r#"{"Usage":{"prompt_tokens":1}}"#,
        r#"{"usage\u0000":{"prompt_tokens":1}}"#,
        r#"{"usage\n":{"prompt_tokens":1}}"#,
        r#"{"\u0175sage":{"prompt_tokens":1}}"#,
        r#"{"usageusageusageusageusage":{"prompt_tokens":1}}"#,
        r#"{"details":{"prompt_tokens":1}}"#,
        r#"{"usage":{"generated_tokens":1}}"#,
        r#"{"usage":null}"#,
        r#"{"usage":{}}"#,
        r#""usage""#,
        "17",
    ] {
        assert_eq!(json(document), None, "{document}");
    }
}

#[test]
fn escaped_member_name_is_the_same_name() {
    let body = r#"{"\u0075s\u0061ge":{"prompt\u005Ftokens":1,"completion_token\u0073":2}}"#;
    assert_eq!(json(body), Some((Some(1), Some(2), None)));
}

#[test]
fn invalid_counts_are_unknown_and_large_ones_saturate() {
    let prompt = |number: &str| {
        json(&format!(r#"{{"usage":{{"prompt_tokens":{number},"total_tokens":1}}}}"#)).unwrap().0
    };
    for bogus in ["-1", "-0", "1.5", "1e3", "0e0", "\"5\"", "null", "true", "[5]", "{\"a\":5}"] {
        assert_eq!(prompt(bogus), None, "{bogus}");
    }
    assert_eq!((prompt("0"), prompt("1.0")), (Some(0), Some(1)));
    assert_eq!(prompt("18446744073709551615"), Some(u64::MAX));
    assert_eq!(prompt("18446744073709551616"), Some(u64::MAX));
    assert_eq!(prompt(&"9".repeat(400)), Some(u64::MAX));
}

#[test]
fn last_of_repeated_members_is_used() {
    let body = r#"{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2,"prompt_tokens":3}}"#;
    assert_eq!(json(body), Some((Some(3), None, None)));
    assert_eq!(json(r#"{"usage":{"prompt_tokens":1},"usage":null}"#), None);
    assert_eq!(json(r#"{"usage":{"prompt_tokens":1,"prompt_tokens":"x"}}"#), None);
}

#[test]
fn invalid_json_has_no_usage() {
    let usage = r#""usage":{"prompt_tokens":1}"#;
    for broken in [
        format!("{{{usage}"),
        format!("{{{usage},}}"),
        format!("{{{usage}]"),
        format!("{{{usage}}} x"),
        format!("{{{usage}}}{{}}"),
        format!("x{{{usage}}}"),
        format!("{{{usage} \"a\":1}}"),
        format!("{{\"a\" 1,{usage}}}"),
        format!("{{a:1,{usage}}}"),
        format!("{{\"a\":[1,,2],{usage}}}"),
        format!("{{\"a\":[1 2],{usage}}}"),
        format!("{{\"a\":[1,],{usage}}}"),
        format!("{{\"a\":tru,{usage}}}"),
        format!("{{\"a\":01,{usage}}}"),
        format!("{{\"a\":-01,{usage}}}"),
        format!("{{\"a\":-,{usage}}}"),
        format!("{{\"a\":1.,{usage}}}"),
        format!("{{\"a\":.5,{usage}}}"),
        format!("{{\"a\":1e,{usage}}}"),
        format!("{{\"a\":1e+,{usage}}}"),
        format!("{{\"a\":+1,{usage}}}"),
        format!("{{\"a\":\"\\x\",{usage}}}"),
        format!("{{\"a\":\"\\u12g4\",{usage}}}"),
        format!("{{\"a\":\"\n\",{usage}}}"),
        format!("{{\"a\":'b',{usage}}}"),
        format!("{{\"a\":{{1:2}},{usage}}}"),
        format!("\u{feff}{{{usage}}}"),
        format!("{{\"a\":{}{},{usage}}}", "[".repeat(200), "]".repeat(200)),
        String::new(),
    ] {
        assert_eq!(json(&broken), None, "{broken}");
    }
    let deep = format!("{{\"a\":{}{},{usage}}}", "[".repeat(120), "]".repeat(120));
    assert_eq!(json(&deep), Some((Some(1), None, None)));
}

// === event streams ===

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

// === comparison with a full parse ===

/// Returns the usage by parsing with `serde_json`.
fn parsed(document: &[u8]) -> Option<Tokens> {
    let mut root: Value = serde_json::from_slice(document).ok()?;
    if let Value::Array(elements) = &mut root {
        root = if elements.len() == 1 { elements.remove(0) } else { return None };
    }
    root.as_object()?;
    // Of the generated numbers only `12.0` has a fraction of zero.
    let twelve = |value: &Value| (value.as_f64() == Some(12.0)).then_some(12);
    let whole = |value: &Value| value.as_u64().or_else(|| twelve(value));
    let counts = |object: &Value, names: [&str; 5]| {
        let [prompt, completion, total, input, output] = names.map(|name| whole(&object[name]));
        let counts = (prompt.or(input), completion.or(output), total);
        (counts != (None, None, None)).then_some(counts)
    };
    let usage =
        ["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"];
    counts(&root["usage"], usage)
        .or_else(|| counts(&root["response"]["usage"], usage))
        .or_else(|| counts(&root["details"], ["input_length", "generated_tokens", "-", "-", "-"]))
}

/// Escaped contents of strings: known names, and text that looks like the end of a string.
fn text() -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec![
        "usage",
        r"\u0075sage",
        "details",
        "response",
        "choices",
        "prompt_tokens",
        r"prompt\u005ftokens",
        "completion_tokens",
        "total_tokens",
        "input_tokens",
        "output_tokens",
        "input_length",
        "generated_tokens",
        "generated_text",
        "error",
        "type",
        "",
    ]);
    let hostile = prop::collection::vec(
        prop::sample::select(vec![
            r#"\""#,
            r"\\",
            r"\u0022",
            r"\u005C",
            r"\/",
            r"\n",
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            " ",
            "usage",
            "prompt_tokens",
            "7",
            "e",
            "'",
        ]),
        0..8,
    );
    prop_oneof![6 => names.prop_map(str::to_owned), 1 => hostile.prop_map(|parts| parts.concat())]
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t")]
}

fn document() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        4 => prop::sample::select(vec![
            "0", "7", "123", "1234567", "-3", "-0", "1.5", "12.0", "1e3", "2E-1",
            "1.5e+10", "null", "true", "false", "{}", "[]",
        ])
        .prop_map(str::to_owned),
        1 => text().prop_map(|text| format!("\"{text}\"")),
    ];
    scalar.prop_recursive(5, 48, 6, |inner| {
        let elements = prop::collection::vec((space(), inner.clone()), 0..4).prop_map(|elements| {
            let elements: Vec<String> = elements
                .into_iter()
                .map(|(space, value)| format!("{space}{value}{space}"))
                .collect();
            format!("[{}]", elements.join(","))
        });
        let members = prop::collection::vec((space(), text(), inner), 0..6).prop_map(|members| {
            let members: Vec<String> = members
                .into_iter()
                .map(|(space, name, value)| {
                    format!("{space}\"{name}\"{space}:{space}{value}{space}")
                })
                .collect();
            format!("{{{}}}", members.join(","))
        });
        prop_oneof![1 => elements, 4 => members]
    })
}

/// Documents that have usage more often than random ones.
fn response() -> impl Strategy<Value = String> {
    let usage = prop::collection::vec((text(), document()), 0..4).prop_map(|members| {
        let members: String =
            members.into_iter().map(|(name, value)| format!("\"{name}\":{value},")).collect();
        format!("{{{members}\"prompt_tokens\":5}}")
    });
    let holder = prop::sample::select(vec!["\"usage\"", "\"details\"", "\"response\""]);
    let built = (document(), holder, usage, document(), any::<bool>()).prop_map(
        |(before, holder, usage, after, array)| {
            let usage =
                if holder == "\"response\"" { format!("{{\"usage\":{usage}}}") } else { usage };
            let object = format!("{{\"a\":{before},{holder}:{usage},\"b\":{after}}}");
            if array { format!("[{object}]") } else { object }
        },
    );
    prop_oneof![1 => document(), 1 => built]
}

fn scanned(document: &[u8], size: usize) -> Option<Tokens> {
    let chunks: Vec<&[u8]> = document.chunks(size).collect();
    run_to(&[JSON], &chunks, BodyEnd::Complete).0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..Default::default() })]

    #[test]
    fn usage_equals_that_of_a_full_parse(document in response(), size in 1_usize..40) {
        prop_assert!(serde_json::from_str::<Value>(&document).is_ok(), "{}", document);
        prop_assert_eq!(scanned(document.as_bytes(), size), parsed(document.as_bytes()));
    }

    #[test]
    fn documents_that_a_full_parse_rejects_have_no_usage(
        document in response(),
        at in any::<prop::sample::Index>(),
        // Without `d`, because the tap accepts half a surrogate pair.
        other in prop::sample::select(b"{}[]\",:\\ \x01019.-+eEnulx".to_vec()),
        size in 1_usize..40,
    ) {
        let mut document = document.into_bytes();
        let at = at.index(document.len());
        document[at] = other;
        // `serde_json` rejects such numbers although they are valid JSON.
        prop_assume!(!serde_json::from_slice::<Value>(&document)
            .is_err_and(|error| error.to_string().contains("number out of range")));
        prop_assert_eq!(scanned(&document, size), parsed(&document));
        document.truncate(at);
        prop_assert_eq!(scanned(&document, size), parsed(&document));
    }

    #[test]
    fn any_bytes_cause_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        run_to(&[JSON], &[&bytes], BodyEnd::Complete);
        let stream = [b"data: {\"usage\":", &bytes[..], b"\n\n"].concat();
        run_to(&[EVENTS], &[&stream], BodyEnd::Error);
    }

    #[test]
    fn event_has_the_usage_of_its_document(document in response()) {
        let stream = format!("data: {}\n\n", document.replace("\r\n", "\ndata:"));
        let (usage, _) = run_to(&[EVENTS], &[stream.as_bytes()], BodyEnd::Complete);
        prop_assert_eq!(usage, parsed(document.as_bytes()));
    }
}

// === estimated text ===

/// Returns the estimated tokens of these events, which must be the same in pieces of any size.
#[track_caller]
fn estimated(events: &[&str]) -> u64 {
    let body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    let counted = |size: usize| {
        let context = RequestContext::new();
        let mut tap = Tap::claim(&context, StatusCode::OK, &headers(&[EVENTS])).unwrap();
        for chunk in body.as_bytes().chunks(size) {
            tap.data(&Bytes::copy_from_slice(chunk));
        }
        context.outcome().generated_tokens
    };
    let whole = counted(body.len());
    for size in 1..body.len() {
        assert_eq!(counted(size), whole, "in pieces of {size}");
    }
    whole
}

/// Each event has the same three words, which are estimated as four tokens.
#[test]
fn text_of_every_form_of_delta_is_estimated() {
    let events = [
        r#"{"choices":[{"delta":{"content":"sixteen bytes ok"}}]}"#,
        r#"{ "choices" : [ { "delta" : { "role": "assistant", "content" : "sixteen bytes ok" } } ] }"#,
        r#"{"choices":[{"delta":{"content":"","reasoning_content":"sixteen bytes ok"}}]}"#,
        r#"{"choices":[{"delta":{"content":"sixteen ","reasoning":"bytes ok"}}]}"#,
        r#"{"choices":[{"delta":{"refusal":"sixteen bytes ok"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"sixteen ","arguments":"bytes ok"}}]}}]}"#,
        r#"{"choices":[{"delta":{"function_call":{"name":"sixteen ","arguments":"bytes ok"}}}]}"#,
        r#"{"choices":[{"delta":{"content":"sixteen bytes ok"},"logprobs":{"content":[{"token":"a","top_logprobs":[{"token":"b"}]}]}}]}"#,
        r#"{"choices":[{"delta":{"content":"sixteen bytes \u006fk"}}],"usage":null}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"sixteen "}},{"index":1,"delta":{"content":"bytes ok"}}]}"#,
        r#"{"choices":[{"text":"sixteen bytes ok","index":0,"logprobs":null,"finish_reason":null}]}"#,
        r#"{"index":1,"token":{"id":1,"text":"sixteen bytes ok","special":false},"top_tokens":[],"generated_text":null}"#,
        r#"{"type":"response.output_text.delta","delta":"sixteen bytes ok"}"#,
        r#"{"type":"response.function_call_arguments.delta","delta":"sixteen bytes ok"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"sixteen bytes ok"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"sixteen bytes ok"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"sixteen bytes ok"}}"#,
    ];
    for event in events {
        assert_eq!(estimated(&[event]), 4, "{event}");
    }
    // Deltas form one text. Without a space between them, two words become one.
    assert!(estimated(&events) > 2 * events.len() as u64);
    let escaped =
        r#"{"choices":[{"delta":{"content":"\u00fc\u20ac\ud83d\ude00 \"\\\u0041\u4e2d"}}]}"#;
    let plain = r#"{"choices":[{"delta":{"content":"ü€😀 \"\\A中"}}]}"#;
    assert_eq!(estimated(&[escaped]), estimated(&[plain]));
    assert_eq!(estimated(&[r#"{"choices":[{"delta":{"content":"\"delta\":{\"x\":\"\"}"}}]}"#]), 7);
}

#[test]
fn event_of_tgi_is_at_least_one_token() {
    let event = r#"{"index":1,"token":{"id":1,"text":"a","special":false},"generated_text":null}"#;
    let last = r#"{"index":2,"token":{"id":2,"text":"</s>","special":true},"generated_text":"a a","details":{"generated_tokens":2}}"#;
    assert_eq!(estimated(&[event, event, last]), 3);
}

#[test]
fn event_of_an_unknown_form_counts_by_its_bytes() {
    let event = r#"{"chunk":"sixteen bytes ok"}"#;
    assert_eq!(estimated(&[event]), event.len() as u64 / 4);
    let hidden = r#"{"\u0063hoices":[{"delt\u0061":{"content":"sixteen bytes ok"}}]}"#;
    assert_eq!(estimated(&[hidden]), (hidden.len() as u64).div_ceil(4));
}

#[test]
fn repeated_text_is_not_counted() {
    for event in [
        r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"delta":{"content":null,"tool_calls":null}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
        r#"{"type":"response.output_text.done","text":"whole"}"#,
        r#"{"type":"response.completed","response":{"output":[{"content":[{"type":"output_text","text":"whole"}]}]}}"#,
        r#"{"type":"message_start","message":{"content":[],"usage":{"input_tokens":9}}}"#,
        r#"{"type":"ping"}"#,
        r#"{"error":{"message":"no","type":"x"}}"#,
        "[DONE]",
    ] {
        assert_eq!(estimated(&[event]), 0, "{event}");
    }
}

#[test]
fn text_of_a_document_is_estimated() {
    let text = |document: &str| {
        for size in [1, 7, document.len()] {
            let context = RequestContext::new();
            let mut tap = Tap::claim(&context, StatusCode::OK, &headers(&[JSON])).unwrap();
            for chunk in document.as_bytes().chunks(size) {
                tap.data(&Bytes::copy_from_slice(chunk));
            }
            tap.end(BodyEnd::Complete);
            if size == document.len() {
                return context.outcome().generated_tokens;
            }
        }
        0
    };
    for document in [
        r#"{"choices":[{"message":{"role":"assistant","content":"sixteen bytes ok"}}]}"#,
        r#"{"choices":[{"text":"sixteen bytes ok","logprobs":{"tokens":["a"]}}]}"#,
        r#"{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"f","arguments":"sixteen bytes o\u006b"}}]}}]}"#,
        r#"[{"generated_text":"sixteen bytes ok"}]"#,
        r#"{"output":[{"content":[{"type":"output_text","text":"sixteen bytes ok"}]}]}"#,
        r#"{"content":[{"type":"text","text":"sixteen bytes ok"}],"usage":{"output_tokens":4}}"#,
    ] {
        assert_eq!(text(document), 4, "{document}");
    }
    assert_eq!(text(r#"{"data":[{"embedding":[0.1],"b64_json":"aaaaaaaaaaaaaaaa"}]}"#), 0);
    // An incomplete document counts as far as it goes.
    assert_eq!(text(r#"{"choices":[{"message":{"content":"eight by"#), 3);
}
