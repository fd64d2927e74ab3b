//! Entries by the time at which they are over, so that each leaves then and not only when another
//! needs its room.
//!
//! There is no task: requests that come take out those that are over, a few at a time.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::key::At;
use crate::lock::Lock;

/// Clones are the same.
#[derive(Clone)]
pub(super) struct Expiry(Arc<Shared>);

struct Shared {
    /// Milliseconds at which the first is over, which is read without the lock.
    first: AtomicU64,
    due: Lock<Due>,
}

#[derive(Default)]
struct Due {
    /// By time, and by a number of each.
    places: BTreeMap<(Duration, u64), At>,
    next: u64,
}

/// The place of an entry, given back when it is dropped: there are never more places than entries in
/// memory.
pub(super) struct Slot {
    expiry: Expiry,
    at: (Duration, u64),
}

/// So many leave at once, at most.
const STEP: usize = 16;

const NEVER: u64 = u64::MAX;

impl Expiry {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared { first: AtomicU64::new(NEVER), due: Lock::default() }))
    }

    /// A place for what is kept `at`, and is over at `time`.
    pub(super) fn enter(&self, time: Duration, at: At) -> Slot {
        let mut due = self.0.due.lock();
        let place = (time, due.next);
        due.next += 1;
        due.places.insert(place, at);
        self.note_first(&due);
        drop(due);
        Slot { expiry: self.clone(), at: place }
    }

    /// Takes out some that are over at `now`; almost always none.
    pub(super) fn over(&self, now: Duration) -> Vec<At> {
        if millis(now) < self.0.first.load(Relaxed) {
            return Vec::new();
        }
        let mut due = self.0.due.lock();
        let mut over = Vec::new();
        while over.len() < STEP
            && let Some(first) = due.places.first_entry()
            && first.key().0 <= now
        {
            over.push(first.remove());
        }
        self.note_first(&due);
        over
    }

    fn note_first(&self, due: &Due) {
        let first = due.places.first_key_value();
        self.0.first.store(first.map_or(NEVER, |((time, _), _)| millis(*time)), Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut due = self.expiry.0.due.lock();
        if due.places.remove(&self.at).is_some() {
            self.expiry.note_first(&due);
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.at.0).finish()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::{Keys, Variant};

    #[test]
    fn places_leave_when_they_are_over_a_few_at_a_time_or_with_their_entries() {
        let at = (Keys::new(b"secret").begin().finish(), Variant::Plain);
        let seconds = Duration::from_secs;
        let expiry = Expiry::new();
        let mut places: Vec<_> =
            (0..40).rev().map(|time| expiry.enter(seconds(time), at)).collect();
        let held = |expiry: &Expiry| expiry.0.due.lock().places.len();
        assert_eq!(expiry.over(seconds(9)).len(), 10);
        assert_eq!((expiry.over(seconds(9)).len(), held(&expiry)), (0, 30));
        // Those of 20 s and later.
        places.truncate(20);
        assert_eq!(held(&expiry), 20);
        assert!(expiry.over(seconds(19)).is_empty());
        let over = [0; 3].map(|_| expiry.over(seconds(100)).len());
        assert_eq!((over, held(&expiry)), ([STEP, 4, 0], 0));
        drop(places);
        assert_eq!(expiry.0.first.load(Relaxed), NEVER);
    }
}
