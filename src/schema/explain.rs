//! Where a document breaks its schema, said so that a person sees what to fix.
//!
//! Details cost what validation costs once more, and within fixed bounds whatever the document:
//! see [`Watch`](super::watched::Watch). The validator passes over a view of the document that ends
//! early, and what it finds after that is dropped, so that all that is said is true.

use jsonschema::{ValidationError, Validator};

use super::{
    finding::Finding,
    nearest::findings,
    reach::Reach,
    watched::{Watch, Watched},
};
use crate::{payload::Document, rejection::Violation};

/// Where `document` breaks the schema, in its order, at most `at_most` places and at least one. To
/// be asked of a document that is known to break it.
pub(super) fn explain(
    validator: &Validator<Watched>,
    reach: Reach,
    document: &Document,
    at_most: usize,
) -> Vec<Violation> {
    let whole = || vec![Violation::new("", "schema", "is not as the schema says")];
    let Some(levels) = reach.levels(MOST_SCHEMAS) else { return whole() };
    let watch = Watch::new(document, levels, reach.at_one_value());
    let errors: Vec<ValidationError<'_>> = validator.iter_errors(watch.view(document)).collect();
    let mut found: Vec<_> = errors.iter().flat_map(|error| findings(error, document)).collect();
    found.sort_by_key(|finding| finding.index);

    let mut told: Vec<Finding<'_>> = Vec::new();
    let mut more = watch.is_shortened();
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

/// How many schemas may stand in one another while details are gathered: what a stack of two
/// megabytes holds in a build that is not optimized. To gather takes more of it than to judge.
const MOST_SCHEMAS: usize = 600;

/// What the last place says when there are others.
const MORE: &str = "; and there is more, which is not shown";
