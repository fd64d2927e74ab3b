use std::{sync::Arc, time::Duration};

use http::response::Parts;

use super::{busy::BusyResponse, deadlines::Deadlines, slots::Slots};
use crate::{
    clock::SharedClock,
    context::{RequestContext, UpstreamState},
    log_limit::{LogLimit, warn_if_due},
    rejection::RejectionFormat,
};

/// The settings of `UpstreamLayer`, which its services and their responses share.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) deadlines: Deadlines,
    pub(super) slots: Slots,
    pub(super) format: RejectionFormat,
    pub(super) max_retry_after: Duration,
    /// Clients set the rate of failures and of requests to a paused endpoint.
    pub(super) log: Arc<LogLimit>,
    /// For dates of an upstream that does not send its own time.
    clock: SharedClock,
}

impl Settings {
    /// Returns default settings with this clock.
    pub(super) fn with_clock(clock: SharedClock) -> Self {
        Self {
            deadlines: Deadlines::default(),
            slots: Slots::default(),
            format: RejectionFormat::default(),
            max_retry_after: Duration::from_secs(60),
            log: Arc::new(LogLimit::new(clock.clone())),
            clock,
        }
    }

    /// Records the state of a busy upstream and writes `retry-after`.
    pub(super) fn conclude(
        &self,
        busy: BusyResponse,
        head: &mut Parts,
        body: &[u8],
        context: &RequestContext,
    ) {
        let state = busy.conclude(head, body, self.max_retry_after, &self.clock, context);
        if state == Some(UpstreamState::Paused) {
            let upstream = context.upstream();
            warn_if_due!(
                self.log.is_due("paused", upstream.unwrap_or_default()),
                upstream = upstream.map(display),
                "the endpoint is paused; waiting does not help: resume it at Hugging Face"
            );
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::with_clock(SharedClock::default())
    }
}
