//! Errors of requests and bodies.

use std::{error::Error as StdError, fmt, iter};

use hyper_util::client::legacy;

use crate::plain_http::PlainHttpRefused;

/// A request that failed. The sources are errors of hyper and rustls. They may name hosts.
///
/// [`Debug`] prints the messages of all sources in one line.
pub struct Error(Failure);

#[derive(Debug)]
enum Failure {
    Refused(PlainHttpRefused),
    Failed(legacy::Error),
}

impl Error {
    pub(super) const fn new(error: legacy::Error) -> Self {
        Self(Failure::Failed(error))
    }

    pub(super) const fn refused(refused: PlainHttpRefused) -> Self {
        Self(Failure::Refused(refused))
    }

    /// Returns whether connecting failed. Nothing was sent then.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        match &self.0 {
            Failure::Refused(_) => true,
            Failure::Failed(error) => error.is_connect(),
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
        // Bounded because an error may be its own source.
        iter::successors(self.source(), |&cause| cause.source())
            .take(16)
            .try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Failure::Refused(refused) => Some(refused),
            Failure::Failed(error) => error.source(),
        }
    }
}

/// A body that broke off. The sources are errors of hyper.
#[derive(Debug)]
pub struct BodyError(pub(super) hyper::Error);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body broke off")
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}
