use std::{error::Error, fmt};

use crate::error_debug::debug_as_message;

/// The reason that a setting of [`AuthLayer`](super::AuthLayer) is rejected.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum AuthError {
    /// Returned when the realm cannot be quoted in a challenge.
    InvalidRealm,
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidRealm => "expected a realm of printable ASCII without quote and backslash",
        })
    }
}

debug_as_message!(AuthError);

impl Error for AuthError {}
