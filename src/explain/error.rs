use std::{error::Error, fmt, io};

use crate::error_debug::debug_as_message;

/// Error of [`explain`](super::explain()) and [`explain_request`](super::explain_request).
#[non_exhaustive]
pub enum ExplainError {
    /// Returned when the line is no JSON object.
    NotJson,
    /// Returned when the object has no `outcome`, which each record has.
    NoRecord,
    /// Returned when no line has the id of the request.
    NotFound,
    /// Returned when the log cannot be read.
    Read(io::Error),
}

impl fmt::Display for ExplainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("the line is no JSON object: give a line of the JSON log"),
            Self::NoRecord => f.write_str(
                "the line has no `outcome`: give a line of the access log, not one of another log",
            ),
            Self::NotFound => f.write_str(
                "no line has this request id: look in the log of another replica, or in an older \
                 file. A line may also have been lost, which a line `{\"dropped\":n}` reports",
            ),
            Self::Read(error) => write!(f, "the log cannot be read: {error}"),
        }
    }
}

debug_as_message!(ExplainError);

impl Error for ExplainError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ExplainError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}
