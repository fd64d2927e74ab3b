//! What a verdict allocates.

use serde_json::{Value, json};
use tower_inference::{payload::Document, schema::Schema};

/// A schema as those for chats are.
fn chat() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string", "minLength": 1},
            "messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/message"}},
            "temperature": {"type": "number", "minimum": 0, "maximum": 2, "nullable": true},
            "max_tokens": {"type": "integer", "minimum": 1, "nullable": true},
            "n": {"type": "integer", "minimum": 1, "maximum": 128},
            "stream": {"type": "boolean", "nullable": true},
            "stop": {"anyOf": [text, {"type": "array", "items": text, "maxItems": 4}]},
            "tool_choice": {"enum": ["none", "auto", "required"]},
        },
        "$defs": {
            "message": {
                "type": "object",
                "required": ["role"],
                "properties": {
                    "role": {"enum": ["system", "user", "assistant", "tool"]},
                    "content": {"anyOf": [text, {"type": "array", "items": {"type": "object"}}]},
                },
            },
        },
    })
}

const BODY: &str = r#"{"model":"meta-llama/Llama-3.3-70B-Instruct","messages":[{"role":"system","content":"Answer in one sentence.\n"},{"role":"user","content":"Name the rivers that rise in the Alps, \"north\" to south, and say where each of them ends."}],"temperature":0.7,"max_tokens":256,"n":1,"stop":["\n\n","END"],"tool_choice":"auto","stream":false,"user":"a-caller"}"#;

#[test]
fn a_verdict_on_a_chat_allocates_nothing() {
    let schema = Schema::new(&chat()).unwrap();
    let document = Document::parse(BODY).unwrap();
    let measured = allocation_counter::measure(|| assert!(schema.is_valid(&document)));
    assert_eq!(measured.count_total, 0, "{measured:?}");
}

#[test]
fn what_is_read_escaped_is_what_is_allocated() {
    let lengths = Schema::new(&json!({"items": {"minLength": 2, "maxLength": 3}})).unwrap();
    let document = Document::parse(r#"["\u00e9\n", "\ud83d\ude00ab"]"#).unwrap();
    let measured = allocation_counter::measure(|| assert!(lengths.is_valid(&document)));
    assert_eq!(measured.count_total, 0, "{measured:?}");
    let names = Schema::new(&json!({"properties": {"ab": {"const": "cd"}}})).unwrap();
    let document = Document::parse(r#"{"a\u0062": "c\u0064"}"#).unwrap();
    let measured = allocation_counter::measure(|| assert!(names.is_valid(&document)));
    assert_eq!(measured.count_total, 2, "{measured:?}");
}
