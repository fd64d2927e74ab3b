use proptest::prelude::*;

use super::*;

const HEAD: &str = r#""id":"c-1","created":1700000000,"model":"org/model""#;
const USAGE: &str = r#"{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}"#;

fn chunk(choices: &str, usage: &str) -> String {
    format!(
        r#"data: {{"object":"chat.completion.chunk",{HEAD},"choices":[{choices}],"usage":{usage}}}"#
    ) + "\n\n"
}

fn delta(index: u8, delta: &str, reason: &str) -> String {
    chunk(
        &format!(r#"{{"index":{index},"delta":{delta},"logprobs":null,"finish_reason":{reason}}}"#),
        "null",
    )
}

fn stream() -> String {
    [
        &delta(0, r#"{"role":"assistant","content":""}"#, "null"),
        ": keep-alive\n\n",
        &delta(0, r#"{"content":"Hel"}"#, "null"),
        &delta(0, r#"{"content":"lo ü","tool_calls":[]}"#, "null"),
        &delta(0, "{}", r#""stop""#),
        &chunk("", USAGE),
        "data: [DONE]\n\n",
    ]
    .concat()
}

fn plain() -> String {
    format!(
        r#"{{"object":"chat.completion",{HEAD},"choices":[{{"index":0,"message":{{"role":"assistant","content":"Hello ü","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{USAGE}}}"#
    )
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn value(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_stream_converts_to_a_plain_response() {
    let folded = value(&stream_to_plain(&bytes(&stream())).unwrap());
    assert_eq!(
        folded,
        json!({
            "object": "chat.completion", "id": "c-1", "created": 1_700_000_000, "model": "org/model",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello ü"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        })
    );
}

#[test]
fn a_plain_response_converts_to_a_stream() {
    let events = plain_to_stream(&bytes(&plain()), true).unwrap();
    assert_eq!(events.last().unwrap(), "data: [DONE]\n\n");
    assert_eq!(
        value(&stream_to_plain(&events.concat().into()).unwrap()),
        value(&stream_to_plain(&bytes(&stream())).unwrap())
    );
    let short = plain_to_stream(&bytes(&plain()), false).unwrap();
    assert_eq!(short.len(), events.len() - 1);
    assert!(!short.concat().windows(7).any(|part| part == b"\"usage\""));
}

#[test]
fn usage_is_removed() {
    let short = without_usage(&bytes(&stream())).unwrap();
    assert_eq!(short.len(), 5);
    assert!(!short.concat().windows(7).any(|part| part == b"\"usage\""));
    assert_eq!(short.last().unwrap(), "data: [DONE]\n\n");
}

#[test]
fn choices_keep_their_indexes() {
    let text = [
        delta(1, r#"{"role":"assistant","content":"b"}"#, "null"),
        delta(0, r#"{"role":"assistant","content":"a"}"#, r#""length""#),
        delta(1, r#"{"content":"B"}"#, r#""stop""#),
        chunk("", USAGE),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    let folded = value(&stream_to_plain(&bytes(&text)).unwrap());
    assert_eq!(folded["choices"][0]["message"]["content"], "a");
    assert_eq!(folded["choices"][0]["finish_reason"], "length");
    assert_eq!(folded["choices"][1]["message"]["content"], "bB");
}

/// The members are those of llama.cpp and OpenAI.
#[test]
fn transient_members_are_removed() {
    let text = stream()
        .replacen("1700000000", "1700000001", 2)
        .replacen("1700000001", "1700000000", 1)
        .replace(r#""model":"org/model""#, r#""model":"org/model","service_tier":"default""#)
        .replace(r#","choices":[]"#, r#","timings":{"predicted_ms":7.5},"choices":[]"#)
        .replace(r#"{"content":"Hel"},"#, r#"{"content":"Hel"},"stop_reason":null,"#)
        .replace(r#""usage":null"#, r#""usage":null,"obfuscation":"k3Jx""#);
    let folded = value(&stream_to_plain(&bytes(&text)).unwrap());
    assert_eq!(folded["created"], 1_700_000_000);
    assert_eq!(folded["service_tier"], "default");
    assert_eq!(folded["choices"][0]["message"]["content"], "Hello ü");
    assert!(folded.get("timings").is_none() && folded.get("obfuscation").is_none());

    let text = plain().replace(r#","choices""#, r#","timings":{"predicted_ms":7.5},"choices""#);
    let events = plain_to_stream(&bytes(&text), true).unwrap();
    assert_eq!(
        value(&stream_to_plain(&events.concat().into()).unwrap()),
        value(&stream_to_plain(&bytes(&stream())).unwrap())
    );
}

#[test]
fn uncertain_responses_are_not_converted() {
    let whole = stream();
    let spoilt = [
        whole.replace("data: [DONE]\n\n", ""),
        whole.replace(&chunk("", USAGE), ""),
        whole.replace(r#""stop""#, "null"),
        whole.replace(r#""tool_calls":[]"#, r#""tool_calls":[{"index":0}]"#),
        whole.replace(r#""logprobs":null"#, r#""logprobs":{"content":[]}"#),
        whole.replace(r#"{"content":"Hel"}"#, r#"{"content":"Hel","reasoning_content":"hm"}"#),
        whole.replacen("c-1", "c-2", 1),
        whole.replace(r#"{"content":"Hel"}"#, r#"{"content":["Hel"]}"#),
        whole.replacen("data: {", "event: note\ndata: {", 1),
        whole.replacen("data: {", "data: {\"error\":\"no\",", 1),
        format!("{whole}data: {{}}\n\n"),
        format!("{whole}data: {{"),
        whole.replace("chat.completion.chunk", "text_completion"),
        whole.replace(
            &delta(0, "{}", r#""stop""#),
            &(delta(0, "{}", r#""stop""#) + &delta(0, r#"{"content":"!"}"#, "null")),
        ),
    ];
    for text in spoilt {
        assert_ne!(text, whole);
        assert_eq!(stream_to_plain(&bytes(&text)), None, "{text}");
    }
    let whole = plain();
    let spoilt = [
        whole.replace(r#""refusal":null"#, r#""refusal":"no""#),
        whole.replace(r#""refusal":null"#, r#""tool_calls":[{}]"#),
        whole.replace(r#""content":"Hello ü""#, r#""content":null"#),
        whole.replace(r#""logprobs":null"#, r#""logprobs":{}"#),
        whole.replace("chat.completion", "text_completion"),
        whole.replace(r#","usage""#, r#","usages""#),
        whole.replace(r#""index":0"#, r#""index":-1"#),
        whole[..whole.len() - 1].to_owned(),
    ];
    for text in spoilt {
        assert_ne!(text, whole);
        assert_eq!(plain_to_stream(&bytes(&text), true), None, "{text}");
    }
}

proptest! {
    #[test]
    fn conversion_is_reversible(contents in prop::collection::vec("\\PC{0,12}", 1..4)) {
        let choices: Vec<_> = contents
            .iter()
            .enumerate()
            .map(|(index, content)| json!({
                "index": index, "message": {"role": "assistant", "content": content}, "finish_reason": "stop",
            }))
            .collect();
        let usage = json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3});
        let response = json!({
            "object": "chat.completion", "id": "x", "created": 1, "model": "m", "choices": choices, "usage": usage,
        });
        let events = plain_to_stream(response.to_string().as_bytes(), true).unwrap();
        prop_assert_eq!(value(&stream_to_plain(&events.concat().into()).unwrap()), response);
    }
}
