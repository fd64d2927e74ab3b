//! What a limit has allowed and refused so far.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// How often a limit was asked, and what it said. From
/// [`ThrottleLayer::counts`](super::ThrottleLayer::counts).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LimitCounts {
    /// The limit's name.
    pub name: Arc<str>,
    /// Requests that it allowed, and that passed.
    pub allowed: u64,
    /// Requests that it refused, alone or together with others.
    pub refused: u64,
    /// Requests that it would have refused, were it not in shadow.
    pub shadow_refused: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    allowed: AtomicU64,
    refused: AtomicU64,
    shadow_refused: AtomicU64,
}

impl Counters {
    pub(super) fn count(&self, allows: bool, enforced: bool, passes: bool) {
        let counter = match (allows, enforced) {
            (true, _) if passes => &self.allowed,
            // Another limit refused it.
            (true, _) => return,
            (false, true) => &self.refused,
            (false, false) => &self.shadow_refused,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self, name: &Arc<str>) -> LimitCounts {
        LimitCounts {
            name: Arc::clone(name),
            allowed: self.allowed.load(Relaxed),
            refused: self.refused.load(Relaxed),
            shadow_refused: self.shadow_refused.load(Relaxed),
        }
    }
}
