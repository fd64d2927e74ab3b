//! Where no alternative fits: the one that came nearest is told.

use serde_json::{Value, json};

use crate::{answers::chat, chat_with, lines};

fn content(content: Value) -> Value {
    chat_with("messages", json!([{"role": "user", "content": content}]))
}

#[test]
fn alternatives_that_differ_in_type_are_told_together() {
    let told = lines(&chat(), &content(json!(5)));
    assert_eq!(told, "/messages/0/content: must be a string, an array or null");
    let told = lines(&chat(), &chat_with("stop", json!(5)));
    assert_eq!(told, "/stop: must be a string, an array or null");
    let told = lines(&chat(), &chat_with("tool_choice", json!(5)));
    assert_eq!(told, "/tool_choice: must be a string or an object");
    let input = json!({"anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    ]});
    assert_eq!(lines(&input, &json!({})), ": must be a string or an array");
}

#[test]
fn the_alternative_of_the_right_type_is_told() {
    let told = lines(&chat(), &chat_with("stop", json!(["a", 5])));
    assert_eq!(told, "/stop/1: must be a string");
    let told = lines(&chat(), &chat_with("stop", json!(["a", "b", "c", "d", "e"])));
    assert_eq!(told, "/stop: must not have more than 4 elements");
    let told = lines(&chat(), &chat_with("tool_choice", json!("always")));
    assert_eq!(told, "/tool_choice: must be one of: none, auto, required");
    let told = lines(&chat(), &chat_with("tool_choice", json!({"type": "function"})));
    assert_eq!(told, "/tool_choice: function is required");
    let function = json!({"type": "function", "function": {"name": 5}});
    let told = lines(&chat(), &chat_with("tool_choice", function));
    assert_eq!(told, "/tool_choice/function/name: must be a string");
}

#[test]
fn an_enum_without_a_type_is_of_the_type_of_its_options() {
    let choice = json!({"anyOf": [{"enum": ["none", "auto"]}, {"type": "object"}]});
    assert_eq!(lines(&choice, &json!(5)), ": must be a string or an object");
    assert_eq!(lines(&choice, &json!("x")), ": must be one of: none, auto");
}

#[test]
fn the_alternative_that_the_discriminator_names_is_told() {
    let image = json!([{"type": "image_url", "image_url": "https://example.org"}]);
    let told = lines(&chat(), &content(image));
    assert_eq!(told, "/messages/0/content/0/image_url: must be an object");
    let image = json!([{"type": "image_url", "image_url": {"url": "x", "detail": "huge"}}]);
    let told = lines(&chat(), &content(image));
    assert_eq!(told, "/messages/0/content/0/image_url/detail: must be one of: auto, low, high");
    let told = lines(&chat(), &content(json!([{"type": "text"}])));
    assert_eq!(told, "/messages/0/content/0: text is required");
    let told = lines(&chat(), &chat_with("response_format", json!({"type": "json_schema"})));
    assert_eq!(told, "/response_format: json_schema is required");
}

#[test]
fn a_discriminator_that_names_no_alternative_is_told_with_all_it_may_be() {
    let told = lines(&chat(), &content(json!([{"type": "video", "text": "x"}])));
    assert_eq!(told, "/messages/0/content/0/type: must be one of: text, image_url");
    let told = lines(&chat(), &chat_with("response_format", json!({"type": "xml"})));
    assert_eq!(told, "/response_format/type: must be one of: text, json_object, json_schema");
    // Without one, what all alternatives want.
    let told = lines(&chat(), &content(json!([{"text": "x"}, {}])));
    let expected = "/messages/0/content/0: type is required\n\
                    /messages/0/content/1: type is required";
    assert_eq!(told, expected);
}

#[test]
fn of_like_alternatives_the_one_with_the_fewest_faults_then_the_furthest_is_told() {
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
fn the_alternative_that_fails_deeper_is_told() {
    let schema = json!({"anyOf": [
        {"required": ["url"], "properties": {"url": {"type": "string"}}},
        {"required": ["file"], "properties": {"file": {"type": "string"}}},
    ]});
    assert_eq!(lines(&schema, &json!({"file": 5})), "/file: must be a string");
    assert_eq!(lines(&schema, &json!({})), ": one of these is required: url, file");
}

#[test]
fn alternatives_in_alternatives_are_told_to_the_end() {
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
