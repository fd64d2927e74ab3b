//! The error of a request body that is not the one that was signed.

use std::{error::Error, fmt};

use crate::causes::causes;

/// A body ended and its digest is not the one that the request's signature covers.
///
/// Layers that turn the error of a body into a rejection recognise it in the chain of sources.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DigestMismatch;

impl DigestMismatch {
    /// Returns whether it is among the causes of `error`.
    pub(crate) fn is_in(error: &(dyn Error + 'static)) -> bool {
        causes(error).any(|cause| cause.is::<Self>())
    }
}

impl fmt::Display for DigestMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request body does not match its signed digest")
    }
}

impl Error for DigestMismatch {}
