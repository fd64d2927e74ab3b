//! The layer that records the attempts of a request.

use std::{sync::Arc, time::Duration};

use tracing::Span;

use crate::{clock::SharedClock, secret::Scrubber};

/// Tells the attempts their times, and whether they have spans.
#[derive(Clone, Debug)]
pub(crate) struct AttemptObserver {
    pub(crate) clock: SharedClock,
    /// By that clock.
    pub(crate) arrived_at: Duration,
    /// `None` when attempts have no spans.
    pub(crate) client_spans: Option<ClientSpans>,
}

/// Opens the span over the attempts.
#[derive(Clone, Debug)]
pub(crate) struct ClientSpans {
    /// As OpenTelemetry names it. `None` for a request that is no inference, which has no such span.
    pub(crate) operation: Option<&'static str>,
    /// Of the secrets that no span shows.
    pub(crate) scrubbers: Arc<[Scrubber]>,
    /// A function, because the layer that renders the record into the span gives it its attributes.
    pub(crate) open: OpenClientSpan,
}

/// Opens a span for an operation, the model that the client named and the parent. By default the current span
/// is the parent.
type OpenClientSpan = fn(&'static str, Option<&str>, &[Scrubber], Option<&Span>) -> Span;

impl ClientSpans {
    pub(super) fn open(&self, model: Option<&str>, parent: Option<&Span>) -> Option<Span> {
        Some((self.open)(self.operation?, model, &self.scrubbers, parent))
    }
}
