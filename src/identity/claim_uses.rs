//! The claims that rules ask for, and whether any caller has had them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use super::{callers::Callers, claim_path::ClaimPath, verified::Identity};

/// Counts the requests for which a claim of a rule was missing. A claim with a wrong name is missing
/// from every request. Clones share their counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClaimUses(Vec<Arc<ClaimUse>>);

#[derive(Debug)]
struct ClaimUse {
    path: ClaimPath,
    seen: AtomicBool,
    missing: AtomicU64,
}

impl ClaimUses {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds the claims that conditions ask for.
    pub(crate) fn add(&mut self, callers: &Callers) {
        for path in callers.claims() {
            if !self.0.iter().any(|known| known.path == *path) {
                let (seen, missing) = (AtomicBool::new(false), AtomicU64::new(0));
                self.0.push(Arc::new(ClaimUse { path: path.clone(), seen, missing }));
            }
        }
    }

    /// Counts a request.
    pub(crate) fn note(&self, caller: &Identity) {
        for claim in self.0.iter().filter(|claim| !claim.seen.load(Relaxed)) {
            if caller.claim_at(&claim.path).is_some() {
                claim.seen.store(true, Relaxed);
            } else {
                claim.missing.fetch_add(1, Relaxed);
            }
        }
    }

    /// Returns the claims that no caller has had, with the number of requests.
    pub(crate) fn unseen(&self) -> impl Iterator<Item = (&ClaimPath, u64)> {
        let unseen = self.0.iter().filter(|claim| !claim.seen.load(Relaxed));
        unseen.map(|claim| (&claim.path, claim.missing.load(Relaxed)))
    }
}
