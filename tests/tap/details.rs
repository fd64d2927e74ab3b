//! Cached and reasoning tokens, which are parts of other counts.

use super::*;

/// Cached and reasoning tokens.
type Parts = (Option<u64>, Option<u64>);

/// Returns both of a response, which must be the same at every cut.
#[track_caller]
fn parts(head: (&'static str, &'static str), body: &str) -> Option<Parts> {
    let usage = results_at_every_cut(&[head], body).0;
    usage.map(|usage| (usage.cached_tokens, usage.reasoning_tokens))
}

#[test]
fn each_form_is_read() {
    for (sender, body, expected) in [
        (
            "OpenAI, DeepSeek, xAI, OpenRouter",
            r#"{"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":5,"accepted_prediction_tokens":0}}}"#,
            (Some(4), Some(5)),
        ),
        (
            "OpenAI's responses",
            r#"{"object":"response","usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":30},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":64},"total_tokens":123}}"#,
            (Some(30), Some(64)),
        ),
        (
            "vLLM",
            r#"{"usage":{"prompt_tokens":9,"total_tokens":9,"completion_tokens":0,"prompt_tokens_details":null}}"#,
            (None, None),
        ),
        (
            "SGLang",
            r#"{"usage":{"prompt_tokens":9,"completion_tokens":8,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":3},"reasoning_tokens":2}}"#,
            (Some(3), Some(2)),
        ),
        (
            "SGLang's generate",
            r#"{"text":"a","meta_info":{"prompt_tokens":9,"completion_tokens":8,"cached_tokens":3}}"#,
            (Some(3), None),
        ),
        (
            "DeepSeek",
            r#"{"usage":{"prompt_tokens":9,"completion_tokens":8,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":3,"completion_tokens_details":{"reasoning_tokens":7}}}"#,
            (Some(6), Some(7)),
        ),
        (
            "Mistral",
            r#"{"usage":{"prompt_tokens":9,"completion_tokens":8,"num_cached_tokens":6,"prompt_token_details":{"cached_tokens":6}}}"#,
            (Some(6), None),
        ),
        (
            "Moonshot, Together, Cohere",
            r#"{"usage":{"prompt_tokens":9,"completion_tokens":8,"cached_tokens":1}}"#,
            (Some(1), None),
        ),
        (
            "Perplexity",
            r#"{"usage":{"prompt_tokens":9,"completion_tokens":8,"reasoning_tokens":5}}"#,
            (None, Some(5)),
        ),
        (
            "Anthropic",
            r#"{"type":"message","usage":{"input_tokens":3,"cache_creation_input_tokens":2,"cache_read_input_tokens":4,"cache_creation":{"ephemeral_5m_input_tokens":2},"output_tokens":6}}"#,
            (Some(4), None),
        ),
        (
            "Bedrock",
            r#"{"usage":{"inputTokens":3,"outputTokens":6,"totalTokens":13,"cacheReadInputTokens":4,"cacheWriteInputTokens":0}}"#,
            (Some(4), None),
        ),
        (
            "Gemini",
            r#"{"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4,"thoughtsTokenCount":3,"cachedContentTokenCount":8,"totalTokenCount":16}}"#,
            (Some(8), Some(3)),
        ),
        (
            "llama.cpp",
            r#"{"content":"a","stop":true,"timings":{"cache_n":7,"prompt_n":2,"predicted_n":5}}"#,
            (Some(7), None),
        ),
        (
            "llama.cpp's chat",
            r#"{"choices":[],"usage":{"completion_tokens":5,"prompt_tokens":9,"total_tokens":14},"timings":{"cache_n":7,"prompt_n":2,"predicted_n":5}}"#,
            (Some(7), None),
        ),
        (
            "Groq",
            r#"{"x_groq":{"usage":{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}}"#,
            (Some(2), Some(1)),
        ),
    ] {
        assert_eq!(parts(JSON, body), Some(expected), "{sender}");
        assert_eq!(parts(EVENTS, &format!("data: {body}\n\n")), Some(expected), "{sender}");
    }
}

#[test]
fn tokens_that_are_written_into_a_cache_are_read() {
    let written = |head, body: &str| {
        let usage = results_at_every_cut(&[head], body).0.unwrap();
        (usage.prompt_tokens, usage.cache_write_tokens)
    };
    for (sender, usage, expected) in [
        (
            "Anthropic",
            r#"{"input_tokens":3,"cache_creation_input_tokens":2,"cache_read_input_tokens":4,"output_tokens":6}"#,
            (Some(9), Some(2)),
        ),
        (
            "Bedrock",
            r#"{"inputTokens":3,"outputTokens":6,"totalTokens":9,"cacheWriteInputTokens":0}"#,
            (Some(3), Some(0)),
        ),
        (
            "OpenRouter",
            r#"{"prompt_tokens":9,"completion_tokens":6,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":5}}"#,
            (Some(9), Some(5)),
        ),
        (
            "OpenRouter's responses",
            r#"{"input_tokens":9,"output_tokens":6,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":5}}"#,
            (Some(9), Some(5)),
        ),
        (
            "a proxy with the names of both",
            r#"{"prompt_tokens":9,"completion_tokens":6,"cache_creation_input_tokens":5}"#,
            (Some(9), Some(5)),
        ),
        ("OpenAI", r#"{"prompt_tokens":9,"cache_write_tokens":5}"#, (Some(9), None)),
    ] {
        let body = format!(r#"{{"usage":{usage}}}"#);
        assert_eq!(written(JSON, &body), expected, "{sender}");
        assert_eq!(written(EVENTS, &format!("data: {body}\n\n")), expected, "{sender}");
    }
    let stream = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,",
        "\"cache_creation_input_tokens\":4,\"output_tokens\":1}}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":6}}\n\n",
    );
    assert_eq!(written(EVENTS, stream), (Some(7), Some(4)));
}

