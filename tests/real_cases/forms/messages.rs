//! What people see: OpenAI's clients show `error.message` alone, so it names the place and the reason,
//! whichever layer refuses the body.
//!
//! | refused by | place | tested |
//! |---|---|---|
//! | `PayloadLayer`: JSON | byte | [`payloads_that_cannot_be_read`] |
//! | `PayloadLayer`: type, charset, coding | header | the same, [`payloads_that_cannot_be_decoded`], `bodies` |
//! | `PayloadLayer`: bytes, depth, values, time | the setter of the bound | `bodies`, [`payloads_that_do_not_arrive`] |
//! | `SchemaLayer`: schema, limits | pointer | [`values_that_break_a_schema_or_a_limit`] |
//! | `SchemaLayer`: parameters | parameter, header | [`parameters_that_are_not_as_they_must_be`] |
//! | `TransformLayer`: edits, output limit | pointer, parameter | [`edits_that_cannot_be_done`] |
//! | `TokenBudgetLayer`, `ModelRulesLayer` | pointer; "the body" | [`budgets_and_rules_that_reject`] |

use std::time::Duration;

use http::{HeaderName, header::CONTENT_ENCODING};
use serde_json::json;
use tower_inference::{
    limits::{Limit, Rate},
    model::Profile,
    model_rules::{ModelRules, ModelRulesLayer},
    payload::{PayloadLayer, Pointer},
    schema::{BuiltInSchemas, ChatLimits, Parameter, SchemaLayer, Streaming},
    stack::Stack,
    token_budget::TokenBudgetLayer,
    transform::{ModelAliases, SystemMessage, TransformLayer},
};

use super::*;

/// Stands in every body. It must not come back.
const PROMPT: &str = "tell-no-one";

/// A chat with these members.
fn with(members: &str) -> String {
    let prompt = format!(r#""messages":[{{"role":"user","content":"{PROMPT}"}}]"#);
    if members.is_empty() { format!("{{{prompt}}}") } else { format!("{{{prompt},{members}}}") }
}

/// Sends a request that is refused by `service`, and compares what a client shows.
async fn shown<S, R>(service: S, request: Request<Full<Bytes>>, code: &str, message: &str)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Infallible>,
    R: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let (status, said) = answer(service, request).await;
    assert!(status.is_client_error(), "{message}: {status}");
    assert_eq!(said["error"]["message"], message);
    assert_eq!(said["detail"], message);
    assert_eq!(said["error"]["code"], code, "{message}");
    let all = said.to_string();
    assert!(!all.contains(PROMPT), "{all}");
    // Only one layer has a schema, and what it refuses is worded so that others can say it too.
    assert!(!all.to_lowercase().contains("schema"), "{all}");
}

#[tokio::test]
async fn payloads_that_cannot_be_read() {
    let seen = Seen::default();
    let payload = || PayloadLayer::new().layer(upstream(&seen));
    for (body, message) in [
        ("", "the body is empty"),
        ("{\"a\":}", "the body is not strict JSON: expected a value at byte 5"),
        ("{\"a\":1", "the body is not strict JSON: unexpected end at byte 6"),
        ("{\"a\":1,}", "the body is not strict JSON: expected a member name at byte 7"),
        ("{\"a\":1}1", "the body is not strict JSON: more data after the document at byte 7"),
        ("\u{feff}{}", "the body is not strict JSON: a byte-order mark is not allowed at byte 0"),
        ("[NaN]", "the body is not strict JSON: expected a value at byte 1"),
        ("{'a':1}", "the body is not strict JSON: expected a member name at byte 1"),
    ] {
        shown(payload(), chat(body), "malformed_payload", message).await;
    }
    let message = "content-type: this route accepts only application/json in UTF-8";
    shown(payload(), post(CHAT, "text/plain", PROMPT), "unsupported_media_type", message).await;
    let mut coded = chat(PROMPT);
    coded.headers_mut().insert(CONTENT_ENCODING, "gzip".parse().unwrap());
    let message = "content-encoding: this route accepts only identity";
    shown(payload(), coded, "unsupported_media_type", message).await;

    let streamed = Stack::new()
        .payload(PayloadLayer::streamed())
        .schema(SchemaLayer::new(BuiltInSchemas::new(Profile::openai()).chat_completion()))
        .layer(upstream(&seen));
    let message = "this route does not read bodies, so it cannot check them";
    shown(streamed, chat(&with("")), "unsupported_media_type", message).await;
    assert!(seen.take().is_empty());
}

