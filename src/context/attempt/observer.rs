//! The layer that records the attempts of a request.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::SharedClock,
    secret::{REDACTED, Scrubber},
};

/// Tells the attempts their times, and whether they have spans.
#[derive(Clone, Debug)]
pub(crate) struct AttemptObserver {
    pub(crate) clock: SharedClock,
    /// By that clock.
    pub(crate) arrived_at: Duration,
    /// Of the secrets that no span shows. `None` when attempts have no spans.
    pub(crate) spans: Option<Arc<[Scrubber]>>,
    /// The operation of the request as OpenTelemetry names it. `None` for a request that is no
    /// inference.
    pub(crate) operation: Option<&'static str>,
}

impl AttemptObserver {
    /// Returns the text as a span shows it. A client may repeat the upstream's token.
    pub(super) fn shown<'a>(&self, text: &'a str) -> &'a str {
        let mut scrubbers = self.spans.iter().flat_map(|own| own.iter());
        if scrubbers.any(|own| own.is_in(text.as_bytes())) { REDACTED } else { text }
    }
}