#[test]
fn parts_do_not_change_the_counts_that_they_are_part_of() {
    let usage = |body: &str| results_at_every_cut(&[JSON], body).0.map(tokens);
    let openai = r#"{"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,"cached_tokens":1,"prompt_tokens_details":{"cached_tokens":4,"prompt_tokens":99},"completion_tokens_details":{"reasoning_tokens":5,"completion_tokens":99}}}"#;
    assert_eq!(usage(openai), Some((Some(9), Some(12), Some(21))));
    // Anthropic leaves the cached tokens out of the input.
    let anthropic = r#"{"usage":{"input_tokens":3,"cache_creation_input_tokens":2,"cache_read_input_tokens":4,"output_tokens":6}}"#;
    assert_eq!(usage(anthropic), Some((Some(9), Some(6), None)));
    // A usage of parts alone is none.
    let alone = r#"{"usage":{"prompt_tokens_details":{"cached_tokens":4},"reasoning_tokens":1}}"#;
    assert_eq!(usage(alone), None);
}

#[test]
fn details_in_other_places_are_ignored() {
    for details in [
        r#""prompt_tokens_details":{"a":{"cached_tokens":4}}"#,
        r#""prompt_tokens_details":[{"cached_tokens":4}]"#,
        r#""prompt_tokens_details":"{\"cached_tokens\":4}""#,
        r#""other_details":{"cached_tokens":4,"reasoning_tokens":5}"#,
        r#""prompt_tokens_details":{"cached_tokens":"4"}"#,
        r#""prompt_tokens_details":{"cached_tokens":-4}"#,
    ] {
        let body = format!(r#"{{"usage":{{"prompt_tokens":9,{details}}}}}"#);
        assert_eq!(parts(JSON, &body), Some((None, None)), "{details}");
        let outside = format!(r#"{{{details},"usage":{{"prompt_tokens":9}}}}"#);
        assert_eq!(parts(JSON, &outside), Some((None, None)), "{details}");
    }
    let first = r#"{"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4}},"usage":{"prompt_tokens":9}}"#;
    assert_eq!(parts(JSON, first), Some((None, None)), "the last usage counts");
    let empty = r#"{"usage":{"prompt_tokens":9,"input_tokens_details":{"cached_tokens":4},"prompt_tokens_details":null}}"#;
    assert_eq!(parts(JSON, empty), Some((Some(4), None)));
}

#[test]
fn a_stream_keeps_the_parts_of_earlier_events() {
    let anthropic = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,",
        "\"cache_read_input_tokens\":4,\"output_tokens\":1}}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
        "\"usage\":{\"output_tokens\":6}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let (usage, end, _) = results_at_every_cut(&[EVENTS], anthropic);
    let usage = usage.unwrap();
    assert_eq!((tokens(usage), end), ((Some(7), Some(6), None), Some(StreamEnd::Done)));
    assert_eq!((usage.cached_tokens, usage.reasoning_tokens), (Some(4), None));
}

/// Numbers and nulls in the places of both APIs, each name at most once.
fn usage() -> impl Strategy<Value = serde_json::Value> {
    let count = || prop_oneof![4 => (0_u64..1 << 40).prop_map(serde_json::Value::from), 1 => Just(serde_json::Value::Null)];
    let details = move |name: &'static str| {
        prop_oneof![
            1 => Just(None),
            1 => Just(Some(serde_json::Value::Null)),
            4 => (count(), any::<bool>()).prop_map(move |(count, more)| {
                let mut details = serde_json::json!({ name: count });
                if more {
                    details["audio_tokens"] = 0.into();
                }
                Some(details)
            }),
        ]
    };
    let flat = move || prop::option::of(count());
    (details("cached_tokens"), details("reasoning_tokens"), flat(), flat(), any::<bool>()).prop_map(
        |(prompt, completion, cached, reasoning, responses)| {
            let names = if responses {
                ["input_tokens", "input_tokens_details", "output_tokens_details"]
            } else {
                ["prompt_tokens", "prompt_tokens_details", "completion_tokens_details"]
            };
            let members = [
                (names[0], Some(7.into())),
                (names[1], prompt),
                (names[2], completion),
                ("cached_tokens", cached),
                ("reasoning_tokens", reasoning),
            ];
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..Default::default() })]

    #[test]
    fn parts_equal_those_of_a_full_parse(usage in usage(), size in 1_usize..40, event in any::<bool>()) {
        let part = |details: &str, other: &str, name: &str| {
            let detail = usage[details][name].as_u64().or_else(|| usage[other][name].as_u64());
            detail.or_else(|| usage[name].as_u64())
        };
        let expected = (
            part("prompt_tokens_details", "input_tokens_details", "cached_tokens"),
            part("completion_tokens_details", "output_tokens_details", "reasoning_tokens"),
        );
        let body = serde_json::json!({ "usage": usage }).to_string();
        let (head, body) = if event { (EVENTS, format!("data: {body}\n\n")) } else { (JSON, body) };
        let chunks: Vec<&[u8]> = body.as_bytes().chunks(size).collect();
        let read = results(&[head], &chunks, BodyEnd::Complete).0.unwrap();
        prop_assert_eq!((read.cached_tokens, read.reasoning_tokens), expected, "{}", body);
    }
}
