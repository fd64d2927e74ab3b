use std::{error::Error, fmt};

use super::pointer::Pointer;
use crate::{
    payload::json::{error::bound_rejection, fault::JsonFault},
    rejection::{Refusal, Rejection, Violation},
};

/// Why an edit cannot be done, and where.
///
/// Holds nothing of the document's values, so it may be shown and logged.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EditError {
    /// What is wrong.
    pub fault: EditFault,
    /// Where, as a JSON pointer: the edit's own, or the part of it that leads there.
    pub pointer: String,
}

/// What stands in the way of an edit.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EditFault {
    /// Something else where the pointer asks for an object.
    NotAnObject,
    /// Something else, or nothing, where the edit asks for an array.
    NotAnArray,
    /// No such element: arrays do not grow on the way.
    NoElement,
    /// A name that differs in case only from the one that is edited.
    AmbiguousName,
    /// The edited document would be beyond its bounds, for this reason.
    Bounds(JsonFault),
}

impl EditError {
    pub(crate) fn new(fault: EditFault, pointer: &Pointer, tokens: usize) -> Self {
        Self { fault, pointer: pointer.prefix(tokens) }
    }

    /// The rejection that says so: `invalid-payload` with the pointer, or `payload-too-large` for
    /// what is beyond the bounds.
    #[must_use]
    pub fn rejection(self) -> Rejection {
        let keyword = match self.fault {
            EditFault::NotAnObject | EditFault::NotAnArray => "type",
            EditFault::NoElement => "minItems",
            EditFault::AmbiguousName => "propertyNames",
            EditFault::Bounds(fault) => {
                let place = if self.pointer.is_empty() { "the body" } else { &self.pointer };
                return bound_rejection(format_args!("{place}: would have {fault}"), fault);
            }
        };
        let violation = Violation::new(self.pointer, keyword, self.fault.as_str());
        Rejection::new(Refusal::InvalidPayload).with_violations(vec![violation])
    }
}

impl EditFault {
    /// What is wrong, for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "must be an object",
            Self::NotAnArray => "must be an array",
            Self::NoElement => "there is no such element",
            Self::AmbiguousName => "another name differs from this one in case only",
            Self::Bounds(fault) => fault.as_str(),
        }
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            EditFault::Bounds(fault) => write!(f, "{:?}: {fault}", self.pointer),
            fault => write!(f, "{:?}: {}", self.pointer, fault.as_str()),
        }
    }
}

impl Error for EditError {}
