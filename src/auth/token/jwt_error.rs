use std::{error::Error, fmt};

use super::provider::Provider;
use crate::error_debug::debug_as_message;

/// The reason that a setting of [`Jwt`](crate::auth::Jwt) or [`Dpop`](crate::auth::Dpop) is rejected.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum JwtError {
    /// Returned when this required scope is not a scope token of RFC 6749 section 3.3.
    InvalidScope(Box<str>),
    /// Returned when no provider has this name.
    UnknownProvider(Box<str>),
    /// Returned when the issuer cannot be one of the provider.
    UnexpectedIssuer {
        /// The provider.
        provider: Provider,
        /// The issuers that the provider has.
        expected: &'static str,
    },
    /// Returned when the public address is not an absolute URL.
    InvalidPublicAddress,
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidScope(scope) => write!(
                f,
                "the required scope {scope:?} is none: expected printable ASCII without space, \
                 quote and backslash; give several scopes as several items"
            ),
            Self::UnknownProvider(name) => {
                write!(f, "no provider has the name {name:?}: expected one of ")?;
                for (index, provider) in Provider::ALL.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{provider}")?;
                }
                Ok(())
            }
            Self::UnexpectedIssuer { provider, expected } => {
                write!(f, "the issuer cannot be one of the provider {provider}: expected {expected}")
            }
            Self::InvalidPublicAddress => f.write_str(
                "expected a public address such as https://gateway.example, without user, query and \
                 fragment",
            ),
        }
    }
}

debug_as_message!(JwtError);

impl Error for JwtError {}
