//! Schemas: how they are compiled, and what they say of a document.

mod suite;

use serde_json::Value;
use tower_inference::{payload::Document, schema::Schema};

/// Whether a schema accepts a document, as it is written.
fn accepts(schema: &Schema, document: &str) -> bool {
    schema.is_valid(&Document::parse(document.to_owned()).unwrap())
}

/// Whether `schema` accepts each of the documents.
fn verdicts<const N: usize>(schema: &Value, documents: [&str; N]) -> [bool; N] {
    let schema = Schema::new(schema).unwrap();
    documents.map(|document| accepts(&schema, document))
}
