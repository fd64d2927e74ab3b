//! Errors of requests and bodies.

use std::{error::Error as StdError, fmt};

use hyper_util::client::legacy;

/// A request that failed. The sources are errors of hyper and rustls. They may name hosts.
#[derive(Debug)]
pub struct Error(legacy::Error);

impl Error {
    pub(super) const fn new(error: legacy::Error) -> Self {
        Self(error)
    }

    /// Returns whether connecting failed. Nothing was sent then.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.0.is_connect()
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

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
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
