//! The layer that records the attempts of a request.

use std::time::Duration;

use crate::clock::SharedClock;

/// Tells the attempts their times, and whether they have spans.
#[derive(Clone, Debug)]
pub(crate) struct AttemptObserver {
    pub(crate) clock: SharedClock,
    /// By that clock.
    pub(crate) arrived_at: Duration,
    /// Whether attempts have spans.
    pub(crate) spans: bool,
    /// The operation of the request as OpenTelemetry names it. `None` for a request that is no
    /// inference.
    pub(crate) operation: Option<&'static str>,
}