#[cfg(feature = "decompression")]
#[tokio::test]
async fn payloads_that_cannot_be_decoded() {
    let seen = Seen::default();
    for (coding, body, message) in [
        ("gzip", PROMPT, "content-encoding: the body is not gzip"),
        ("gzip", "", "content-encoding: the coded body is truncated"),
        ("br, gzip", PROMPT, "content-encoding: this route accepts only gzip, br, zstd"),
    ] {
        let mut request = chat(body);
        request.headers_mut().insert(CONTENT_ENCODING, coding.parse().unwrap());
        let service = PayloadLayer::new().decompress().layer(upstream(&seen));
        let code = if coding == "gzip" { "malformed_payload" } else { "unsupported_media_type" };
        shown(service, request, code, message).await;
    }
}

#[tokio::test(start_paused = true)]
async fn payloads_that_do_not_arrive() {
    let request = Request::post(CHAT).header(CONTENT_TYPE, "application/json");
    let request = request.body(crate::support::ScriptedBody::new([crate::support::Step::Stall]));
    let layer = PayloadLayer::new().body_timeout(Duration::from_secs(30));
    let service = layer.layer(upstream(&Seen::default()));
    let response = service.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let message = "the request body did not arrive within 30s";
    assert_eq!(body["error"]["message"], message);
}

#[tokio::test]
async fn values_that_break_a_schema_or_a_limit() {
    let seen = Seen::default();
    let schema = || {
        Stack::new()
            .schema(SchemaLayer::new(BuiltInSchemas::new(Profile::openai()).chat_completion()))
            .layer(upstream(&seen))
    };
    for (members, message) in [
        ("\"model\":\"m\",\"temperature\":3", "/temperature: must be at most 2"),
        ("\"model\":\"m\",\"n\":\"4\"", "/n: must be an integer or null"),
    ] {
        shown(schema(), chat(&with(members)), "invalid_payload", message).await;
    }
    for (body, message) in
        [("[]", "the body: must be an object"), ("{}", "the body: messages is required")]
    {
        shown(schema(), chat(body), "invalid_payload", message).await;
    }

    let limited = |limits| {
        Stack::new().schema(SchemaLayer::any_body().chat_limits(limits)).layer(upstream(&seen))
    };
    let two = r#"{"messages":[{"content":"tell-no-one"},{}],"n":4}"#;
    for (limits, body, message) in [
        (ChatLimits::new().max_choices(2), two, "/n: must be an integer of at most 2"),
        (ChatLimits::new().max_messages(1), two, "/messages: must not have more than 1 messages"),
        (
            ChatLimits::new().max_characters(3),
            two,
            "/messages: must not have more than 3 characters of text in all",
        ),
        (ChatLimits::new().streaming(Streaming::Required), two, "/stream: must be true"),
        (ChatLimits::new().max_choices(2), "[\"tell-no-one\"]", "the body: must be an object"),
        (
            ChatLimits::new().max_choices(2),
            r#"{"N":1,"a":"tell-no-one"}"#,
            "/N: differs only in case from a limited member",
        ),
    ] {
        shown(limited(limits), chat(body), "invalid_payload", message).await;
    }
    assert!(seen.take().is_empty());
}

#[tokio::test]
async fn parameters_that_are_not_as_they_must_be() {
    let seen = Seen::default();
    let layer = SchemaLayer::any_body()
        .parameter(Parameter::query("limit").pattern("[0-9]+").unwrap())
        .parameter(Parameter::header(HeaderName::from_static("x-team")).required());
    for (query, message) in [
        ("?limit=ten", "/query/limit: does not match its pattern"),
        ("?limit=", "/query/limit: is blank"),
        ("", "/header/x-team: is missing"),
    ] {
        let service = Stack::new().schema(layer.clone()).layer(upstream(&seen));
        let request = post(&format!("{CHAT}{query}"), "application/json", with(""));
        shown(service, request, "invalid_parameters", message).await;
    }
}

