use std::{error::Error, fmt, time::Duration};

use crate::stages::token::value::TokenFault;

/// Why a fetch brought no token.
pub(crate) enum TokenFetchFault {
    /// The user's function returned an error with this text. It may be long and have a token.
    Function(Box<str>),
    /// A source of this crate failed. Its text is bounded and has no secret.
    Source(Box<dyn Error + Send + Sync>),
    /// The function did not return in time.
    Timeout(Duration),
    Panicked,
    /// The token was past its expiry when it arrived.
    Expired,
    Token(TokenFault),
}

impl fmt::Display for TokenFetchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(text) => text.fmt(f),
            Self::Source(error) => error.fmt(f),
            Self::Timeout(timeout) => write!(f, "no token arrived within {timeout:?}"),
            Self::Panicked => f.write_str("the function that fetches the token panicked"),
            Self::Expired => f.write_str("the fetched token had expired when it arrived"),
            Self::Token(fault) => fault.fmt(f),
        }
    }
}
