use std::fmt;

/// Why there are no keys, or no new ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeysError {
    /// An address is not an absolute `http` or `https` URL, or carries a user, or (an issuer's) a
    /// query (OpenID Connect Discovery section 3).
    InvalidUrl,
    /// An address is plain `http` and not a loopback address.
    InsecureUrl,
    /// The file cannot be read, or is no regular file.
    Unreadable,
    /// The server cannot be reached, or broke off.
    Unreachable,
    /// The server did not answer in time.
    Timeout,
    /// The server's answer has another status than 200. Redirects are not followed.
    Status(u16),
    /// There is more to read than the limit.
    TooLarge,
    /// What came is not the JSON that was asked for.
    Malformed,
    /// The discovery document is another issuer's.
    IssuerMismatch,
    /// None of the keys can verify anything.
    NoUsableKey,
    /// Too many wait for the keys already.
    Busy,
    /// The client that fetches panicked.
    Panicked,
}

impl KeysError {
    /// Whether the server was reached, and what it said cannot be used.
    pub(super) const fn is_of_response(self) -> bool {
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
        match self {
            Self::InvalidUrl => f.write_str("not an absolute URL without user and query"),
            Self::InsecureUrl => f.write_str("plain http is for loopback addresses"),
            Self::Unreadable => f.write_str("the file cannot be read"),
            Self::Unreachable => f.write_str("the server cannot be reached"),
            Self::Timeout => f.write_str("the server did not answer in time"),
            Self::Status(status) => write!(f, "the server answered with status {status}"),
            Self::TooLarge => f.write_str("the answer is larger than the limit"),
            Self::Malformed => f.write_str("not the JSON that was asked for"),
            Self::IssuerMismatch => f.write_str("the document is another issuer's"),
            Self::NoUsableKey => f.write_str("no key can verify anything"),
            Self::Busy => f.write_str("too many wait for the keys already"),
            Self::Panicked => f.write_str("the client panicked"),
        }
    }
}

impl std::error::Error for KeysError {}