#[tokio::test]
async fn edits_that_cannot_be_done() {
    let seen = Seen::default();
    let pointer = |text: &str| text.parse::<Pointer>().unwrap();
    let edits = TransformLayer::new;
    for (layer, body, message) in [
        (edits().override_json(pointer("/a/b"), 1), with("\"a\":5"), "/a: must be an object"),
        (edits().override_json(pointer("/a"), 1), "[]".into(), "the body: must be an object"),
        (
            edits().override_json(pointer("/a/3"), 1),
            with("\"a\":[]"),
            "/a/3: the element does not exist",
        ),
        (
            edits().override_json(pointer("/a"), 1),
            with("\"A\":5"),
            "/a: another name differs only in case",
        ),
        (edits().clamp_json(pointer("/k"), 1..=5), with("\"k\":\"5\""), "/k: must be a number"),
        (
            edits().system_message(SystemMessage::new("be kind")),
            "{}".into(),
            "/messages: must be an array",
        ),
        (
            edits().model_aliases(ModelAliases::new([("a", "b")]).reject_others()),
            with("\"model\":\"tell-no-one\""),
            "/model: must be a model of this gateway",
        ),
        (edits().max_output_tokens(5), with("\"max_tokens\":0"), "/max_tokens: must be at least 1"),
        (
            edits().max_output_tokens(5),
            with("\"max_tokens\":\"5\""),
            "/max_tokens: must be a number",
        ),
        (edits().max_output_tokens(5), "[]".into(), "the body: must be an object"),
        (edits().include_usage(), with("\"stream\":1"), "/stream: must be true or false"),
    ] {
        let service = Stack::new().transform(layer).layer(upstream(&seen));
        shown(service, chat(&body), "invalid_payload", message).await;
    }
    let service = Stack::new()
        .payload(PayloadLayer::new().max_depth(3))
        .transform(edits().override_json(pointer("/a/b/c/d"), 1))
        .layer(upstream(&seen));
    let message = "/a/b/c/d: would have more than 3 nested arrays and objects";
    shown(service, chat(&with("")), "payload_too_large", message).await;

    let service = Stack::new().transform(edits().max_output_tokens(5)).layer(upstream(&seen));
    let request = post("/models/gpt2?max_new_tokens=9", "application/json", with(""));
    let message = "/query/max_new_tokens: must be a number of at least 1 and at most 5";
    shown(service, request, "invalid_parameters", message).await;
    assert!(seen.take().is_empty());
}

#[tokio::test]
async fn budgets_and_rules_that_reject() {
    let seen = Seen::default();
    let budget = |most| TokenBudgetLayer::new(Limit::global(Rate::per_day(most)));
    for (members, message) in [
        ("\"n\":1.5", "/n: must be a whole number, at least 1"),
        ("\"max_tokens\":0", "/max_tokens: must be at least 1"),
        ("\"stream\":\"yes\"", "/stream: must be true or false"),
    ] {
        let service = Stack::new().token_budget(budget(1_000_000)).layer(upstream(&seen));
        shown(service, chat(&with(members)), "invalid_payload", message).await;
    }
    // The limits of callers are shown to them; this one is everybody's.
    let shown_budget = TokenBudgetLayer::new(Limit::global(Rate::per_day(100)).shown());
    let service = Stack::new().token_budget(shown_budget).layer(upstream(&seen));
    let (status, said) = answer(service, chat(&with("\"max_tokens\":1000"))).await;
    assert_eq!((status.as_u16(), &said["error"]["code"]), (400, &json!("exceeds_limit")));
    let message = said["error"]["message"].as_str().unwrap();
    assert!(message.contains("output limit") && !message.contains(PROMPT), "{message}");

    // What it says of the body's model is the model's module's own.
    let rules = ModelRulesLayer::new(Profile::compatible(), ModelRules::new());
    for body in [with(""), with("\"model\":\"tell-no-one\""), with("\"model\":7")] {
        let service = Stack::new().model_rules(rules.clone()).layer(upstream(&seen));
        let (status, said) = answer(service, chat(&body)).await;
        assert!(status.is_client_error(), "{body}");
        let message = said["error"]["message"].as_str().unwrap();
        assert!(message.contains("model") && !said.to_string().contains(PROMPT), "{message}");
    }
    assert!(seen.take().is_empty());
}
