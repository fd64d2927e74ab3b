use std::fmt;

use crate::error_debug::debug_as_message;

/// An error in a format.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum FormatError {
    /// The format has no field of this name.
    UnknownField(Box<str>),
    /// The fields of this format cannot be chosen.
    FixedFields,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownField(name) => {
                write!(f, "`{}` is not a field of this access log", name.escape_debug())
            }
            Self::FixedFields => f.write_str("the fields of this format cannot be chosen"),
        }
    }
}

debug_as_message!(FormatError);

impl std::error::Error for FormatError {}
