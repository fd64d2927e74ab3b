//! Converts validator errors to findings. If all alternatives fail then only the closest one is
//! reported.

use std::{borrow::Cow, cmp::Reverse};

use jsonschema::{ValidationError, error::ValidationErrorKind as Kind};

use super::{
    bounded_json::{index_of, shown},
    expected::Expected,
    finding::{Finding, Within, depth},
    text::MOST_OPTIONS,
};
use crate::payload::{Document, Node};

/// Returns the findings of an error. Returns none for an error from a shortened view.
pub(crate) fn findings<'e>(
    error: &'e ValidationError<'_>,
    document: &Document,
) -> Vec<Finding<'e>> {
    if let Kind::AnyOf { context } | Kind::OneOfNotValid { context } = error.kind() {
        // The validator knows that no alternative matches before it collects their errors. One true
        // error for each alternative suffices.
        let nearest = nearest(error, context, document);
        if !nearest.is_empty() {
            return nearest;
        }
    }
    let Some(index) = index_of(error.instance()) else { return Vec::new() };
    let finding = |expected| Finding {
        index,
        path: error.instance_path().as_str(),
        within: Within::Nothing,
        keyword: Cow::Borrowed(error.kind().keyword()),
        expected,
    };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            // The names are in document order.
            let mut unexpected = unexpected.iter();
            let mut next = unexpected.next();
            let is_next = |name: &str| {
                let found = next.is_some_and(|next| next == shown(name));
                if found {
                    next = unexpected.next();
                }
                found
            };
            unknown_members(index, document, is_next, &finding(Expected::Known))
        }
        Kind::FalseSchema => {
            let schema = error.schema_path().as_str();
            // The error is about the first member's value, which follows its name.
            let object = index.saturating_sub(2);
            let all = if is_keyword(schema, "/propertyNames") {
                unknown_members(index, document, |_| true, &finding(Expected::Known))
            } else if is_keyword(schema, "/additionalProperties") {
                unknown_members(object, document, |_| true, &finding(Expected::Known))
            } else {
                Vec::new()
            };
            if all.is_empty() { vec![finding(Expected::of(error))] } else { all }
        }
        Kind::PropertyNames { error } => {
            let inner = findings(error, document).into_iter();
            let keyword = Cow::Borrowed("propertyNames");
            inner
                .map(|it| Finding { within: Within::NameIn(index), keyword: keyword.clone(), ..it })
                .collect()
        }
        // An iteration that ended early may have missed the member.
        Kind::Required { property }
            if property.as_str().is_some_and(|name| document.node(index).get(name).is_some()) =>
        {
            Vec::new()
        }
        _ => vec![finding(Expected::of(error))],
    }
}

/// Whether a path in the schema ends in a keyword and not in a member or definition of the same
/// name.
fn is_keyword(path: &str, keyword: &str) -> bool {
    const NAMED: [&str; 6] = [
        "/properties",
        "/patternProperties",
        "/dependentSchemas",
        "/dependencies",
        "/definitions",
        "/$defs",
    ];
    let before = path.strip_suffix(keyword);
    before.is_some_and(|before| !NAMED.iter().any(|named| before.ends_with(named)))
}

/// Returns a finding for each unknown member of the object up to a maximum.
fn unknown_members<'e>(
    object: u32,
    document: &Document,
    mut is_unknown: impl FnMut(&str) -> bool,
    like: &Finding<'e>,
) -> Vec<Finding<'e>> {
    let members = document.node(object).members().filter(|(name, _)| is_unknown(name));
    let within = Within::MemberOf(object);
    let finding =
        |(_, value): (_, Node<'_>)| Finding { index: value.index(), within, ..like.clone() };
    members.take(MOST_MEMBERS).map(finding).collect()
}

/// The maximum number of unknown members of one object.
const MOST_MEMBERS: usize = 64;

