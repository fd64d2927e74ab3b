//! Describes where a document violates its schema so that a person can fix it.
//!
//! Collecting violations costs one more validation within fixed bounds for any document: see
//! [`ExplainBudget`]. The validator iterates over a view of the document that ends early. Errors
//! after that point are dropped, so every reported violation is true.

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

/// Returns at least one and at most `at_most` violations in document order. The document must be
/// invalid.
pub(crate) fn explain(
    validator: &Validator<BoundedJson>,
    limits: Option<(usize, usize)>,
    document: &Document,
    at_most: usize,
) -> Vec<Violation> {
    let whole = || vec![Violation::new("", "schema", "does not match the schema")];
    let Some((levels, schemas)) = limits else { return whole() };
    let budget = ExplainBudget::new(document, levels, schemas);
    let view = BoundedInstance::of_document(document, &budget);
    let errors: Vec<ValidationError<'_>> = validator.iter_errors(view).collect();
    let mut found: Vec<_> = errors.iter().flat_map(|error| findings(error, document)).collect();
    found.sort_by_key(|finding| finding.index);

    let mut shown: Vec<Finding<'_>> = Vec::new();
    let mut more = budget.is_shortened();
    for finding in found {
        if shown.contains(&finding) {
            continue;
        }
        if shown.len() >= at_most.max(1) {
            more = true;
            break;
        }
        shown.push(finding);
    }

    let mut violations: Vec<Violation> = Vec::new();
    for finding in shown {
        let violation = finding.violation(document);
        // Two deep positions may share a shortened pointer.
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

/// The suffix of the last violation if others were left out.
const MORE: &str = "; more violations are not shown";
