use jsonschema::Validator;

use super::arena::{Arena, Instance};
use crate::{payload::Document, rejection::Violation};

/// Where `document` breaks the schema.
pub(super) fn explain(validator: &Validator<Arena>, document: &Document) -> Vec<Violation> {
    let errors = validator.iter_errors(Instance::Value(document.root()));
    let violation = |error: jsonschema::ValidationError<'_>| {
        Violation::new(
            error.instance_path().as_str(),
            error.kind().keyword().to_owned(),
            "breaks the schema",
        )
    };
    errors.map(violation).collect()
}
