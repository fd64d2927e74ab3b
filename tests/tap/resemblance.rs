//! Generated text that resembles the members of a response.

use super::*;

/// The place of the generated text in each response.
const TEXT: &str = "@@";

const DOCUMENTS: [&str; 7] = [
    r#"{"id":"a","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"@@"},"finish_reason":"stop"}],"usage":{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10}}"#,
    r#"{"choices":[{"message":{"content":"@@"}}],"usage":{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":3},"note":"@@","completion_tokens_details":{"reasoning_tokens":2,"text":"@@"}}}"#,
    r#"{"choices":[{"message":{"tool_calls":[{"function":{"name":"@@","arguments":"@@"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10}}"#,
    r#"{"usage":{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10},"choices":[{"text":"@@","finish_reason":"length"}]}"#,
    r#"{"type":"message","content":[{"type":"text","text":"@@"},{"type":"tool_use","input":{"@@":"@@"}}],"stop_reason":"end_turn","usage":{"input_tokens":4,"output_tokens":6}}"#,
    r#"[{"generated_text":"@@","details":{"finish_reason":"length","input_length":4,"generated_tokens":6}}]"#,
    r#"{"model":"m","response":"@@","done":true,"prompt_eval_count":4,"eval_count":6}"#,
];

const STREAMS: [&str; 5] = [
    concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@@\"},\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"@@\"}}]}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":6,\"total_tokens\":10}}\n\n",
        "data: [DONE]\n\n",
    ),
    // The stream is cut.
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"@@\",\"content\":\"@@\"}}]}\n\n",
    concat!(
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"@@\"}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"input_tokens\":4,\"output_tokens\":6}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    ),
    concat!(
        "data:{\"index\":1,\"token\":{\"id\":1,\"text\":\"@@\",\"special\":false},\"generated_text\":null,\"details\":null}\n\n",
        "data:{\"index\":2,\"token\":{\"id\":2,\"text\":\"@@\",\"special\":false},\"generated_text\":\"@@\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":6,\"input_length\":4}}\n\n",
    ),
    // Each event starts as the one before.
    concat!(
        "data: {\"id\":\"@@\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@@\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"id\":\"@@\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"@@\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"id\":\"@@\",\"choices\":[{\"index\":0,\"delta\":{\"@@\":0,\"content\":\"@@\"},\"finish_reason\":null}]}\n\n",
        "data: {\"id\":\"@@\",\"choices\":[{\"index\":0,\"delta\":{\"@@\":0,\"content\":\"@@\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"id\":\"@@\",\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":6,\"total_tokens\":10,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n",
        "data: [DONE]\n\n",
    ),
];

const LINES: (&str, &str) = ("content-type", "application/x-ndjson");
const OF_LINES: &str = concat!(
    "{\"message\":{\"role\":\"assistant\",\"content\":\"@@\"},\"done\":false}\n",
    "{\"message\":{\"role\":\"assistant\",\"content\":\"@@\"},\"done\":true,\"prompt_eval_count\":4,\"eval_count\":6}\n",
);

/// Returns text with the members that a tap reads, and with quotes, brackets and backslashes.
fn text() -> impl Strategy<Value = String> {
    let member = prop::sample::select(vec![
        r#""usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#,
        r#""prompt_tokens_details":{"cached_tokens":9}"#,
        r#"\"completion_tokens_details\":{\"reasoning_tokens\":9}"#,
        r#""cached_tokens":9"#,
        r#"\"usage\":{\"prompt_tokens\":1}"#,
        r#""finish_reason":"length""#,
        r#""finish_reason": null"#,
        r#""stop_reason":"error""#,
        r#""error":{"message":"no"}"#,
        r#""type":"error""#,
        r#""type":"message_stop""#,
        r#""delta":{"content":"a"}"#,
        r#""choices":["#,
        r#""done":true"#,
        r#""status":"failed""#,
        r#""code":500"#,
        "usage\":",
        "\nevent: error\n",
        "\n\ndata: [DONE]\n\n",
        "[DONE]",
        ": null",
        ":\"error\"",
        "\"}]}",
    ]);
    let mark = prop::sample::select(vec![
        "\"", "\\", "\\\"", "{", "}", "[", "]", ",", ":", " ", "\n", "\r\n", "a", "word", "é",
        "\u{2028}", "😀",
    ]);
    prop::collection::vec(prop_oneof![member, mark], 1..8).prop_map(|parts| parts.concat())
}

/// Returns the string in JSON without its quotes, with each quote as `\u0022` if `hidden`.
fn escaped(text: &str, hidden: bool) -> String {
    let json = serde_json::to_string(text).unwrap();
    let json = &json[1..json.len() - 1];
    if hidden { json.replace("\\\"", "\\u0022") } else { json.to_owned() }
}

fn responses() -> impl Iterator<Item = ((&'static str, &'static str), &'static str)> {
    let documents = DOCUMENTS.map(|document| (JSON, document)).into_iter();
    let streams = STREAMS.map(|stream| (EVENTS, stream));
    documents.chain(streams).chain([(LINES, OF_LINES)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..Default::default() })]

    #[test]
    fn text_that_resembles_members_changes_neither_usage_nor_end(
        text in text(),
        hidden in any::<bool>(),
        size in 1_usize..60,
    ) {
        for (head, response) in responses() {
            let plain = response.replace(TEXT, "word");
            let body = response.replace(TEXT, &escaped(&text, hidden));
            let (usage, end, _) = results(&[head], &[plain.as_bytes()], BodyEnd::Complete);
            let pieces: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
            let read = results(&[head], &pieces, BodyEnd::Complete);
            prop_assert_eq!((read.0, read.1), (usage, end), "{}", body);
        }
    }
}

#[test]
fn text_that_resembles_members_changes_nothing_at_any_cut() {
    let text = r#"a \ "usage":{"prompt_tokens":1,"completion_tokens":2}},"error":{"message":"no"},"finish_reason":"length"}\"#;
    for hidden in [false, true] {
        for (head, response) in responses() {
            let expected = usage_and_end(&[head], &response.replace(TEXT, "word"));
            let body = response.replace(TEXT, &escaped(text, hidden));
            assert_eq!(usage_and_end(&[head], &body), expected, "{body}");
        }
    }
}

/// The property above would hold for a tap that reads nothing.
#[test]
fn each_response_states_its_usage_and_end() {
    for (head, response) in responses() {
        let read = run_to(&[head], &[response.as_bytes()], BodyEnd::Complete);
        let total = (response.contains("total_tokens")).then_some(10);
        let cut = response == STREAMS[1];
        let end = if cut { StreamEnd::Cut } else { StreamEnd::Done };
        let expected = ((!cut).then_some((Some(4), Some(6), total)), (head != JSON).then_some(end));
        assert_eq!(read, expected, "{response}");
    }
}
