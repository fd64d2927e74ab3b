use std::fmt;

use crate::error_debug::debug_as_message;

/// An error in the settings of an [`Emf`](crate::access_log::Emf).
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum EmfError {
    /// The namespace is not 1 to 1,024 characters of printable ASCII.
    Namespace,
    /// A name is not 1 to 250 (dimension) or 255 (metric) characters of printable ASCII without quotes and
    /// backslashes, or begins with a colon.
    Name(Box<str>),
    /// The value of a dimension is blank or not 1 to 1,024 characters of printable ASCII.
    Value(Box<str>),
    /// Another member of the documents has this name.
    NameInUse(Box<str>),
    /// A set has more than 30 dimensions, those with a fixed value included.
    TooManyDimensions,
    /// There are no sets of dimensions or more than 16.
    Sets,
    /// There are more than 250 metrics of values that the program adds.
    TooManyMetrics,
}

impl fmt::Display for EmfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace => {
                f.write_str("a namespace of metrics is 1 to 1,024 characters of printable ASCII")
            }
            Self::Name(name) => write!(
                f,
                "`{}` is not a name for a dimension or metric of CloudWatch: 1 to 250 or 255 characters of \
                 printable ASCII without quotes, backslashes and a colon at the start",
                name.escape_debug()
            ),
            Self::Value(name) => write!(
                f,
                "the value of the dimension `{name}` is not 1 to 1,024 characters of printable ASCII"
            ),
            Self::NameInUse(name) => write!(f, "another member of the documents is named `{name}`"),
            Self::TooManyDimensions => f.write_str("a set of dimensions has at most 30"),
            Self::Sets => f.write_str("there must be 1 to 16 sets of dimensions"),
            Self::TooManyMetrics => f.write_str("at most 250 added values can be metrics"),
        }
    }
}

debug_as_message!(EmfError);

impl std::error::Error for EmfError {}
