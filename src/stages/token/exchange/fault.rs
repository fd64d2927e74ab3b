use std::{error::Error, fmt, io, sync::Arc};

use crate::{error_debug::debug_as_message, fetch::FetchFault, stages::token::value::TokenFault};

/// The reason that the endpoint of a [`TokenExchange`](crate::hf::TokenExchange) is rejected.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenExchangeError {
    /// Returned when the endpoint is not an absolute `http` or `https` URL, for this reason. Also
    /// returned when it contains user information.
    InvalidUrl(&'static str),
    /// Returned when the endpoint uses plain `http` and its host, which is given, is not this machine.
    InsecureUrl(Arc<str>),
    /// Returned when the endpoint's host, which is given, is a link-local address. Clouds serve the
    /// credentials of the machine there.
    LinkLocalAddress(Arc<str>),
}

impl From<FetchFault> for TokenExchangeError {
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

impl fmt::Display for TokenExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl(reason) => {
                write!(f, "expected an absolute https URL of the token endpoint: {reason}")
            }
            Self::InsecureUrl(host) => write!(
                f,
                "plain http to {host}: every host on the path could read the tokens; use https"
            ),
            Self::LinkLocalAddress(host) => {
                write!(f, "{host} is a link-local address, where clouds serve credentials")
            }
        }
    }
}

debug_as_message!(TokenExchangeError);

impl Error for TokenExchangeError {}

/// Why an exchange brings no token. The operator's log shows it. It has nothing of either token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::stages::token) enum ExchangeFault {
    /// The function that returns the subject token failed, with this text.
    Subject(Box<str>),
    SubjectToken(TokenFault),
    Unreachable(Option<io::ErrorKind>),
    AddressRefused,
    Timeout,
    TooLarge,
    Status(u16),
    InvalidGrant {
        audience: Box<str>,
        resource: Box<str>,
    },
    InvalidRequest {
        resource: Box<str>,
    },
    /// A 400 with another code, or without one.
    BadRequest,
    Malformed(&'static str),
}

impl From<FetchFault> for ExchangeFault {
    fn from(fault: FetchFault) -> Self {
        match fault {
            FetchFault::Unreachable(kind) => Self::Unreachable(kind),
            FetchFault::Timeout => Self::Timeout,
            FetchFault::TooLarge => Self::TooLarge,
            // The client refuses the address that the name resolves to.
            FetchFault::AddressRefused { .. }
            | FetchFault::InvalidUrl(_)
            | FetchFault::InsecureUrl(_) => Self::AddressRefused,
        }
    }
}

impl fmt::Display for ExchangeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(reason) => {
                write!(f, "the token of the workload is not available: {reason}")
            }
            Self::SubjectToken(fault) => {
                write!(f, "the token of the workload cannot be used: {fault}")
            }
            Self::Unreachable(Some(kind)) => write!(f, "cannot reach the token endpoint: {kind}"),
            Self::Unreachable(None) => f.write_str(
                "cannot reach the token endpoint; check the name, the port and the network",
            ),
            Self::AddressRefused => {
                f.write_str("the name of the token endpoint resolves to a link-local address")
            }
            Self::Timeout => f.write_str("the token endpoint did not respond in time"),
            Self::TooLarge => f.write_str("the response of the token endpoint is too large"),
            Self::Status(status) => {
                let advice = match status {
                    300..=399 => "; redirects are not followed, so give the final address",
                    404 | 405 => "; check the address of the endpoint",
                    _ => "",
                };
                write!(f, "expected status 200 of the token endpoint, received {status}{advice}")
            }
            Self::InvalidGrant { audience, resource } => write!(
                f,
                "the token endpoint responds invalid_grant; check that the token of the workload has \
                 the audience {audience}, has not expired, and matches each claim of a trusted \
                 publisher of {resource}"
            ),
            Self::InvalidRequest { resource } => write!(
                f,
                "the token endpoint responds invalid_request; check that {resource} is the user name or \
                 the namespace/name of the repository with the trusted publisher, and that the token of \
                 the workload is a JWT of an OpenID Connect issuer"
            ),
            Self::BadRequest => f.write_str(
                "the token endpoint responds 400 with neither invalid_grant nor invalid_request; check \
                 its address",
            ),
            Self::Malformed(reason) => {
                write!(f, "the response of the token endpoint is not one of RFC 8693: {reason}")
            }
        }
    }
}

impl Error for ExchangeFault {}
