//! Bodies as clients write them: charsets, broken text, names that come twice, many values.

use tower_inference::{
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::PayloadLayer,
    schema::{BuiltInSchemas, SchemaLayer},
    stack::Stack,
};

use super::*;

const HI: &str = r#"{"model":"m","messages":[{"role":"user","content":"Say hi."}]}"#;

/// Party or standard, the type as it is written, and the status that we answer.
const MEDIA_TYPES: &[(&str, &str, u16)] = &[
    // openai-python, openai-node, httpx, aiohttp.
    ("OpenAI's clients", "application/json", 200),
    // axios, jQuery, Spring's RestTemplate.
    ("axios", "application/json; charset=utf-8", 200),
    ("Apache HttpClient (ContentType.APPLICATION_JSON)", "application/json; charset=UTF-8", 200),
    ("smithy-rs#3471, cacherpc#118", "application/json; charset=utf8", 200),
    ("SpacetimeDB#2750", "application/json;charset=UTF8", 200),
    ("quoted, as RFC 9110 section 5.6.6 allows", "application/json; charset=\"utf8\"", 200),
    ("quoted, space inside", "application/json; charset=\" utf-8 \"", 200),
    ("space where the grammar has none", "application/json ; charset = utf-8", 200),
    ("an empty parameter (RFC 9110 section 5.6.6)", "application/json;; charset=utf-8 ;", 200),
    ("OData", "application/json; charset=utf-8; odata.metadata=none", 200),
    ("case", "Application/JSON;charset=Utf-8", 200),
    // WHATWG Encoding section 4.2, every label of UTF-8.
    ("WHATWG", "application/json; charset=unicode-1-1-utf-8", 200),
    ("WHATWG", "application/json; charset=unicode11utf8", 200),
    ("WHATWG", "application/json; charset=unicode20utf8", 200),
    ("WHATWG", "application/json; charset=x-unicode20utf8", 200),
    // Java's StandardCharsets.US_ASCII.name(), Python's ascii: a subset of UTF-8.
    ("Java", "application/json; charset=US-ASCII", 200),
    ("Python", "application/json; charset=ascii", 200),
    ("glibc's nl_langinfo in the C locale", "application/json; charset=ANSI_X3.4-1968", 200),
    ("JSON:API", "application/vnd.api+json; charset=utf8", 200),
    // Another reading of the same bytes.
    ("Latin-1", "application/json; charset=iso-8859-1", 415),
    ("Windows", "application/json; charset=windows-1252", 415),
    ("UTF-16", "application/json; charset=utf-16", 415),
    ("UTF-16", "application/json; charset=utf-16le", 415),
    ("UTF-7", "application/json; charset=utf-7", 415),
    ("CESU", "application/json; charset=cesu-8", 415),
    ("two charsets", "application/json; charset=utf8; charset=utf-16", 415),
    ("a charset behind space", "application/json; charset = utf-16", 415),
    ("no charset", "application/json; charset=", 415),
    ("curl -d", "application/x-www-form-urlencoded", 415),
];

#[tokio::test]
async fn charset_utf8_without_dash() {
    let seen = Seen::default();
    let stack = Stack::new().payload(PayloadLayer::new()).layer(upstream(&seen));
    for (party, media_type, expected) in MEDIA_TYPES {
        let (status, said) = answer(stack.clone(), post(CHAT, media_type, HI)).await;
        assert_eq!(status.as_u16(), *expected, "{party}: {media_type}");
        let sent = seen.take();
        if *expected == 200 {
            assert_eq!(sent, [HI], "{party}");
        } else {
            assert!(sent.is_empty(), "{party}");
            let message = said["error"]["message"].as_str().unwrap();
            assert!(message.starts_with("content-type: "), "{message}");
        }
    }
}

/// Readers differ in what a byte beyond ASCII is there, so it is refused by its place.
#[tokio::test]
async fn bytes_beyond_ascii_are_refused_under_a_charset_of_ascii() {
    let seen = Seen::default();
    for layer in [PayloadLayer::new(), PayloadLayer::bytes()] {
        let stack = Stack::new().payload(layer).layer(upstream(&seen));
        let ascii = "application/json; charset=us-ascii";
        let (status, _) = answer(stack.clone(), post(CHAT, ascii, "{\"a\":\"\\u00e9\"}")).await;
        assert_eq!((status.as_u16(), seen.take().len()), (200, 1));
        let (status, said) = answer(stack.clone(), post(CHAT, ascii, "{\"a\":\"\u{e9}\"}")).await;
        assert_eq!((status.as_u16(), seen.take().len()), (415, 0));
        assert_eq!(
            said["error"]["message"],
            "content-type: the charset is us-ascii but byte 6 is not ASCII"
        );
    }
}

