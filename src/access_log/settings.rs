use std::{fmt, sync::Arc};

use crate::{clock::SharedClock, record::RecordSink, rejection::RejectionFormat, secret::Scrubber};

/// The settings that all services of a layer share.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) sinks: Vec<Arc<dyn RecordSink>>,
    pub(super) scrubbers: Vec<Scrubber>,
    pub(super) clock: SharedClock,
    #[cfg(feature = "audit")]
    pub(super) digests_payload: bool,
    pub(super) usage: bool,
    pub(super) http_version: bool,
    pub(super) user_agent: bool,
    pub(super) format: RejectionFormat,
}

impl Settings {
    pub(super) fn new(sink: impl RecordSink) -> Self {
        Self {
            #[cfg(feature = "audit")]
            digests_payload: sink.wants_payload_digest(),
            sinks: vec![Arc::new(sink)],
            scrubbers: Vec::new(),
            clock: SharedClock::default(),
            usage: true,
            http_version: false,
            user_agent: false,
            format: RejectionFormat::default(),
        }
    }

    pub(super) fn add(&mut self, sink: impl RecordSink) {
        #[cfg(feature = "audit")]
        {
            self.digests_payload |= sink.wants_payload_digest();
        }
        self.sinks.push(Arc::new(sink));
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("usage", &self.usage)
            .field("http_version", &self.http_version)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}
