use std::{fmt, sync::Arc};

use super::{ids::Ids, trust::Trust};
use crate::context::Propagator;

/// The settings that all services of a layer share.
#[derive(Clone, Default)]
pub(super) struct Settings {
    pub(super) trust: Trust,
    pub(super) ids: Ids,
    /// Whether the response has the id in `x-amzn-requestid` too.
    pub(super) amzn_request_id: bool,
    /// Whether a request without a trace gets one.
    pub(super) start_traces: bool,
    /// Whether a trace of an untrusted peer ends here.
    pub(super) restart_traces: bool,
    pub(super) forward_baggage: bool,
    pub(super) propagator: Option<Arc<dyn Propagator>>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("trust", &self.trust)
            .field("amzn_request_id", &self.amzn_request_id)
            .field("start_traces", &self.start_traces)
            .field("restart_traces", &self.restart_traces)
            .field("forward_baggage", &self.forward_baggage)
            .finish_non_exhaustive()
    }
}
