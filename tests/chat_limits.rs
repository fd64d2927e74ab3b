//! Limits on chat requests and their violations.

use serde_json::{Value, json};
use tower_inference::{
    payload::Document,
    schema::{ChatLimits, Streaming},
};

fn check(limits: &ChatLimits, body: &Value) -> Vec<(String, String, String)> {
    check_text(limits, &body.to_string())
}

fn check_text(limits: &ChatLimits, body: &str) -> Vec<(String, String, String)> {
    let violations = limits.check(&Document::parse(body.to_owned()).unwrap());
    violations.into_iter().map(|v| (v.pointer, v.keyword.into_owned(), v.detail)).collect()
}

fn said(pointer: &str, keyword: &str, detail: &str) -> Vec<(String, String, String)> {
    vec![(pointer.to_owned(), keyword.to_owned(), detail.to_owned())]
}

fn user(content: impl Into<Value>) -> Value {
    json!({"role": "user", "content": content.into()})
}

#[test]
fn nothing_is_limited_by_default() {
    let body = json!({"messages": 5, "n": "many", "stream": [], "tools": {}});
    assert_eq!(check(&ChatLimits::new(), &body), []);
    assert_eq!(check(&ChatLimits::default(), &json!([])), []);
    assert_eq!(ChatLimits::new(), ChatLimits::default());
}

#[test]
fn counts_messages() {
    let limits = ChatLimits::new().max_messages(2);
    let too_many = said("/messages", "messages", "must not have more than 2 messages");
    assert_eq!(check(&limits, &json!({"messages": [user("a"), user("b")]})), []);
    assert_eq!(check(&limits, &json!({"messages": [user("a"), user("b"), user("c")]})), too_many);
    assert_eq!(check(&limits, &json!({"messages": null})), []);
    assert_eq!(check(&limits, &json!({})), []);
}

#[test]
fn input_counts_as_messages() {
    let limits = ChatLimits::new().max_messages(1);
    let too_many = said("/input", "messages", "must not have more than 1 messages");
    assert_eq!(check(&limits, &json!({"input": "a"})), []);
    assert_eq!(check(&limits, &json!({"input": [user("a")]})), []);
    assert_eq!(check(&limits, &json!({"input": [user("a"), user("b")]})), too_many);
    assert_eq!(check(&limits, &json!({"messages": [user("a")], "input": "b"})), too_many);
    // Names are what they say, however they are written.
    let escaped = r#"{"mess\u0061ges": [{}, {}]}"#;
    assert_eq!(check_text(&limits, escaped)[0].0, "/messages");
}

#[test]
fn uncountable_values_are_rejected() {
    let limits = ChatLimits::new().max_messages(3).max_tools(3);
    for wrong in [json!("x"), json!({"0": {}}), json!(1), json!(true)] {
        let found = check(&limits, &json!({"messages": wrong, "tools": wrong}));
        assert_eq!(found.len(), 2);
        let detail = "must be an array of at most 3 messages";
        assert_eq!(found[..1], said("/messages", "messages", detail));
        let detail = "must be an array of at most 3 tools";
        assert_eq!(found[1..], said("/tools", "tools", detail));
    }
    assert_eq!(check(&limits, &json!([])), said("", "type", "must be an object"));
    assert_eq!(check(&limits, &json!({"functions": 5}))[0].0, "/functions");
}

#[test]
fn counts_characters_of_all_texts() {
    let limits = ChatLimits::new().max_characters(10);
    let beyond = "must not have more than 10 characters of text in all";
    let parts = |text: &str| {
        user(json!([
            {"type": "text", "text": text},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAAAAAAAAAAAAAAAAAA"}},
            {"type": "input_audio", "input_audio": {"data": "AAAAAAAAAAAAAAAAA", "format": "wav"}},
        ]))
    };
    // Characters, neither bytes nor UTF-16 units.
    assert_eq!(check(&limits, &json!({"messages": [user("ééééé"), parts("🤗🤗🤗🤗🤗")]})), []);
    assert_eq!(
        check(&limits, &json!({"messages": [user("ééééé"), parts("🤗🤗🤗🤗🤗🤗")]})),
        said("/messages", "characters", beyond)
    );
    let escaped = r#"{"messages": [{"content": "\u00e9\ud83e\udd17\n5678910"}]}"#;
    assert_eq!(check_text(&limits, escaped), []);
}

