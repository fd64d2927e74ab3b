use std::sync::Arc;

use http::StatusCode;

use super::usage::Usage;

/// An attempt whose response the caller does not get, because another attempt followed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AbandonedAttempt {
    /// The name of the stage or target.
    pub target: Arc<str>,
    /// The reason for the next attempt.
    pub reason: AbandonReason,
    /// The status of the upstream, if its head had arrived.
    pub status: Option<StatusCode>,
    /// The token counts that the upstream reported.
    pub usage: Option<Usage>,
}

/// Why an attempt was followed by another one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AbandonReason {
    /// The upstream rejected the gateway's token (401). Nothing was computed.
    TokenRejected,
    /// No connection, or it ended before the head. Nothing counts as computed.
    Unreachable,
    /// The upstream is busy or has failed: 429, 5xx or the 400 of an Inference Endpoint that is paused.
    /// Nothing counts as computed unless usage was reported.
    Status,
    /// No content arrived in time.
    Timeout,
    /// The stream reported an error before any content.
    ErrorEvent,
    /// The body broke off before any content.
    Broken,
}

impl AbandonedAttempt {
    /// Creates a record without status and usage.
    #[must_use]
    pub const fn new(target: Arc<str>, reason: AbandonReason) -> Self {
        Self { target, reason, status: None, usage: None }
    }

    /// Returns whether the upstream may have computed without reporting how much.
    #[cfg(feature = "throttle")]
    pub(crate) const fn cost_is_unknown(&self) -> bool {
        let waited = matches!(
            self.reason,
            AbandonReason::Timeout | AbandonReason::ErrorEvent | AbandonReason::Broken
        );
        waited && self.usage.is_none()
    }
}
