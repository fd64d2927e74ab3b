use std::{error::Error, fmt, sync::Arc};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::{
    arena::{Arena, Instance},
    explain::explain,
};
use crate::{payload::Document, rejection::Violation};

/// A JSON Schema, compiled once. Copies are cheap and share it.
#[derive(Clone)]
pub struct Schema {
    validator: Arc<Validator<Arena>>,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// When it is not a legal schema, or refers to what is not in it.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        let options = jsonschema::options_for::<Arena>()
            .offline()
            .with_pattern_options(PatternOptions::regex());
        let validator = options.build(schema).map_err(|_| SchemaError::Illegal)?;
        Ok(Self { validator: Arc::new(validator) })
    }

    /// Whether a document is as the schema says.
    #[must_use]
    pub fn is_valid(&self, document: &Document) -> bool {
        self.validator.is_valid(Instance::Value(document.root()))
    }

    /// Whether a string that stands in no document is as the schema says.
    pub(super) fn is_valid_text(&self, text: &str) -> bool {
        self.validator.is_valid(Instance::Name(text))
    }

    /// Where a document breaks the schema; none when it does not.
    #[must_use]
    pub fn violations(&self, document: &Document) -> Vec<Violation> {
        explain(&self.validator, document)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SchemaError {
    /// It is not a legal schema.
    Illegal,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the schema is not legal")
    }
}

impl Error for SchemaError {}