#[test]
fn text_in_other_members_counts() {
    let limits = ChatLimits::new().max_characters(10);
    let long = "elevenchars";
    let call = json!({"id": "c", "type": "function", "function": {"arguments": long}});
    for (name, body) in [
        ("messages", json!({"messages": [{"role": "assistant", "tool_calls": [call]}]})),
        ("messages", json!({"messages": [{"role": "assistant", "reasoning_content": long}]})),
        ("messages", json!({"messages": [{"role": "user", "name": long}]})),
        ("messages", json!({"messages": [user(json!([{"type": "refusal", "refusal": long}]))]})),
        ("messages", json!({"messages": [user(json!([{"type": "?", "anything": [[long]]}]))]})),
        ("messages", json!({"messages": {"a": long}})),
        ("input", json!({"input": long})),
        (
            "input",
            json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": long}]}]}),
        ),
        ("instructions", json!({"input": "hi", "instructions": long})),
        ("prompt", json!({"prompt": [long]})),
        ("suffix", json!({"prompt": "12345", "suffix": "123456"})),
        // A template writes a role as it is.
        ("messages", json!({"messages": [{"role": "r".repeat(65), "content": ""}]})),
    ] {
        let found = check(&limits, &body);
        assert_eq!(found.len(), 1, "{body}");
        assert_eq!(found[0].0, format!("/{name}"), "{body}");
    }
    let words = json!({"role": "assistant", "id": "identifier-of-it", "status": "completed---"});
    assert_eq!(check(&limits, &json!({"messages": [words]})), []);
}

#[test]
fn counts_images() {
    let limits = ChatLimits::new().max_images(1);
    let beyond = "must not have more than 1 images in all";
    let image = json!({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}});
    assert_eq!(check(&limits, &json!({"messages": [user(json!([image]))]})), []);
    let rejected = said("/messages", "images", beyond);
    assert_eq!(check(&limits, &json!({"messages": [user(json!([image, image]))]})), rejected);
    // One in each of two messages.
    let body = json!({"messages": [user(json!([image])), user(json!([image]))]});
    assert_eq!(check(&limits, &body), rejected);
    // An image without its type, a type without its image, and the names of others.
    for other in [
        json!({"type": "text", "text": "", "image_url": "https://example.org"}),
        json!({"type": "image_url"}),
        json!({"type": "image", "image": "https://example.org"}),
        json!({"type": "tool_result", "content": [{"type": "image"}]}),
    ] {
        let body = json!({"messages": [user(json!([image, other]))]});
        assert_eq!(check(&limits, &body), rejected, "{other}");
    }
    let input = json!({"type": "input_image", "image_url": "https://example.org", "detail": "low"});
    let body = json!({"input": [{"role": "user", "content": [input, input]}]});
    assert_eq!(check(&limits, &body), said("/input", "images", beyond));
    let none = ChatLimits::new().max_images(0);
    assert_eq!(check(&none, &json!({"messages": [user("![](https://example.org/a.png)")]})), []);
}

#[test]
fn counts_tools_under_both_names() {
    let limits = ChatLimits::new().max_tools(1);
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let too_many = "must not have more than 1 tools";
    assert_eq!(check(&limits, &json!({"tools": [tool]})), []);
    assert_eq!(check(&limits, &json!({"tools": null, "functions": [tool]})), []);
    assert_eq!(check(&limits, &json!({"tools": [tool, tool]})), said("/tools", "tools", too_many));
    let both = json!({"tools": [tool], "functions": [tool]});
    assert_eq!(check(&limits, &both), said("/functions", "tools", too_many));
}

