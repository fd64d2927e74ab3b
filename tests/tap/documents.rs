//! Usage of JSON documents.

use super::*;

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
