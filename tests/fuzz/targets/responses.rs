//! Validates arbitrary bytes by many schemas and by the built-in ones.
#![no_main]

#[path = "../../support/violations.rs"]
mod violations;

use std::sync::LazyLock;

use tower_inference::{
    model::Profile,
    schema::{BuiltInSchemas, Schema},
};

static SCHEMAS: LazyLock<Vec<Schema>> = LazyLock::new(|| {
    let mut schemas = violations::compiled();
    let built_in = BuiltInSchemas::new(Profile::openai());
    schemas.extend([built_in.chat_completion(), built_in.embeddings(), built_in.responses()]);
    schemas
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| violations::hold(&SCHEMAS, bytes));