/// Returns the findings of the closest alternative if all of them fail.
///
/// Alternatives of another type than the value come last. If there are no others then their types
/// are merged. Next come alternatives that a discriminator excludes: a member that must have a
/// certain value. If all are excluded then the values are merged. Among the rest, the order is by
/// the deepest violations, then the fewest, then the latest in the document.
fn nearest<'e>(
    error: &'e ValidationError<'_>,
    context: &'e [Vec<ValidationError<'static>>],
    document: &Document,
) -> Vec<Finding<'e>> {
    let here = error.instance_path().as_str();
    let branches: Vec<Vec<Finding<'e>>> = context
        .iter()
        .map(|branch| branch.iter().flat_map(|error| findings(error, document)).collect())
        .filter(|branch: &Vec<_>| !branch.is_empty())
        .collect();

    let types = |branch: &Vec<Finding<'e>>| {
        let mut here = branch.iter().filter(|finding| is_at(finding, here));
        here.find_map(|finding| Some((finding.index, finding.mistyped(document)?)))
    };
    let fitting: Vec<&Vec<Finding<'e>>> =
        branches.iter().filter(|branch| types(branch).is_none()).collect();
    if fitting.is_empty() {
        let mut all = branches.iter().filter_map(types);
        let Some((index, first)) = all.next() else { return Vec::new() };
        let types = all.fold(first, |types, (_, more)| types.and(more));
        let expected = Expected::Types(types);
        let keyword = Cow::Borrowed("type");
        return vec![Finding { index, path: here, within: Within::Nothing, keyword, expected }];
    }
    if let Some(merged) = every_option(&fitting, here) {
        return vec![merged];
    }

    let rank = |branch: &[Finding<'e>]| {
        let shallowest = branch.iter().map(Finding::depth).min().unwrap_or_default();
        (closeness(branch, here), shallowest, Reverse(branch.len()))
    };
    let Some(best) = fitting.iter().map(|branch| rank(branch)).max() else { return Vec::new() };
    let best: Vec<&Vec<Finding<'e>>> =
        fitting.into_iter().filter(|branch| rank(branch) == best).collect();
    if let Some(merged) = every_required(&best) {
        return merged;
    }
    let furthest = best
        .into_iter()
        .rev()
        .max_by_key(|branch| branch.iter().map(|finding| finding.index).min().unwrap_or_default());
    furthest.cloned().unwrap_or_default()
}

fn is_at(finding: &Finding<'_>, pointer: &str) -> bool {
    finding.within == Within::Nothing && finding.path == pointer
}

/// Returns how close an alternative is, by its rules for the value and its members. A member with
/// one permitted value distinguishes alternatives better than one with several.
fn closeness(branch: &[Finding<'_>], here: &str) -> u8 {
    let level = depth(here);
    let of = |finding: &Finding<'_>| match &finding.expected {
        Expected::Options(_) if is_at(finding, here) => 0,
        Expected::Options(options) if finding.depth() == level + 1 => {
            if options.len() == 1 {
                1
            } else {
                2
            }
        }
        _ => 3,
    };
    branch.iter().map(of).min().unwrap_or_default()
}

/// Merges the permitted values if each alternative expects another value at the same position: the
/// value itself or one member.
fn every_option<'e>(branches: &[&Vec<Finding<'e>>], here: &str) -> Option<Finding<'e>> {
    let options = |finding: &Finding<'e>| match &finding.expected {
        Expected::Options(options) if finding.depth() <= depth(here) + 1 => Some(options.clone()),
        _ => None,
    };
    let (first, others) = branches.split_first()?;
    if others.is_empty() {
        return None;
    }
    first.iter().find_map(|candidate| {
        let mut all = options(candidate)?;
        for branch in others {
            let same = branch.iter().filter(|finding| finding.path == candidate.path);
            for option in same.filter_map(options).next()? {
                // More values are not shown.
                if all.len() <= MOST_OPTIONS && !all.contains(&option) {
                    all.push(option);
                }
            }
        }
        let keyword = Cow::Borrowed("enum");
        Some(Finding { keyword, expected: Expected::Options(all), ..candidate.clone() })
    })
}

/// Merges required members if the alternatives lack only members. Returns the members that all of
/// them lack, or else one finding that requires one of them.
fn every_required<'e>(branches: &[&Vec<Finding<'e>>]) -> Option<Vec<Finding<'e>>> {
    let (first, others) = branches.split_first()?;
    let required = |finding: &Finding<'e>| matches!(finding.expected, Expected::Required(_));
    if others.is_empty() || !branches.iter().all(|branch| branch.iter().all(required)) {
        return None;
    }
    let same = |one: &Finding<'e>, other: &Finding<'e>| {
        one.path == other.path && one.expected == other.expected
    };
    let by_all = |one: &&Finding<'e>| others.iter().all(|b| b.iter().any(|other| same(one, other)));
    let common: Vec<Finding<'e>> = first.iter().filter(by_all).cloned().collect();
    if !common.is_empty() {
        return Some(common);
    }
    let [one] = first.as_slice() else { return None };
    let mut names = Vec::new();
    for finding in branches.iter().flat_map(|branch| branch.iter()) {
        match &finding.expected {
            Expected::Required(own) if finding.path == one.path => names.extend(own),
            _ => return None,
        }
    }
    Some(vec![Finding { expected: Expected::Required(names), ..one.clone() }])
}
