//! The reason of a failed request, in words without an address or a secret.

use std::{error::Error, fmt};

/// The reason that an HTTP client gives. Logs may have it, unlike the messages of its sources.
#[derive(Debug)]
pub(crate) struct FailureReason {
    text: &'static str,
    error: Box<dyn Error + Send + Sync>,
}

impl FailureReason {
    #[cfg(feature = "client")]
    pub(crate) fn new(text: &'static str, error: impl Error + Send + Sync + 'static) -> Self {
        Self { text, error: Box::new(error) }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl Error for FailureReason {
    /// Skips the error itself, whose message only repeats the reason.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}
