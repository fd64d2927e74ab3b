//! Where a document breaks its schema, said so that a person sees what to fix.
//!
//! Details cost what validation costs once more, and within fixed bounds whatever the document:
//! see [`ExplainBudget`]. The validator passes over a view of the document that ends
//! early, and what it finds after that is dropped, so that all that is said is true.

pub(crate) mod bounded_json;
mod budget;
mod expected;
mod finding;
mod nearest;
mod text;

use jsonschema::{ValidationError, Validator};

use self::{
    bounded_json::{BoundedInstance, BoundedJson},
    budget::ExplainBudget,
    finding::Finding,
    nearest::findings,
};
use crate::{payload::Document, rejection::Violation};

/// Where `document` breaks the schema, in its order, at most `at_most` places and at least one. To
/// be asked of a document that is known to break it.
pub(crate) fn explain(
    validator: &Validator<BoundedJson>,
    limits: Option<(usize, usize)>,
    document: &Document,
    at_most: usize,
) -> Vec<Violation> {
    let whole = || vec![Violation::new("", "schema", "is not as the schema says")];
    let Some((levels, schemas)) = limits else { return whole() };
    let budget = ExplainBudget::new(document, levels, schemas);
    let view = BoundedInstance::of_document(document, &budget);
    let errors: Vec<ValidationError<'_>> = validator.iter_errors(view).collect();
    let mut found: Vec<_> = errors.iter().flat_map(|error| findings(error, document)).collect();
    found.sort_by_key(|finding| finding.index);

    let mut told: Vec<Finding<'_>> = Vec::new();
    let mut more = budget.is_shortened();
    for finding in found {
        if told.contains(&finding) {
            continue;
        }
        if told.len() >= at_most.max(1) {
            more = true;
            break;
        }
        told.push(finding);
    }

    let mut violations: Vec<Violation> = Vec::new();
    for finding in told {
        let violation = finding.violation(document);
        // Two places that are too far in may lie in the same one.
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    }
    match violations.last_mut() {
        Some(last) if more => last.detail.push_str(MORE),
        Some(_) => {}
        None => return whole(),
    }
    violations
}

/// What the last place says when there are others.
const MORE: &str = "; and there is more, which is not shown";
