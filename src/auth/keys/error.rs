use std::{borrow::Cow, fmt, io, sync::Arc, time::Duration};

use http::Uri;

use crate::{
    address_reach::Reach,
    error_debug::debug_as_message,
    fetch::{FetchFault, short},
    file_reason::FileReason,
};

/// An error from loading keys: the place of the keys and the fault.
///
/// [`Display`](fmt::Display) and [`Debug`] print both with the remedy, for the operator. They never
/// print a key, a query or user information.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeysError {
    /// The reason.
    pub fault: KeysFault,
    /// The path of the file or the address without its query. `None` for a set that the program gave
    /// and for an address that is not valid.
    pub place: Option<Arc<str>>,
}

/// The reason that keys could not be loaded.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeysFault {
    /// Returned when an address is not an absolute `http` or `https` URL, for this reason. Also
    /// returned when it contains user information. An issuer must not contain a query or fragment
    /// either (OpenID Connect Discovery 1.0 section 3).
    InvalidUrl(&'static str),
    /// Returned when an address uses plain `http` and its host, which is given, is not a loopback
    /// address.
    InsecureUrl(Arc<str>),
    /// Returned when this host is a link-local address or resolves to none but such addresses. Clouds
    /// serve the credentials of the machine there.
    LinkLocalAddress(Arc<str>),
    /// Returned when the discovery document names this host, which is not the issuer's and has no
    /// public address.
    PrivateAddress(Arc<str>),
    /// Returned when the key file cannot be read.
    Unreadable(io::ErrorKind),
    /// Returned when the path does not lead to a regular file.
    NotAFile,
    /// Returned when the connection to the server fails or breaks. The kind is that of the I/O error
    /// if the HTTP client reports one.
    Unreachable(Option<io::ErrorKind>),
    /// Returned when the server does not respond within
    /// [`fetch_timeout`](super::RemoteKeys::fetch_timeout).
    Timeout,
    /// Returned when the response has this status instead of 200. Redirects are not followed.
    Status(u16),
    /// Returned when the file or response exceeds the limit on its size.
    TooLarge,
    /// Returned when the file or response is not the expected JSON. The text says how it differs and
    /// contains none of it.
    Malformed(Cow<'static, str>),
    /// Returned when the discovery document names a different issuer.
    IssuerMismatch {
        /// The issuer that was given.
        expected: Arc<str>,
        /// The issuer of the document.
        received: Arc<str>,
    },
    /// Returned when the key set contains no key that can verify a token. The text says why each of
    /// its first keys is skipped.
    NoUsableKey(Arc<str>),
    /// Returned when [`max_waiting`](super::RemoteKeys::max_waiting) requests already wait for the
    /// keys.
    Busy,
    /// Returned when the HTTP client that fetches the keys panics.
    Panicked,
}

impl KeysFault {
    /// Names the place of the keys.
    pub(super) fn at(self, place: impl fmt::Display) -> KeysError {
        KeysError { fault: self, place: Some(short(place)) }
    }

    /// Names the address of the keys. A query may hold a secret.
    pub(super) fn at_address(self, address: &Uri) -> KeysError {
        let scheme = address.scheme_str().unwrap_or_default();
        let authority = address.authority().map_or("", |authority| authority.as_str());
        self.at(format_args!("{scheme}://{authority}{}", address.path()))
    }

    /// Returns true if the server responded and its response cannot be used.
    const fn is_bad_response(&self) -> bool {
        matches!(
            self,
            Self::InvalidUrl(_)
                | Self::InsecureUrl(_)
                | Self::LinkLocalAddress(_)
                | Self::PrivateAddress(_)
                | Self::Status(_)
                | Self::TooLarge
                | Self::Malformed(_)
                | Self::IssuerMismatch { .. }
                | Self::NoUsableKey(_)
        )
    }
}

impl KeysError {
    pub(crate) const fn is_bad_response(&self) -> bool {
        self.fault.is_bad_response()
    }
}

impl From<KeysFault> for KeysError {
    fn from(fault: KeysFault) -> Self {
        Self { fault, place: None }
    }
}

impl From<FetchFault> for KeysFault {
    fn from(fault: FetchFault) -> Self {
        match fault {
            FetchFault::InvalidUrl(reason) => Self::InvalidUrl(reason),
            FetchFault::InsecureUrl(host) => Self::InsecureUrl(host),
            FetchFault::AddressRefused { host, reach: Reach::NotLinkLocal } => {
                Self::LinkLocalAddress(host)
            }
            FetchFault::AddressRefused { host, reach: Reach::Public } => Self::PrivateAddress(host),
            FetchFault::Unreachable(kind) => Self::Unreachable(kind),
            FetchFault::Timeout => Self::Timeout,
            FetchFault::TooLarge => Self::TooLarge,
        }
    }
}

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        self.fault.fmt(f)
    }
}

