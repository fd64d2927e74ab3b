use std::{error::Error, fmt, sync::Arc};

use jsonschema::{PatternOptions, Validator, json::Json};
use serde_json::Value;

use super::{
    arena::{Arena, Instance},
    explain::explain,
    watched::Watched,
};
use crate::{payload::Document, rejection::Violation};

/// A JSON Schema, compiled once. Copies are cheap and share it.
#[derive(Clone)]
pub struct Schema {
    validator: Arc<Validator<Arena>>,
    // The same once more, over a view that bounds what an answer costs.
    explainer: Arc<Validator<Watched>>,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    ///
    /// When it is not a legal schema, or refers to what is not in it.
    pub fn new(schema: &Value) -> Result<Self, SchemaError> {
        Ok(Self { validator: Arc::new(compile(schema)?), explainer: Arc::new(compile(schema)?) })
    }

    /// Whether a document is as the schema says.
    #[must_use]
    pub fn is_valid(&self, document: &Document) -> bool {
        self.validator.is_valid(Instance::Value(document.root()))
    }

    /// Where a document breaks the schema; none when it does not.
    #[must_use]
    pub fn violations(&self, document: &Document) -> Vec<Violation> {
        if self.is_valid(document) {
            return Vec::new();
        }
        explain(&self.explainer, document, MOST_VIOLATIONS)
    }
}

/// How many places an answer tells.
const MOST_VIOLATIONS: usize = 16;

fn compile<F: Json>(schema: &Value) -> Result<Validator<F>, SchemaError> {
    let options =
        jsonschema::options_for::<F>().offline().with_pattern_options(PatternOptions::regex());
    options.build(schema).map_err(|_| SchemaError::Illegal)
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
