//! Errors of requests and bodies.

use std::{error::Error as StdError, fmt, io, iter};

use hyper_util::client::legacy;

use crate::{
    address_reach::AddressRefused, causes::causes, failure_reason::FailureReason,
    plain_http::PlainHttpRefused,
};

/// A request that failed. The sources are errors of hyper and rustls. They may name hosts.
///
/// [`Debug`] prints the messages of all sources in one line.
pub struct Error(Failure);

#[derive(Debug)]
enum Failure {
    Refused(Refused),
    Failed { is_connect: bool, reason: FailureReason },
}

/// Why a request was not sent.
#[derive(Debug)]
pub(super) enum Refused {
    PlainHttp(PlainHttpRefused),
    Address(AddressRefused),
}

impl From<PlainHttpRefused> for Refused {
    fn from(refused: PlainHttpRefused) -> Self {
        Self::PlainHttp(refused)
    }
}

impl From<AddressRefused> for Refused {
    fn from(refused: AddressRefused) -> Self {
        Self::Address(refused)
    }
}

impl Error {
    pub(super) fn new(error: legacy::Error) -> Self {
        let is_connect = error.is_connect();
        let reason = FailureReason::new(reason(&error), error);
        Self(Failure::Failed { is_connect, reason })
    }

    pub(super) const fn refused(refused: Refused) -> Self {
        Self(Failure::Refused(refused))
    }

    /// Returns whether connecting failed. Nothing was sent then.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        match &self.0 {
            Failure::Refused(_) => true,
            Failure::Failed { is_connect, .. } => *is_connect,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_connect() {
            "the connection could not be made"
        } else {
            "the request could not be completed"
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        causes(self).skip(1).try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Failure::Refused(Refused::PlainHttp(refused)) => Some(refused),
            Failure::Refused(Refused::Address(refused)) => Some(refused),
            Failure::Failed { reason, .. } => Some(reason),
        }
    }
}

/// Returns what is likely wrong and what to check.
fn reason(error: &legacy::Error) -> &'static str {
    let io = || causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    let is_tls = io().any(is_tls);
    match io().next().map(io::Error::kind) {
        _ if is_tls => {
            "the TLS handshake failed; check that the server speaks https at this port and that its \
             certificate is trusted"
        }
        Some(io::ErrorKind::ConnectionRefused) => {
            "nothing listens at this address; check the port and that the server runs"
        }
        _ if error.is_connect() => {
            "the server cannot be found or reached; check the name, the port and the network"
        }
        Some(_) => "the connection broke before the response",
        None if error.to_string().contains("AbsoluteUri") => {
            "the request has no host; HfTokenLayer sets the origin of the upstream"
        }
        None => "the server closed the connection or sent no valid HTTP response",
    }
}

/// Returns whether an I/O error holds an error of TLS, directly or in another I/O error.
fn is_tls(error: &io::Error) -> bool {
    iter::successors(Some(error), |&error| error.get_ref()?.downcast_ref::<io::Error>())
        .take(4)
        .any(|error| error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()))
}

/// A body that broke off. The sources are errors of hyper.
#[derive(Debug)]
pub struct BodyError(BodyFailure);

#[derive(Debug)]
enum BodyFailure {
    Failed(hyper::Error),
    ResetWithoutError,
}

impl BodyError {
    pub(super) const fn new(error: hyper::Error) -> Self {
        Self(BodyFailure::Failed(error))
    }

    /// The server reset the stream with `NO_ERROR` before its end.
    pub(super) const fn reset_without_error() -> Self {
        Self(BodyFailure::ResetWithoutError)
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body broke off")
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            BodyFailure::Failed(error) => Some(error),
            BodyFailure::ResetWithoutError => None,
        }
    }
}
