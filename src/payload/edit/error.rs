use std::{error::Error, fmt};

use super::pointer::Pointer;
use crate::{
    error_debug::debug_as_message,
    payload::json::{error::bound_rejection, fault::JsonFault},
    rejection::{Refusal, Rejection, Violation},
};

/// The reason why an edit failed and its position.
///
/// It contains no value of the document, so it can be shown and logged.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct EditError {
    /// The reason.
    pub fault: EditFault,
    /// The position as a JSON pointer: the edit's own pointer or its start.
    pub pointer: String,
}

/// The reason why an edit failed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EditFault {
    /// The pointer leads through a value that is no object.
    NotAnObject,
    /// The value at the pointer is no array.
    NotAnArray,
    /// The array has no such element. Edits do not create elements.
    NoElement,
    /// The document has a name that differs only in case from the edited one.
    AmbiguousName,
    /// The edited document would exceed a bound.
    Bounds(JsonFault),
}

impl EditError {
    pub(crate) fn new(fault: EditFault, pointer: &Pointer, tokens: usize) -> Self {
        Self { fault, pointer: pointer.prefix(tokens) }
    }

    /// Returns the rejection for this error: `payload-too-large` beyond a bound and otherwise
    /// `invalid-payload` with the pointer.
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
    /// Returns the reason as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotAnObject => "must be an object",
            Self::NotAnArray => "must be an array",
            Self::NoElement => "the element does not exist",
            Self::AmbiguousName => "another name differs only in case",
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

debug_as_message!(EditError);

impl Error for EditError {}
