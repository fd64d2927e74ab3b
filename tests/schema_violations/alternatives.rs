//! The closest alternative is reported if none matches.

use serde_json::{Value, json};

use crate::{chat_with, lines, violations::chat};

fn content(content: Value) -> Value {
    chat_with("messages", json!([{"role": "user", "content": content}]))
}

#[test]
fn types_of_alternatives_are_merged() {
    let reported = lines(&chat(), &content(json!(5)));
    assert_eq!(reported, "/messages/0/content: must be a string, an array or null");
    let reported = lines(&chat(), &chat_with("stop", json!(5)));
    assert_eq!(reported, "/stop: must be a string, an array or null");
    let reported = lines(&chat(), &chat_with("tool_choice", json!(5)));
    assert_eq!(reported, "/tool_choice: must be a string or an object");
    let input = json!({"anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    ]});
    assert_eq!(lines(&input, &json!({})), ": must be a string or an array");
}

#[test]
fn alternative_of_the_right_type_is_reported() {
    let reported = lines(&chat(), &chat_with("stop", json!(["a", 5])));
    assert_eq!(reported, "/stop/1: must be a string");
    let reported = lines(&chat(), &chat_with("stop", json!(["a", "b", "c", "d", "e"])));
    assert_eq!(reported, "/stop: must not have more than 4 elements");
    let reported = lines(&chat(), &chat_with("tool_choice", json!("always")));
    assert_eq!(reported, "/tool_choice: must be one of: none, auto, required");
    let reported = lines(&chat(), &chat_with("tool_choice", json!({"type": "function"})));
    assert_eq!(reported, "/tool_choice: function is required");
    let function = json!({"type": "function", "function": {"name": 5}});
    let reported = lines(&chat(), &chat_with("tool_choice", function));
    assert_eq!(reported, "/tool_choice/function/name: must be a string");
}

#[test]
fn enum_without_a_type_has_the_type_of_its_options() {
    let choice = json!({"anyOf": [{"enum": ["none", "auto"]}, {"type": "object"}]});
    assert_eq!(lines(&choice, &json!(5)), ": must be a string or an object");
    assert_eq!(lines(&choice, &json!("x")), ": must be one of: none, auto");
}

#[test]
fn alternative_of_the_discriminator_is_reported() {
    let image = json!([{"type": "image_url", "image_url": "https://example.org"}]);
    let reported = lines(&chat(), &content(image));
    assert_eq!(reported, "/messages/0/content/0/image_url: must be an object");
    let image = json!([{"type": "image_url", "image_url": {"url": "x", "detail": "huge"}}]);
    let reported = lines(&chat(), &content(image));
    assert_eq!(reported, "/messages/0/content/0/image_url/detail: must be one of: auto, low, high");
    let reported = lines(&chat(), &content(json!([{"type": "text"}])));
    assert_eq!(reported, "/messages/0/content/0: text is required");
    let reported = lines(&chat(), &chat_with("response_format", json!({"type": "json_schema"})));
    assert_eq!(reported, "/response_format: json_schema is required");
}

#[test]
fn unknown_discriminator_lists_its_values() {
    let reported = lines(&chat(), &content(json!([{"type": "video", "text": "x"}])));
    assert_eq!(reported, "/messages/0/content/0/type: must be one of: text, image_url");
    let reported = lines(&chat(), &chat_with("response_format", json!({"type": "xml"})));
    assert_eq!(reported, "/response_format/type: must be one of: text, json_object, json_schema");
    // Without one, what all alternatives want.
    let reported = lines(&chat(), &content(json!([{"text": "x"}, {}])));
    let expected = "/messages/0/content/0: type is required\n\
                    /messages/0/content/1: type is required";
    assert_eq!(reported, expected);
}

#[test]
fn alternative_with_fewest_then_latest_violations_is_reported() {
    let input = json!({"anyOf": [
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}},
    ]});
    assert_eq!(lines(&input, &json!(["a", "b", 1])), "/2: must be a string");
    assert_eq!(lines(&input, &json!([1, 2, "a"])), "/2: must be an integer");
    assert_eq!(lines(&input, &json!([1, "a"])), "/1: must be an integer");
    assert_eq!(lines(&input, &json!(["a", 1])), "/1: must be a string");
}

#[test]
fn alternative_that_fails_deeper_is_reported() {
    let schema = json!({"anyOf": [
        {"required": ["url"], "properties": {"url": {"type": "string"}}},
        {"required": ["file"], "properties": {"file": {"type": "string"}}},
    ]});
    assert_eq!(lines(&schema, &json!({"file": 5})), "/file: must be a string");
    assert_eq!(lines(&schema, &json!({})), ": one of these is required: url, file");
}

#[test]
fn nested_alternatives_are_reported() {
    let schema = json!({"anyOf": [
        {"type": "null"},
        {"oneOf": [
            {"type": "string"},
            {"allOf": [{"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]}]},
        ]},
    ]});
    assert_eq!(lines(&schema, &json!({})), ": must be a string, a boolean, an array or null");
    assert_eq!(lines(&schema, &json!([1])), "/0: must be a string");
}
