//! Invalidation without a search for the entries that it concerns.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use crate::lock::Lock;

/// The hash of a route, model or tenant, which can invalidate an entry besides its key.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Tag(pub(crate) u64);

/// Everything that decides whether a response is still valid.
#[derive(Clone, Debug)]
pub(crate) struct Validity {
    /// The clock of [`Invalidations`] before the request went upstream.
    pub(crate) since: u64,
    pub(crate) tags: Arc<[Tag]>,
}

/// The times of all invalidations, on a clock that counts them.
///
/// An entry is valid as long as none of its tags was invalidated after its [`Validity::since`].
#[derive(Debug)]
pub(crate) struct Invalidations {
    clock: AtomicU64,
    latest: Lock<Latest>,
    max_tags: usize,
}

/// The times of the latest invalidations.
struct Latest {
    all: u64,
    tags: BTreeMap<Tag, u64>,
}

impl Invalidations {
    /// Remembers `max_tags` tags. One more invalidates everything, which forgets all of them.
    pub(crate) const fn new(max_tags: usize) -> Self {
        let latest = Latest { all: 0, tags: BTreeMap::new() };
        Self { clock: AtomicU64::new(0), latest: Lock::new(latest), max_tags }
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.load(SeqCst)
    }

    pub(crate) fn invalidate(&self, tag: Tag) {
        let mut latest = self.latest.lock();
        let now = self.clock.fetch_add(1, SeqCst) + 1;
        if latest.tags.len() >= self.max_tags && !latest.tags.contains_key(&tag) {
            latest.all = now;
            latest.tags.clear();
        } else {
            latest.tags.insert(tag, now);
        }
    }

    pub(crate) fn invalidate_all(&self) {
        let mut latest = self.latest.lock();
        latest.all = self.clock.fetch_add(1, SeqCst) + 1;
        latest.tags.clear();
    }

    pub(crate) fn is_valid(&self, validity: &Validity) -> bool {
        let Validity { since, tags } = validity;
        // Most hits take this path without the lock.
        if self.now() == *since {
            return true;
        }
        let latest = self.latest.lock();
        latest.all <= *since
            && tags.iter().all(|tag| latest.tags.get(tag).is_none_or(|at| at <= since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validity(since: u64, tags: &[u64]) -> Validity {
        Validity { since, tags: tags.iter().copied().map(Tag).collect() }
    }

    #[test]
    fn an_invalidation_concerns_its_tag_and_earlier_entries_only() {
        let invalidations = Invalidations::new(8);
        let is_valid = |since, tags: &[u64]| invalidations.is_valid(&validity(since, tags));
        let before = invalidations.now();
        assert!(is_valid(before, &[1, 2]));
        invalidations.invalidate(Tag(1));
        assert!(!is_valid(before, &[1, 2]));
        assert!(is_valid(before, &[2]));
        assert!(is_valid(invalidations.now(), &[1]));

        let between = invalidations.now();
        invalidations.invalidate_all();
        assert!(!is_valid(between, &[]));
        assert!(is_valid(invalidations.now(), &[1, 2]));
    }

    #[test]
    fn one_tag_beyond_the_maximum_invalidates_everything() {
        let invalidations = Invalidations::new(2);
        let is_valid = |since, tags: &[u64]| invalidations.is_valid(&validity(since, tags));
        let before = invalidations.now();
        for tag in 0..2 {
            invalidations.invalidate(Tag(tag));
        }
        invalidations.invalidate(Tag(0));
        assert!(is_valid(before, &[9]));
        invalidations.invalidate(Tag(2));
        assert!(!is_valid(before, &[9]));
        assert!(!is_valid(before, &[2]));
        assert!(invalidations.latest.lock().tags.is_empty());
    }
}
