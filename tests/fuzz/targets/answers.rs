//! Any bytes, held to schemas of many kinds and to the crate's own.
#![no_main]

#[path = "../../support/answers.rs"]
mod answers;

use std::sync::LazyLock;

use tower_inference::schema::Schema;

static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    let mut schemas = answers::compiled();
    schemas.extend([Schema::chat_completion(), Schema::embeddings(), Schema::responses()]);
    schemas
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| answers::hold(&SCHEMAS, bytes));
