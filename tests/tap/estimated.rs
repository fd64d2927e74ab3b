//! Tokens that are estimated from the text.

use super::*;

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
        let counted = |size: usize| {
            let context = RequestContext::new();
            let mut tap = Tap::claim(&context, StatusCode::OK, &headers(&[JSON])).unwrap();
            for chunk in document.as_bytes().chunks(size) {
                tap.data(&Bytes::copy_from_slice(chunk));
            }
            tap.end(BodyEnd::Complete);
            context.outcome().generated_tokens
        };
        let whole = counted(document.len());
        for size in 1..document.len() {
            assert_eq!(counted(size), whole, "{document} in pieces of {size}");
        }
        whole
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
    // So does an invalid one. A string has no control characters.
    assert_eq!(text("{\"choices\":[{\"message\":{\"content\":\"eight by\ttes\"}}]}"), 3);
}
