//! Invalidation, without looking for what it concerns.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use crate::lock::Lock;

/// What an entry can be invalidated by, besides its key: the hash of a route's, a model's or a
/// tenant's name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Tag(pub(super) u64);

/// By what an answer is invalidated.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The reading of the clock of generations.
    pub(super) begun: u64,
    pub(super) tags: Arc<[Tag]>,
}

/// When what was invalidated, on a clock that counts invalidations.
///
/// An entry carries the reading of the clock from before its request went upstream. It holds as long
/// as none of its tags was invalidated since.
#[derive(Debug)]
pub(super) struct Generations {
    clock: AtomicU64,
    since: Lock<Since>,
    most: usize,
}

struct Since {
    all: u64,
    tags: BTreeMap<Tag, u64>,
}

impl Generations {
    /// Remembers so many tags. One more invalidates all, which forgets them.
    pub(super) const fn new(most: usize) -> Self {
        let since = Since { all: 0, tags: BTreeMap::new() };
        Self { clock: AtomicU64::new(0), since: Lock::new(since), most }
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.load(SeqCst)
    }

    pub(super) fn invalidate(&self, tag: Tag) {
        let mut since = self.since.lock();
        let now = self.clock.fetch_add(1, SeqCst) + 1;
        if since.tags.len() >= self.most && !since.tags.contains_key(&tag) {
            since.all = now;
            since.tags.clear();
        } else {
            since.tags.insert(tag, now);
        }
    }

    pub(super) fn invalidate_all(&self) {
        let mut since = self.since.lock();
        since.all = self.clock.fetch_add(1, SeqCst) + 1;
        since.tags.clear();
    }

    /// Whether an entry of these tags, whose request was begun at `begun`, still holds.
    pub(super) fn holds(&self, begun: u64, tags: &[Tag]) -> bool {
        // Nothing was invalidated since, which is what most hits find.
        if self.now() == begun {
            return true;
        }
        let since = self.since.lock();
        since.all <= begun
            && tags.iter().all(|tag| since.tags.get(tag).is_none_or(|at| *at <= begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_begun_before_is_invalid_and_what_comes_after_is_not() {
        let generations = Generations::new(8);
        let before = generations.now();
        assert!(generations.holds(before, &[Tag(1), Tag(2)]));
        generations.invalidate(Tag(1));
        assert!(!generations.holds(before, &[Tag(1), Tag(2)]));
        assert!(generations.holds(before, &[Tag(2)]));
        assert!(generations.holds(generations.now(), &[Tag(1)]));

        let between = generations.now();
        generations.invalidate_all();
        assert!(!generations.holds(between, &[]));
        assert!(generations.holds(generations.now(), &[Tag(1), Tag(2)]));
    }

    #[test]
    fn a_tag_too_many_invalidates_all() {
        let generations = Generations::new(2);
        let before = generations.now();
        for tag in 0..2 {
            generations.invalidate(Tag(tag));
        }
        generations.invalidate(Tag(0));
        assert!(generations.holds(before, &[Tag(9)]));
        generations.invalidate(Tag(2));
        assert!(!generations.holds(before, &[Tag(9)]));
        assert!(!generations.holds(before, &[Tag(2)]));
        assert!(generations.since.lock().tags.is_empty());
    }
}
