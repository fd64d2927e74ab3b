use std::{fmt, time::Duration};

/// The reason that keys could not be loaded.
///
/// [`Display`](fmt::Display) describes the reason for the operator. It never holds an address or a
/// key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeysError {
    /// Returned when an address is not an absolute `http` or `https` URL. Also returned when it
    /// contains user information. An issuer must not contain a query or fragment either (OpenID
    /// Connect Discovery 1.0 section 3).
    InvalidUrl,
    /// Returned when an address uses plain `http` and its host is not a loopback address.
    InsecureUrl,
    /// Returned when the key file cannot be read or is not a regular file.
    Unreadable,
    /// Returned when the connection to the server fails or breaks.
    Unreachable,
    /// Returned when the server does not respond within
    /// [`fetch_timeout`](super::RemoteKeys::fetch_timeout).
    Timeout,
    /// Returned when the response has this status instead of 200. Redirects are not followed.
    Status(u16),
    /// Returned when the file or response exceeds the limit on its size.
    TooLarge,
    /// Returned when the file or response is not the expected JSON.
    Malformed,
    /// Returned when the discovery document names a different issuer.
    IssuerMismatch,
    /// Returned when the key set contains no key that can verify a token.
    NoUsableKey,
    /// Returned when [`max_waiting`](super::RemoteKeys::max_waiting) requests already wait for the
    /// keys.
    Busy,
    /// Returned when the HTTP client that fetches the keys panics.
    Panicked,
}

impl KeysError {
    /// Returns true if the server responded and its response cannot be used.
    pub(crate) const fn is_bad_response(self) -> bool {
        matches!(
            self,
            Self::InvalidUrl
                | Self::InsecureUrl
                | Self::Status(_)
                | Self::TooLarge
                | Self::Malformed
                | Self::IssuerMismatch
                | Self::NoUsableKey
        )
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidUrl => {
                "expected an absolute http or https URL without user information; an issuer must \
                 not have a query or fragment"
            }
            Self::InsecureUrl => "expected an https URL; plain http is for loopback addresses",
            Self::Unreadable => "cannot read the file",
            Self::Unreachable => "cannot reach the server",
            Self::Timeout => "the server did not respond in time",
            Self::Status(status) => return write!(f, "expected status 200, received {status}"),
            Self::TooLarge => "the content exceeds the size limit",
            Self::Malformed => "the content is not the expected JSON",
            Self::IssuerMismatch => "the discovery document names a different issuer",
            Self::NoUsableKey => "the key set has no usable key",
            Self::Busy => "too many requests are waiting for the keys",
            Self::Panicked => "the HTTP client panicked",
        })
    }
}

impl std::error::Error for KeysError {}

/// Tells a rejected request why there are no keys.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct KeysUnavailable {
    /// The time until the next fetch may start.
    pub(crate) retry_after: Duration,
    /// The error of the last fetch.
    pub(crate) cause: Option<KeysError>,
}
