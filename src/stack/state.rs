//! The state of the parts of a stack of which there are several.

use std::{sync::Arc, time::Duration};

/// The state of one set of verification keys.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeySetState {
    /// The host or the file of the keys. A fixed set is `the given set`.
    pub name: Arc<str>,
    /// The time since the keys were last fetched. `None` also before the first fetch, for a fixed set
    /// and for a file.
    pub age: Option<Duration>,
    /// Whether there are usable keys.
    pub is_ready: bool,
    /// Failed fetches, or how often the file became unusable.
    pub failures: u64,
}

/// The state of the tokens of one upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TokenState {
    /// The name of the stage.
    pub stage: Arc<str>,
    /// The time since the oldest token was read from its file or fetched. `None` also for fixed tokens.
    pub age: Option<Duration>,
    /// Whether each source has a token that can be sent now.
    pub is_ready: bool,
    /// Failed fetches, and how often a file became invalid.
    pub failures: u64,
}

/// The state of one target of `FallbackLayer`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TargetState {
    /// The name of the target.
    pub name: Arc<str>,
    /// Requests in flight.
    pub in_flight: usize,
    /// Requests that wait. None does without a maximum.
    pub queued: usize,
    /// Whether the target is avoided after failures.
    pub is_cooling_down: bool,
}
