//! Allocations of a validation.

use serde_json::json;
use tower_inference::{payload::Document, schema::Schema};

use crate::chat;

#[test]
fn validating_a_chat_does_not_allocate() {
    let schema = Schema::new(&chat::schema()).unwrap();
    let document = Document::parse(chat::body(320)).unwrap();
    let measured = allocation_counter::measure(|| assert!(schema.is_valid(&document)));
    assert_eq!(measured.count_total, 0, "{measured:?}");
}

#[test]
fn only_escaped_text_is_allocated() {
    let lengths = Schema::new(&json!({"items": {"minLength": 2, "maxLength": 3}})).unwrap();
    let document = Document::parse(r#"["\u00e9\n", "\ud83d\ude00ab"]"#).unwrap();
    let measured = allocation_counter::measure(|| assert!(lengths.is_valid(&document)));
    assert_eq!(measured.count_total, 0, "{measured:?}");
    let names = Schema::new(&json!({"properties": {"ab": {"const": "cd"}}})).unwrap();
    let document = Document::parse(r#"{"a\u0062": "c\u0064"}"#).unwrap();
    let measured = allocation_counter::measure(|| assert!(names.is_valid(&document)));
    assert_eq!(measured.count_total, 2, "{measured:?}");
}
