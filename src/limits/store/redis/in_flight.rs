//! Permits in flight. Each replica counts its own.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::limits::{
    kind::AllowanceKind,
    store::{
        backend::Backend,
        memory::MemoryBackend,
        permit::{Decision, PermitRequest, PermitRequests, Settlement},
    },
};

/// Permits in flight that a request has taken before the other limits have decided. Dropping them
/// gives them back.
pub(super) struct InFlightPermits {
    store: Arc<MemoryBackend>,
    requests: PermitRequests,
    decision: Decision,
}

impl InFlightPermits {
    pub(super) fn take(store: &Arc<MemoryBackend>, requests: PermitRequests) -> Self {
        let decision = if requests.is_empty() { pass() } else { store.decide_now(&requests, true) };
        Self { store: Arc::clone(store), requests, decision }
    }

    pub(super) const fn pass(&self) -> bool {
        self.decision.passes
    }

    /// Merges both decisions in the order of `requests`. If the request passes, the caller must give
    /// the permits back.
    pub(super) fn merge(mut self, requests: &PermitRequests, shared: Decision) -> Decision {
        let both = merge(requests, self.decision.clone(), shared);
        if both.passes {
            self.requests.clear();
        }
        both
    }
}

impl Drop for InFlightPermits {
    fn drop(&mut self) {
        if !self.decision.passes {
            return;
        }
        for (request, outcome) in self.requests.iter().zip(&self.decision.outcomes) {
            if outcome.allows {
                self.store.settle(&[Settlement {
                    key: request.key,
                    overflow: request.overflow,
                    allowance: request.allowance,
                    window: outcome.window,
                    permits: i64::try_from(request.cost).map_or(i64::MIN, |cost| -cost),
                }]);
            }
        }
    }
}

/// Splits requests into those for permits in flight and those for shared counters.
pub(super) fn split(requests: &PermitRequests) -> (PermitRequests, PermitRequests) {
    requests.iter().copied().partition(is_in_flight)
}

/// Merges the decisions on [split](split) requests.
pub(super) fn merge(requests: &PermitRequests, in_flight: Decision, shared: Decision) -> Decision {
    let passes = in_flight.passes && shared.passes;
    let (mut in_flight, mut shared) = (in_flight.outcomes.into_iter(), shared.outcomes.into_iter());
    let of = |request| if is_in_flight(request) { in_flight.next() } else { shared.next() };
    let outcomes: SmallVec<_> = requests.iter().filter_map(of).collect();
    // A store that does not decide on each request is not trusted.
    Decision { passes: passes && outcomes.len() == requests.len(), outcomes }
}

/// The decision on no request.
pub(super) fn pass() -> Decision {
    Decision { passes: true, ..Decision::default() }
}

const fn is_in_flight(request: &PermitRequest) -> bool {
    matches!(request.allowance.0, AllowanceKind::Concurrency(_))
}