impl fmt::Display for KeysFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidUrl(reason) => {
                return write!(f, "expected an absolute http or https URL: {reason}");
            }
            Self::InsecureUrl(host) => {
                return write!(
                    f,
                    "plain http to {host}: every host on the path could replace the keys; use \
                     https, or allow it with RemoteKeys::dangerous_plain_http"
                );
            }
            Self::LinkLocalAddress(host) => {
                return write!(f, "{host} is a link-local address, where clouds serve credentials");
            }
            Self::PrivateAddress(host) => {
                return write!(
                    f,
                    "the discovery document names {host}, which is not the issuer's host and has no \
                     public address; if it is yours, give the address to RemoteKeys::jwks"
                );
            }
            Self::Unreadable(kind) => {
                return write!(f, "cannot read the key file: {}", FileReason(*kind));
            }
            Self::NotAFile => "the key file is not a regular file",
            Self::Unreachable(kind) => {
                f.write_str("cannot reach the server")?;
                return match kind {
                    // rustls reports a bad certificate as invalid data.
                    Some(io::ErrorKind::InvalidData) => f.write_str(
                        ": the TLS handshake failed; a certificate of a private authority needs \
                         client::Builder::root_certificates_pem",
                    ),
                    Some(kind) if !is_vague(*kind) => write!(f, ": {kind}"),
                    _ => f.write_str("; check the name, the port and the network"),
                };
            }
            Self::Timeout => {
                "the server did not respond in time; RemoteKeys::fetch_timeout sets this bound"
            }
            Self::Status(status) => {
                let advice = match status {
                    300..=399 => "; redirects are not followed, so give the final address",
                    401 | 403 => "; the address must be open to this host without credentials",
                    404 | 410 => "; check the issuer or the address",
                    _ => "",
                };
                return write!(f, "expected status 200, received {status}{advice}");
            }
            Self::TooLarge => "the content exceeds the size limit",
            Self::Malformed(reason) => {
                return write!(f, "the content is not the expected JSON: {reason}");
            }
            Self::IssuerMismatch { expected, received } => {
                return write!(
                    f,
                    "the discovery document names a different issuer: expected `{expected}`, \
                     received `{received}`; give the received one to RemoteKeys::discovery and to \
                     Jwt::new if it is yours"
                );
            }
            Self::NoUsableKey(reasons) => {
                return write!(f, "the key set has no usable key: {reasons}");
            }
            Self::Busy => "too many requests are waiting for the keys",
            Self::Panicked => "the HTTP client panicked",
        })
    }
}

debug_as_message!(KeysError);

impl std::error::Error for KeysError {}

/// Tells a rejected request why there are no keys.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct KeysUnavailable {
    /// The time until the next fetch may start.
    pub(crate) retry_after: Duration,
    /// The error of the last fetch.
    pub(crate) cause: Option<KeysError>,
}

/// Returns whether the kind says nothing. The standard library's kind for failed lookups of names has
/// no stable name.
fn is_vague(kind: io::ErrorKind) -> bool {
    kind == io::ErrorKind::Other || kind.to_string() == "uncategorized error"
}
