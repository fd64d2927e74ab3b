use std::{error::Error, fmt, sync::Arc};

use crate::{error_debug::debug_as_message, fetch::FetchFault};

/// The reason that a setting of [`Introspection`](super::Introspection) is rejected.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum IntrospectionError {
    /// Returned when the endpoint is not an absolute `http` or `https` URL, for this reason. Also
    /// returned when it contains user information.
    InvalidUrl(&'static str),
    /// Returned when the endpoint uses plain `http` and its host, which is given, is not this machine.
    InsecureUrl(Arc<str>),
    /// Returned when the endpoint's host, which is given, is a link-local address. Clouds serve the
    /// credentials of the machine there.
    LinkLocalAddress(Arc<str>),
    /// Returned when the bearer token of the gateway is empty or has a character other than visible
    /// ASCII.
    InvalidCredentials,
    /// Returned when this required scope is not a scope token of RFC 6749 section 3.3.
    InvalidScope(Box<str>),
}

impl From<FetchFault> for IntrospectionError {
    fn from(fault: FetchFault) -> Self {
        match fault {
            FetchFault::InsecureUrl(host) => Self::InsecureUrl(host),
            FetchFault::AddressRefused { host, .. } => Self::LinkLocalAddress(host),
            FetchFault::InvalidUrl(reason) => Self::InvalidUrl(reason),
            // Faults of an exchange. None happens while the settings are checked.
            FetchFault::Unreachable(_) | FetchFault::Timeout | FetchFault::TooLarge => {
                Self::InvalidUrl("it cannot be used")
            }
        }
    }
}

impl fmt::Display for IntrospectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl(reason) => {
                write!(f, "expected an absolute http or https URL of the endpoint: {reason}")
            }
            Self::InsecureUrl(host) => write!(
                f,
                "plain http to {host}: every host on the path could read the tokens and answer for \
                 the issuer; use https, or allow it with Introspection::dangerous_plain_http"
            ),
            Self::LinkLocalAddress(host) => {
                write!(f, "{host} is a link-local address, where clouds serve credentials")
            }
            Self::InvalidCredentials => {
                f.write_str("expected a bearer token of visible ASCII characters")
            }
            Self::InvalidScope(scope) => write!(
                f,
                "the required scope {scope:?} is none: expected printable ASCII without space, \
                 quote and backslash; give several scopes as several items"
            ),
        }
    }
}

debug_as_message!(IntrospectionError);

impl Error for IntrospectionError {}
