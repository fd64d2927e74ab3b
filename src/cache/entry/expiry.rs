//! Entries by their expiry, so that each one is removed soon afterwards.
//!
//! There is no background task. Each lookup removes a few expired entries.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{cache::key::EntryKey, lock::Lock};

/// The keys of entries by their expiry. Clones share them.
#[derive(Clone)]
pub(crate) struct ExpiryQueue(Arc<Queue>);

struct Queue {
    /// The first expiry in milliseconds, which is read without the lock.
    first: AtomicU64,
    slots: Lock<Slots>,
}

#[derive(Default)]
struct Slots {
    /// Keys by expiry and by the number of the slot.
    keys: BTreeMap<(Duration, u64), EntryKey>,
    next_number: u64,
}

/// The slot of an entry, which its drop frees. The queue has therefore at most one slot for each
/// entry in memory.
pub(crate) struct ExpirySlot {
    queue: ExpiryQueue,
    position: (Duration, u64),
}

/// The maximum number of entries that one lookup removes.
const STEP: usize = 16;

const NEVER: u64 = u64::MAX;

impl ExpiryQueue {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Queue { first: AtomicU64::new(NEVER), slots: Lock::default() }))
    }

    pub(crate) fn insert(&self, expires: Duration, key: EntryKey) -> ExpirySlot {
        let mut slots = self.0.slots.lock();
        let position = (expires, slots.next_number);
        slots.next_number += 1;
        slots.keys.insert(position, key);
        self.update_first(&slots);
        drop(slots);
        ExpirySlot { queue: self.clone(), position }
    }

    /// Takes some keys that have expired, usually none.
    pub(crate) fn take_expired(&self, now: Duration) -> Vec<EntryKey> {
        if millis(now) < self.0.first.load(Relaxed) {
            return Vec::new();
        }
        let mut slots = self.0.slots.lock();
        let mut expired = Vec::new();
        while expired.len() < STEP
            && let Some(first) = slots.keys.first_entry()
            && first.key().0 <= now
        {
            expired.push(first.remove());
        }
        self.update_first(&slots);
        expired
    }

    fn update_first(&self, slots: &Slots) {
        let first = slots.keys.first_key_value();
        self.0.first.store(first.map_or(NEVER, |((time, _), _)| millis(*time)), Relaxed);
    }
}

impl Drop for ExpirySlot {
    fn drop(&mut self) {
        let mut slots = self.queue.0.slots.lock();
        if slots.keys.remove(&self.position).is_some() {
            self.queue.update_first(&slots);
        }
    }
}

impl fmt::Debug for ExpirySlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExpirySlot").field(&self.position.0).finish()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::{KeySecret, Variant};

    #[test]
    fn slots_are_freed_by_expiry_in_steps_and_by_drop() {
        let key = (KeySecret::new(b"secret").hasher().finish(), Variant::Plain);
        let seconds = Duration::from_secs;
        let queue = ExpiryQueue::new();
        let mut slots: Vec<_> =
            (0..40).rev().map(|time| queue.insert(seconds(time), key)).collect();
        let len = |queue: &ExpiryQueue| queue.0.slots.lock().keys.len();
        assert_eq!(queue.take_expired(seconds(9)).len(), 10);
        assert_eq!((queue.take_expired(seconds(9)).len(), len(&queue)), (0, 30));
        // The slots of 20 s and later remain.
        slots.truncate(20);
        assert_eq!(len(&queue), 20);
        assert!(queue.take_expired(seconds(19)).is_empty());
        let expired = [0; 3].map(|_| queue.take_expired(seconds(100)).len());
        assert_eq!((expired, len(&queue)), ([STEP, 4, 0], 0));
        drop(slots);
        assert_eq!(queue.0.first.load(Relaxed), NEVER);
    }
}
