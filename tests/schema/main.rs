//! Compiling schemas and validating documents.

#[path = "../support/chat.rs"]
mod chat;
#[path = "../support/conformance.rs"]
mod conformance;

mod allocations;
mod bounds;
mod build;
mod generated;
mod nullable;
mod numbers;
mod suite;

use serde_json::Value;
use tower_inference::{
    payload::{Document, DocumentBounds},
    schema::{Draft, Schema},
};

const DRAFTS: [Draft; 5] =
    [Draft::Draft4, Draft::Draft6, Draft::Draft7, Draft::Draft201909, Draft::Draft202012];

/// Whether a schema accepts a document, as it is written.
fn accepts(schema: &Schema, document: &str) -> bool {
    let bounds = DocumentBounds::new().max_depth(1_024).max_values(4_000_000);
    schema.is_valid(&Document::parse_within(document.to_owned(), bounds).unwrap())
}

/// Which of the documents a schema accepts.
fn accepted<const N: usize>(schema: &Value, documents: [&'static str; N]) -> Vec<&'static str> {
    accepted_in(Draft::Draft202012, schema, documents)
}

fn accepted_in<const N: usize>(
    draft: Draft,
    schema: &Value,
    documents: [&'static str; N],
) -> Vec<&'static str> {
    let schema = Schema::builder().draft(draft).build(schema).unwrap();
    documents.into_iter().filter(|document| accepts(&schema, document)).collect()
}