#[test]
fn choices_are_compared_by_value() {
    let limits = ChatLimits::new().max_choices(3);
    for within in ["0", "1", "3", "null", "3.0", "1e0", "30E-1", "-0", "0.0"] {
        assert_eq!(check_text(&limits, &format!(r#"{{"n": {within}}}"#)), [], "{within}");
    }
    for beyond in [
        "4",
        "4.0",
        "1e1",
        "3E-1",
        "-1",
        "-1.0",
        "\"3\"",
        "[1]",
        "{}",
        "true",
        "18446744073709551616",
        "0.5",
    ] {
        assert_eq!(
            check_text(&limits, &format!(r#"{{"n": {beyond}}}"#)),
            said("/n", "n", "must be an integer of at most 3"),
            "{beyond}"
        );
    }
    assert_eq!(check(&limits, &json!({"n": 1, "best_of": 4}))[0].0, "/best_of");
    assert_eq!(check(&limits, &json!({})), []);
}

#[test]
fn tgi_requests_and_instances_are_limited() {
    let limits = ChatLimits::new().max_messages(1).max_characters(10).max_images(0).max_choices(2);
    let beyond = "must not have more than 10 characters of text in all";
    let count = "must be an integer of at most 2";
    let long = "elevenchars";
    for (body, expected) in [
        (json!({"inputs": long}), said("/inputs", "characters", beyond)),
        (
            json!({"inputs": "a", "parameters": {"best_of": 3}}),
            said("/parameters/best_of", "n", count),
        ),
        (
            json!({"inputs": "a", "parameters": {"num_return_sequences": "3"}}),
            said("/parameters/num_return_sequences", "n", count),
        ),
        (json!({"text": "a", "sampling_params": {"n": 3}}), said("/sampling_params/n", "n", count)),
        (json!({"parameters": {"Best_of": 2}}), said("/parameters/best_of", "n", count)),
        (
            json!({"instances": [{"inputs": "a"}, {"inputs": long}]}),
            said("/instances/1/inputs", "characters", beyond),
        ),
        (json!({"instances": ["a", long]}), said("/instances/1", "characters", beyond)),
        (
            json!({"instances": [{"messages": [user("a"), user("b")]}]}),
            said("/instances/0/messages", "messages", "must not have more than 1 messages"),
        ),
        (json!({"instances": [{"n": 3}]}), said("/instances/0/n", "n", count)),
    ] {
        assert_eq!(check(&limits, &body), expected, "{body}");
    }
    for body in [
        json!({"inputs": "a", "parameters": {"best_of": 2}}),
        json!({"instances": [{"inputs": "ten chars!"}, {"inputs": "ten chars!"}], "parameters": null}),
    ] {
        assert_eq!(check(&limits, &body), [], "{body}");
    }
    let name = "differs only in case from a limited member";
    for twin in ["Inputs", "INSTANCES", "Parameters"] {
        let found = check(&limits, &json!({ twin: 5 }));
        assert_eq!(found, said(&format!("/{twin}"), "name", name));
    }
}

#[test]
fn stream_can_be_required_or_forbidden() {
    let required = ChatLimits::new().streaming(Streaming::Required);
    let forbidden = ChatLimits::new().streaming(Streaming::Forbidden);
    for (stream, either) in [
        ("true", (true, false)),
        ("false", (false, true)),
        ("null", (false, true)),
        // Neither says that a stream is asked for, nor that it is not.
        ("1", (false, false)),
        ("\"true\"", (false, false)),
        ("\"false\"", (false, false)),
        ("[]", (false, false)),
    ] {
        let body = format!(r#"{{"stream": {stream}}}"#);
        let passes =
            (check_text(&required, &body).is_empty(), check_text(&forbidden, &body).is_empty());
        assert_eq!(passes, either, "{stream}");
    }
    assert_eq!(check(&required, &json!({})), said("/stream", "streaming", "must be true"));
    assert_eq!(check(&forbidden, &json!({})), []);
    let rejected = said("/stream", "streaming", "must be false");
    assert_eq!(check(&forbidden, &json!({"stream": true})), rejected);
}

#[test]
fn each_limit_has_its_own_violation() {
    let limits = ChatLimits::new()
        .max_messages(0)
        .max_characters(1)
        .max_images(0)
        .max_tools(0)
        .max_choices(1)
        .streaming(Streaming::Forbidden);
    let image = json!({"type": "image_url", "image_url": {"url": "https://example.org"}});
    let body = json!({
        "messages": [user(json!([image, {"type": "text", "text": "canary"}]))],
        "tools": [{}], "n": 7001, "stream": true,
    });
    let found = check(&limits, &body);
    let places: Vec<_> = found.iter().map(|(at, what, _)| (at.as_str(), what.as_str())).collect();
    let expected = [
        ("/messages", "messages"),
        ("/messages", "characters"),
        ("/messages", "images"),
        ("/tools", "tools"),
        ("/n", "n"),
        ("/stream", "streaming"),
    ];
    assert_eq!(places, expected);
    assert!(!format!("{found:?}").contains("canary") && !format!("{found:?}").contains("7001"));
}

#[test]
fn deepest_message_is_counted() {
    use tower_inference::payload::DocumentBounds;

    let depth = 1_000;
    let body =
        format!(r#"{{"messages": {}"{}"{}}}"#, "[".repeat(depth), "x".repeat(5), "]".repeat(depth));
    let document = Document::parse_within(body, DocumentBounds::new().max_depth(1_024)).unwrap();
    assert_eq!(ChatLimits::new().max_characters(5).max_images(0).check(&document), []);
    assert_eq!(ChatLimits::new().max_characters(4).check(&document).len(), 1);
}

#[test]
fn name_in_another_case_is_rejected() {
    let limits = ChatLimits::new().max_messages(1).max_choices(1);
    for name in ["N", "Messages", "message\u{17f}", "TOOLS", "Stream"] {
        let found = check(&limits, &json!({ name: 5 }));
        let detail = "differs only in case from a limited member";
        assert_eq!(found, said(&format!("/{name}"), "name", detail), "{name}");
    }
    assert_eq!(check(&limits, &json!({ "Model": "m", "nn": 5 })), []);
}
