//! Permits that a request gives back or takes at its end.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use smallvec::SmallVec;

use super::{
    configured::ConfiguredLimit,
    kind::AllowanceKind,
    limit_set::LimitSet,
    store::{Decision, PermitRequest, Settlement},
    subject::CounterKey,
};
use crate::{
    body::{BodyEnd, Watch},
    rejection::{Refusal, Rejection},
};

/// The permits in flight of one request, and the permits that it takes if its credentials are
/// rejected.
///
/// Dropping it gives the permits in flight back, wherever the request ends.
#[derive(Debug)]
pub(crate) struct Release {
    limits: Arc<LimitSet>,
    // Empty once all is settled.
    parts: SmallVec<[ReleasePart; 1]>,
}

/// The data of one [`Settlement`] in a third of its size, since it moves with the request.
#[derive(Clone, Copy, Debug)]
struct ReleasePart {
    // A `u128` would need an alignment of 16.
    key: [u8; 16],
    // The index of the limit, and of the tier.
    limit: u16,
    tier: Option<u16>,
    window: u32,
    // Negative permits are given back.
    permits: i64,
}

impl Release {
    /// Returns `None` where nothing needs to be settled.
    pub(crate) fn new(
        limits: &Arc<LimitSet>,
        requests: &[PermitRequest],
        decision: &Decision,
    ) -> Option<Self> {
        if !limits.needs_release() {
            return None;
        }
        let mut parts = SmallVec::new();
        let decided = limits.limits().iter().zip(requests).zip(&decision.outcomes);
        for (index, ((limit, request), outcome)) in (0..).zip(decided) {
            let permits = match request.allowance.0 {
                AllowanceKind::Concurrency(_) if outcome.allows => {
                    i64::try_from(request.cost).map_or(i64::MIN, |cost| -cost)
                }
                AllowanceKind::Failures(_) | AllowanceKind::Quota(_)
                    if limit.settings.counts_failures() =>
                {
                    1
                }
                _ => continue,
            };
            parts.push(ReleasePart {
                key: request.key.0.to_ne_bytes(),
                limit: index,
                tier: limit.tier_of(request),
                window: outcome.window,
                permits,
            });
        }
        (!parts.is_empty()).then(|| Self { limits: Arc::clone(limits), parts })
    }

    /// Takes the permits of rejected credentials when the response head arrives. Permits beyond the
    /// available ones become debt. Returns `None` where nothing is left to give back.
    pub(crate) fn on_response<R>(mut self, response: &Response<R>) -> Option<Self> {
        let takes = |part: &ReleasePart| part.permits > 0;
        if self.parts.iter().any(takes) && credentials_were_rejected(response) {
            self.settle(takes);
        }
        self.parts.retain(|part| part.permits < 0);
        (!self.parts.is_empty()).then_some(self)
    }

    fn settle(&self, which: impl Fn(&ReleasePart) -> bool) {
        let parts = self.parts.iter().filter(|part| which(part));
        let settlements: SmallVec<[Settlement; 1]> =
            parts.filter_map(|part| part.settlement(self.limits.limits())).collect();
        if !settlements.is_empty() {
            self.limits.store().backend().settle(&settlements);
        }
    }

    fn give_back(&mut self) {
        self.settle(|part| part.permits < 0);
        self.parts.clear();
    }
}

impl ReleasePart {
    fn settlement(&self, limits: &[ConfiguredLimit]) -> Option<Settlement> {
        let &Self { key, limit, tier, window, permits } = self;
        let (allowance, overflow) =
            limits.get(usize::from(limit))?.allowance(tier.map(usize::from));
        let key = CounterKey(u128::from_ne_bytes(key));
        Some(Settlement { key, overflow, allowance, window, permits })
    }
}

impl Watch for Release {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, _end: BodyEnd) {
        self.give_back();
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Returns whether the response rejects credentials that the client sent. Missing credentials are no
/// attempt to guess, and a missing scope belongs to valid credentials.
fn credentials_were_rejected<R>(response: &Response<R>) -> bool {
    let rejection = response.extensions().get::<Rejection>();
    rejection.is_some_and(|rejection| {
        matches!(
            rejection.refusal(),
            Refusal::InvalidRequest
                | Refusal::InvalidToken
                | Refusal::ExpiredToken
                | Refusal::InvalidApiKey
                | Refusal::InvalidSignature
        )
    })
}
