//! The layer that records the attempts of a request.

use std::{fmt, sync::Arc, time::Duration};

use tracing::Span;

use crate::clock::SharedClock;

/// Tells the attempts their times, and whether they have spans.
#[derive(Clone, Debug)]
pub(crate) struct AttemptObserver {
    pub(crate) clock: SharedClock,
    /// By that clock.
    pub(crate) arrived_at: Duration,
    /// Whether attempts have spans.
    pub(crate) spans: bool,
    /// Opens the span over the attempts. `None` for a request that is no inference.
    pub(crate) client_span: Option<ClientSpanOpener>,
}

/// Opens the span over the attempts, from the model that the client named and the parent. By default
/// the current span is the parent.
///
/// A function, because the layer that renders the record into the span gives it its attributes.
#[derive(Clone)]
pub(crate) struct ClientSpanOpener(pub(crate) Arc<OpenClientSpan>);

type OpenClientSpan = dyn Fn(Option<&str>, Option<&Span>) -> Span + Send + Sync;

impl fmt::Debug for ClientSpanOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSpanOpener(..)")
    }
}
