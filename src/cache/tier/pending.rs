use std::collections::BTreeMap;

use super::{
    seal::{Purpose, RecordName},
    tier::TierFuture,
};

/// Invalidations that the tier has not confirmed.
#[derive(Default)]
pub(super) struct PendingInvalidations {
    by_name: BTreeMap<RecordName, PendingInvalidation>,
    last_number: u64,
}

struct PendingInvalidation {
    purpose: Purpose,
    number: u64,
    /// `None` during a poll.
    written: Option<TierFuture<bool>>,
}

impl PendingInvalidations {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn contains(&self, name: &RecordName) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn number(&self, name: &RecordName) -> Option<u64> {
        self.by_name.get(name).map(|pending| pending.number)
    }

    /// Returns up to `max` names, beginning with `name` and the ones after it.
    pub(super) fn names_from(&self, name: &RecordName, max: usize) -> Vec<RecordName> {
        let all = self.by_name.range(*name..).chain(self.by_name.range(..*name));
        all.map(|(name, _)| *name).take(max).collect()
    }

    /// Takes all invalidations out.
    #[must_use = "dropped after the lock"]
    pub(super) fn take(&mut self) -> Self {
        Self { by_name: std::mem::take(&mut self.by_name), last_number: self.last_number }
    }

    /// Adds an invalidation. Returns the future of the one that it replaces.
    #[must_use = "dropped after the lock"]
    pub(super) fn insert(
        &mut self,
        name: RecordName,
        purpose: Purpose,
        written: Option<TierFuture<bool>>,
    ) -> Option<TierFuture<bool>> {
        self.last_number += 1;
        let pending = PendingInvalidation { purpose, number: self.last_number, written };
        self.by_name.insert(name, pending).and_then(|replaced| replaced.written)
    }

    /// Takes the future of an invalidation out to poll it. The future is `None` during another poll.
    pub(super) fn start_poll(
        &mut self,
        name: &RecordName,
    ) -> Option<(Purpose, u64, Option<TierFuture<bool>>)> {
        let pending = self.by_name.get_mut(name)?;
        Some((pending.purpose, pending.number, pending.written.take()))
    }

    #[must_use = "dropped after the lock"]
    pub(super) fn remove(&mut self, name: &RecordName) -> Option<TierFuture<bool>> {
        self.by_name.remove(name).and_then(|removed| removed.written)
    }
}
