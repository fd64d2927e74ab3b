//! What a request still owes when it has passed: by being dropped it is paid, wherever the request
//! ends.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use smallvec::SmallVec;

use super::{
    allowance::Kind,
    ask::{Asks, Decision, Settlement},
    failures,
    key::Key,
    limits::{Held, Limits},
};
use crate::body::{BodyEnd, Watch};

/// The places in flight that one request gives back at its end, and what it is charged with if its
/// credentials are refused.
#[derive(Debug)]
pub(super) struct Owed {
    limits: Arc<Limits>,
    // Empty once all was given back.
    parts: SmallVec<[Part; 1]>,
}

/// Of one limit: what makes a [`Settlement`], in a third of its size. It moves with the request.
#[derive(Clone, Copy, Debug)]
struct Part {
    // Of a `u128` the alignment would be 16.
    key: [u8; 16],
    // The place of the limit, and of the tier.
    held: u16,
    tier: Option<u16>,
    window: u32,
    // Negative: to be given back.
    permits: i64,
}

impl Owed {
    /// `None` where nothing is.
    pub(super) fn new(limits: &Arc<Limits>, asks: &Asks, decision: &Decision) -> Option<Self> {
        let mut parts = SmallVec::new();
        let asked = limits.held().iter().zip(asks).zip(&decision.standings);
        for (place, ((held, ask), standing)) in (0..).zip(asked) {
            let permits = match ask.allowance.0 {
                Kind::Concurrency(_) if standing.allows => {
                    i64::try_from(ask.cost).map_or(i64::MIN, |cost| -cost)
                }
                Kind::Failures(_) | Kind::Quota(_) if held.limit.counts_failures() => 1,
                _ => continue,
            };
            parts.push(Part {
                key: ask.key.0.to_ne_bytes(),
                held: place,
                tier: held.tier_of(ask),
                window: standing.window,
                permits,
            });
        }
        (!parts.is_empty()).then(|| Self { limits: Arc::clone(limits), parts })
    }

    /// The head of the answer has come: charges those limits that count refused credentials. What
    /// parallel attempts take beyond what was left is debt. `None` where no place is to be given back.
    pub(super) fn answered<R>(mut self, response: &Response<R>) -> Option<Self> {
        let charges = |part: &Part| part.permits > 0;
        if self.parts.iter().any(charges) && failures::refused_credentials(response) {
            self.settle(charges);
        }
        self.parts.retain(|part| part.permits < 0);
        (!self.parts.is_empty()).then_some(self)
    }

    fn settle(&self, which: impl Fn(&Part) -> bool) {
        let parts = self.parts.iter().filter(|part| which(part));
        let settlements: SmallVec<[Settlement; 1]> =
            parts.filter_map(|part| part.settlement(self.limits.held())).collect();
        if !settlements.is_empty() {
            self.limits.store().backend().settle(&settlements);
        }
    }

    fn give_back(&mut self) {
        self.settle(|part| part.permits < 0);
        self.parts.clear();
    }
}

impl Part {
    fn settlement(&self, held: &[Held]) -> Option<Settlement> {
        let &Self { key, held: place, tier, window, permits } = self;
        let (allowance, overflow) = held.get(usize::from(place))?.allowance(tier.map(usize::from));
        let key = Key(u128::from_ne_bytes(key));
        Some(Settlement { key, overflow, allowance, window, permits })
    }
}

impl Watch for Owed {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, _end: BodyEnd) {
        self.give_back();
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.give_back();
    }
}
