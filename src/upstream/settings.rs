use std::time::Duration;

use http::response::Parts;

use super::{busy::BusyResponse, deadlines::Deadlines, slots::Slots};
use crate::{clock::SharedClock, context::RequestContext, rejection::RejectionFormat};

/// The settings of `UpstreamLayer`, which its services and their responses share.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) deadlines: Deadlines,
    pub(super) slots: Slots,
    pub(super) format: RejectionFormat,
    pub(super) max_retry_after: Duration,
    /// For dates of an upstream that does not send its own time.
    clock: SharedClock,
}

impl Settings {
    /// Records the state of a busy upstream and writes `retry-after`.
    pub(super) fn conclude(
        &self,
        busy: BusyResponse,
        head: &mut Parts,
        body: &[u8],
        context: &RequestContext,
    ) {
        busy.conclude(head, body, self.max_retry_after, &self.clock, context);
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadlines: Deadlines::default(),
            slots: Slots::default(),
            format: RejectionFormat::default(),
            max_retry_after: Duration::from_secs(60),
            clock: SharedClock::default(),
        }
    }
}
