use std::{fmt, sync::Arc};

use crate::{
    clock::SharedClock,
    peer::PeerAddress,
    record::{GenAiConventions, Needs, RecordSink, longest_secret},
    rejection::RejectionFormat,
    secret::Scrubber,
};

/// The settings that all services of a layer share.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) sinks: Vec<Arc<dyn RecordSink>>,
    pub(super) scrubbers: Arc<[Scrubber]>,
    pub(super) clock: SharedClock,
    pub(super) usage: bool,
    pub(super) client_address: Option<PeerAddress>,
    /// Of all sinks together.
    pub(super) needs: Needs,
    pub(super) format: RejectionFormat,
    /// `None` when attempts have no spans.
    pub(super) spans: Option<GenAiConventions>,
}

impl Settings {
    pub(super) fn new(sink: impl RecordSink) -> Self {
        Self {
            needs: sink.needs(),
            sinks: vec![Arc::new(sink)],
            scrubbers: Arc::default(),
            clock: SharedClock::default(),
            usage: true,
            client_address: None,
            format: RejectionFormat::default(),
            spans: None,
        }
    }

    pub(super) fn add(&mut self, sink: impl RecordSink) {
        self.needs = self.needs.or(sink.needs());
        self.sinks.push(Arc::new(sink));
    }

    /// Returns how many bytes of a body are kept, so that this many can be shown. Those after them tell
    /// whether the cut divides a secret.
    pub(super) fn kept_bytes(&self, shown: usize) -> usize {
        if shown == 0 { 0 } else { shown.saturating_add(longest_secret(&self.scrubbers)) }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("usage", &self.usage)
            .field("client_address", &self.client_address)
            .finish_non_exhaustive()
    }
}
