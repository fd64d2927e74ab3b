use std::{error::Error, fmt};

use crate::{error_debug::debug_as_message, payload::JsonError};

/// The reason why a schema is invalid and its position.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct SchemaError {
    /// The reason.
    pub fault: SchemaFault,
    /// The URI of the additional document with the fault. `None` for the schema itself.
    pub document: Option<String>,
    /// The position as a JSON pointer (RFC 6901). It is empty for the whole schema or if the
    /// position is unknown. The `anyOf` that replaces `nullable` counts as a step.
    pub pointer: String,
}

impl SchemaError {
    pub(crate) const fn new(fault: SchemaFault) -> Self {
        Self { fault, document: None, pointer: String::new() }
    }

    pub(crate) fn at(fault: SchemaFault, document: Option<&str>, pointer: &str) -> Self {
        Self { fault, document: document.map(str::to_owned), pointer: pointer.to_owned() }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)?;
        if !self.pointer.is_empty() {
            write!(f, ", at {}", self.pointer)?;
        }
        self.document.as_ref().map_or(Ok(()), |document| write!(f, ", in {document}"))
    }
}

debug_as_message!(SchemaError);

impl Error for SchemaError {}

/// The reason why a schema is invalid.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SchemaFault {
    /// The text is not strict JSON or contains a number beyond `f64`.
    Malformed(JsonError),
    /// The text is in another form, which is given.
    OtherForm(&'static str),
    /// `$schema` names an unknown draft.
    UnknownDraft(String),
    /// The schema violates the rules of its draft. The text names the rule.
    Illegal(String),
    /// A reference or the URI of a document does not resolve. Nothing is fetched.
    Unresolved(String),
    /// A pattern is invalid, too large or needs look-around or back-references, which take more
    /// than linear time.
    Pattern(String),
    /// Arrays, objects or references are nested too deeply.
    TooDeep,
    /// The schema has too many values.
    TooLarge,
}

impl fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "the schema is not JSON: {malformed}"),
            Self::OtherForm(form) => write!(f, "the schema is not JSON: {form}"),
            Self::UnknownDraft(uri) => write!(
                f,
                "unknown draft of JSON Schema: {uri}; the latest is \
                 https://json-schema.org/draft/2020-12/schema"
            ),
            Self::Illegal(detail) => write!(f, "invalid schema: {detail}"),
            Self::Unresolved(reference) => {
                write!(f, "unresolved reference {reference}; nothing is fetched")
            }
            Self::Pattern(pattern) => {
                write!(f, "the pattern is invalid, too large or not linear-time: {pattern}")
            }
            Self::TooDeep => f.write_str("the schema is nested too deeply"),
            Self::TooLarge => f.write_str("the schema is too large"),
        }
    }
}
