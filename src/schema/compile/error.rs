use std::{error::Error, fmt};

use crate::payload::JsonError;

/// Why a schema cannot be used, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SchemaError {
    /// What is wrong.
    pub fault: SchemaFault,
    /// In which of the further documents, by its URI. `None` for the schema itself.
    pub document: Option<String>,
    /// Where, as a JSON pointer (RFC 6901). Empty for the whole, or where it is not known. The
    /// `anyOf` that stands for `nullable` is a step of it.
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

impl Error for SchemaError {}

/// What is wrong with a schema.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SchemaFault {
    /// The text is not strict JSON, or holds a number that no `f64` does.
    Malformed(JsonError),
    /// `$schema` names something other than a known draft.
    UnknownDraft(String),
    /// It breaks the rules of its draft: which of them, for people.
    Illegal(String),
    /// A reference, or the URI of a document, leads nowhere: nothing is ever fetched.
    Unresolved(String),
    /// A pattern needs look-around or back-references, which cannot be matched in linear time, or
    /// is too large, or no regular expression at all.
    Pattern(String),
    /// Its objects and arrays, or its references, stand too deep in one another.
    TooDeep,
    /// It holds too many values.
    TooLarge,
}

impl fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "the schema is not JSON: {malformed}"),
            Self::UnknownDraft(uri) => write!(f, "no known draft of JSON Schema: {uri}"),
            Self::Illegal(detail) => write!(f, "not a legal schema: {detail}"),
            Self::Unresolved(reference) => {
                write!(f, "nothing that was given is named {reference}, and nothing is fetched")
            }
            Self::Pattern(pattern) => {
                write!(
                    f,
                    "not a pattern that is matched in linear time and little memory: {pattern}"
                )
            }
            Self::TooDeep => f.write_str("the schema is nested too deeply"),
            Self::TooLarge => f.write_str("the schema is too large"),
        }
    }
}