#[tokio::test]
async fn lone_surrogate_from_truncation() {
    let seen = Seen::default();
    let stack = Stack::new()
        .schema(SchemaLayer::new(BuiltInSchemas::new(Profile::openai()).chat_completion()))
        .layer(upstream(&seen));
    let body = r#"{"model":"m","messages":[{"role":"tool","tool_call_id":"c1","content":"log tail \ud83d"},{"role":"user","content":"go on"}]}"#;
    let escape = body.find("\\ud83d").unwrap();
    let (status, said) = answer(stack, chat(body)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(said["error"]["code"], "malformed_payload");
    assert_eq!(said["position"], escape);
    let message = format!("the body is not strict JSON: lone surrogate at byte {escape}");
    assert_eq!(said["error"]["message"], *message);
    assert!(seen.take().is_empty());
}

#[tokio::test]
async fn duplicate_model_member() {
    let seen = Seen::default();
    let rules = ModelRules::new().allow(ModelRule::new(["org/allowed"]));
    let stack = Stack::new()
        .payload(PayloadLayer::new())
        .model_rules(ModelRulesLayer::new(Profile::compatible(), rules))
        .layer(upstream(&seen));
    for body in [
        r#"{"model":"org/allowed","model":"org/blocked","stream":false,"str\u0065am":true,"messages":[{"role":"user","content":"hi"}]}"#,
        r#"{"model":"org/allowed","stream":false,"str\u0065am":true,"messages":[]}"#,
    ] {
        let (status, said) = answer(stack.clone(), chat(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(said["error"]["code"], "malformed_payload");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains("duplicate member name at byte "), "{message}");
        assert!(seen.take().is_empty());
    }
}

fn chunks(arrays: usize, ids: usize) -> String {
    let array = |from: usize| {
        let ids = (0..ids).map(|at| (1 + (from * 7_919 + at * 31) % 99_999).to_string());
        format!("[{}]", ids.collect::<Vec<_>>().join(","))
    };
    let input = (0..arrays).map(array).collect::<Vec<_>>().join(",");
    format!(
        "{{\"model\":\"text-embedding-3-small\",\"encoding_format\":\"base64\",\"input\":[{input}]}}"
    )
}

#[tokio::test]
async fn json_body_with_1000_token_chunks() {
    let body = chunks(1_000, 1_010);
    assert!((5_000_000..10 << 20).contains(&body.len()), "{}", body.len());
    let seen = Seen::default();
    let stack = Stack::new()
        .payload(PayloadLayer::new())
        .schema(SchemaLayer::new(BuiltInSchemas::new(Profile::openai()).embeddings()))
        .layer(upstream(&seen));
    let request = post("/v1/embeddings", "application/json", body.clone());
    let (status, said) = answer(stack, request).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert_eq!(seen.take(), [body]);
}

/// A bound that an operator sets is named with its value, and as what it is.
#[tokio::test]
async fn a_bound_that_is_hit_is_named_with_its_value() {
    let seen = Seen::default();
    let deep = "[".repeat(129) + &"]".repeat(129);
    for (layer, body, message) in [
        (
            PayloadLayer::new().max_body_bytes(40),
            HI,
            "the request body exceeds the limit of 40 bytes",
        ),
        (
            PayloadLayer::new().max_values(5),
            "[1,2,3,4,5]",
            "the body has more than 5 values at byte 9",
        ),
        (
            PayloadLayer::new(),
            &deep,
            "the body has more than 128 nested arrays and objects at byte 128",
        ),
    ] {
        let stack = layer.layer(upstream(&seen));
        let (status, said) = answer(stack, chat(body)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(said["error"]["code"], "payload_too_large");
        assert_eq!(said["error"]["message"], message);
        assert!(seen.take().is_empty());
    }
}
