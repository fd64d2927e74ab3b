//! Finds members of a schema that look like misspelt keywords.

use std::fmt;

use serde_json::{Map, Value};

/// A member of a schema that has no effect and looks like a keyword. Returned by
/// [`Schema::unknown_keywords`](crate::schema::Schema::unknown_keywords).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UnknownKeyword {
    /// The URI of the additional document with the member. `None` for the schema itself.
    pub document: Option<String>,
    /// The position of the member as a JSON pointer (RFC 6901). Empty for a whole schema without any
    /// keyword.
    pub pointer: String,
    /// The keyword that was probably meant. `None` for a whole schema without any keyword.
    pub similar: Option<&'static str>,
}

impl fmt::Display for UnknownKeyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.similar {
            Some(similar) => write!(f, "{} looks like `{similar}`", self.pointer)?,
            None => f.write_str(
                "no member is a keyword of JSON Schema, so every document is valid; give the schema \
                 alone, without a wrapper",
            )?,
        }
        self.document.as_ref().map_or(Ok(()), |document| write!(f, ", in {document}"))
    }
}

/// The maximum number of members that are returned.
pub(crate) const MAX_UNKNOWN: usize = 64;

/// Returns the keyword that an unknown member probably means.
pub(crate) fn misspelt(name: &str) -> Option<&'static str> {
    if is_known(name) || name.len() > 32 || name.starts_with("x-") {
        return None;
    }
    let own = folded(name);
    if let Some((_, meant)) = OTHER_LANGUAGES.iter().find(|(other, _)| *other == own) {
        return Some(meant);
    }
    let same = ASSERTIONS.iter().find(|keyword| folded(keyword) == own);
    same.or_else(|| ASSERTIONS.iter().find(|keyword| is_near(&own, &folded(keyword)))).copied()
}

/// Returns whether an object has members and none of them is a keyword.
pub(crate) fn has_no_keyword(schema: &Map<String, Value>) -> bool {
    !schema.is_empty() && !schema.keys().any(|name| is_known(name))
}

fn is_known(name: &str) -> bool {
    ASSERTIONS.contains(&name) || ANNOTATIONS.contains(&name)
}

/// Returns the name without case, dashes, underscores and dollars.
fn folded(name: &str) -> String {
    let kept = name.chars().filter(|letter| !matches!(letter, '-' | '_' | '$'));
    kept.map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Returns whether few letters were added, left out, replaced or swapped. Short names would match
/// other words.
fn is_near(name: &str, keyword: &str) -> bool {
    let most = match name.len().min(keyword.len()) {
        0..=3 => return false,
        4..=7 => 1,
        _ => 2,
    };
    name.len().abs_diff(keyword.len()) <= most
        && name.len().max(keyword.len()) >= 5
        && distance(name.as_bytes(), keyword.as_bytes()) <= most
}

/// Returns the number of edits between two names (optimal string alignment).
fn distance(one: &[u8], other: &[u8]) -> usize {
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, left) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in other.iter().enumerate() {
            let replaced = at(&last, j) + usize::from(left != right);
            let mut least = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped =
                i > 0 && j > 0 && one.get(i - 1) == Some(right) && other.get(j - 1) == Some(left);
            if swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    at(&last, other.len())
}

/// Keywords that decide whether a document is valid, of all drafts and of OpenAPI.
const ASSERTIONS: [&str; 51] = [
    "$defs",
    "$dynamicRef",
    "$recursiveRef",
    "$ref",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "divisibleBy",
    "else",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "nullable",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "required",
    "then",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "extends",
];

/// Keywords and members of OpenAPI that change no verdict. They are no corrections.
const ANNOTATIONS: [&str; 20] = [
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$id",
    "$recursiveAnchor",
    "$schema",
    "$vocabulary",
    "comment",
    "default",
    "deprecated",
    "description",
    "discriminator",
    "example",
    "examples",
    "externalDocs",
    "id",
    "readOnly",
    "title",
    "writeOnly",
    "xml",
];

/// Folded names that other validators use.
const OTHER_LANGUAGES: [(&str, &str); 9] = [
    ("additionalproperty", "additionalProperties"),
    ("additionalprops", "additionalProperties"),
    ("max", "maximum"),
    ("maxlen", "maxLength"),
    ("min", "minimum"),
    ("minlen", "minLength"),
    ("props", "properties"),
    ("regex", "pattern"),
    ("regexp", "pattern"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_have_a_correction() {
        for (name, keyword) in [
            ("requried", "required"),
            ("require", "required"),
            ("minimun", "minimum"),
            ("maxLenght", "maxLength"),
            ("MaxLength", "maxLength"),
            ("min_length", "minLength"),
            ("additionalProperty", "additionalProperties"),
            ("addtionalPropertes", "additionalProperties"),
            ("propertis", "properties"),
            ("itmes", "items"),
            ("types", "type"),
            ("enums", "enum"),
            ("anyof", "anyOf"),
            ("ref", "$ref"),
            ("defs", "$defs"),
            ("max", "maximum"),
            ("regex", "pattern"),
        ] {
            assert_eq!(misspelt(name), Some(keyword), "{name}");
        }
    }

    #[test]
    fn keywords_and_other_words_have_none() {
        let words = [
            "",
            "name",
            "label",
            "unit",
            "note",
            "order",
            "group",
            "x-requried",
            "schema",
            "paths",
            "openapi",
            "info",
            "components",
            "internal",
            "options",
            "value",
            "tags",
            "strict",
        ];
        for name in ASSERTIONS.iter().chain(&ANNOTATIONS).chain(&words) {
            assert_eq!(misspelt(name), None, "{name}");
        }
        assert_eq!(misspelt(&"required".repeat(8)), None);
    }

    #[test]
    fn edits_are_counted() {
        for (one, other, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("ab", "ba", 1),
            ("abcd", "acbd", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(one.as_bytes(), other.as_bytes()), edits, "{one} {other}");
            assert_eq!(distance(other.as_bytes(), one.as_bytes()), edits, "{other} {one}");
        }
    }
}
