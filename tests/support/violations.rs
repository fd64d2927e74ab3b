//! Properties of all violations, for tests and fuzzing.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use serde_json::{Value, json};
use tower_inference::{payload::Document, schema::Schema};

/// That the answer of each schema, whatever the bytes, is bounded, points to places that are
/// there, and is given exactly when the document breaks the schema.
pub fn hold(schemas: &[Schema], bytes: &[u8]) {
    let Ok(document) = Document::parse(bytes.to_vec()) else { return };
    for schema in schemas {
        let violations = schema.violations(&document);
        assert_eq!(violations.is_empty(), schema.is_valid(&document));
        assert!(violations.len() <= 16);
        for (at, violation) in violations.iter().enumerate() {
            assert!(violation.pointer.len() <= 256 && violation.detail.len() < 2_000);
            assert!(document.root().pointer(&violation.pointer).is_some(), "{violation:?}");
            assert!(!violations[..at].contains(violation));
        }
    }
}

/// [`schemas`], compiled.
pub fn compiled() -> Vec<Schema> {
    schemas().iter().map(|schema| Schema::new(schema).unwrap()).collect()
}

/// Schemas of many kinds.
pub fn schemas() -> Vec<Value> {
    vec![
        chat(),
        json!({"type": "string", "pattern": "^a$", "maxLength": 3}),
        json!({"additionalProperties": false, "properties": {"a": {"const": 1}}}),
        json!({"unevaluatedProperties": false, "unevaluatedItems": false, "minItems": 9}),
        json!({"propertyNames": {"anyOf": [{"maxLength": 2}, {"pattern": "^b"}]}, "contains": {"const": 5}}),
        json!({"not": {"type": ["object", "array"]}, "uniqueItems": true}),
        json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"anyOf": [
            {"type": "boolean"},
            {"type": "array", "items": {"$ref": "#/$defs/tree"}, "minItems": 1},
            {"type": "array", "items": {"enum": [1, 2]}},
            {"type": "object", "additionalProperties": {"$ref": "#/$defs/tree"}, "required": ["a"]},
        ]}}}),
        json!({"if": {"type": "object"}, "then": {"required": ["zz"], "dependentRequired": {"a": ["b"]}},
            "else": {"multipleOf": 7, "exclusiveMaximum": 3, "minLength": 100, "format": "email"}}),
        json!({"oneOf": [true, {"type": "array"}, {"type": "string"}]}),
        json!(false),
    ]
}

/// A chat completion as OpenAI has it, cut down to what shows how answers read.
pub fn chat() -> Value {
    let part = |kind: &str, members: Value, required: Value| {
        let mut properties = members;
        properties["type"] = json!({"const": kind});
        json!({"type": "object", "properties": properties, "required": required})
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": {"type": "string", "minLength": 1},
            "messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/message"}},
            "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
            "stop": {"anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "maxItems": 4},
                {"type": "null"},
            ]},
            "tool_choice": {"anyOf": [
                {"type": "string", "enum": ["none", "auto", "required"]},
                {"type": "object", "required": ["type", "function"], "properties": {
                    "type": {"const": "function"},
                    "function": {"type": "object", "required": ["name"],
                        "properties": {"name": {"type": "string", "maxLength": 64}}},
                }},
            ]},
            "response_format": {"oneOf": [
                part("text", json!({}), json!(["type"])),
                part("json_object", json!({}), json!(["type"])),
                part("json_schema", json!({"json_schema": {"type": "object"}}),
                    json!(["type", "json_schema"])),
            ]},
        },
        "$defs": {"message": {
            "type": "object",
            "required": ["role"],
            "properties": {
                "role": {"enum": ["system", "user", "assistant"]},
                "content": {"anyOf": [
                    {"type": "string"},
                    {"type": "null"},
                    {"type": "array", "items": {"oneOf": [
                        part("text", json!({"text": {"type": "string"}}), json!(["type", "text"])),
                        part("image_url", json!({"image_url": {
                            "type": "object", "required": ["url"],
                            "properties": {
                                "url": {"type": "string"},
                                "detail": {"enum": ["auto", "low", "high"]},
                            },
                        }}), json!(["type", "image_url"])),
                    ]}},
                ]},
            },
        }},
    })
}
