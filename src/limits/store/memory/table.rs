//! A hash table with open addressing. Its keys are pseudo-random already.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::state::CounterState;
use crate::limits::subject::CounterKey;

#[derive(Clone, Copy, Default)]
struct TableSlot {
    // Zero in an empty slot.
    key: u128,
    state: CounterState,
}

/// Uses linear probing and is at most three quarters full. It grows by a quarter and never shrinks.
#[derive(Default)]
pub(crate) struct CounterTable {
    slots: Vec<TableSlot>,
    used: usize,
    cursor: usize,
}

impl CounterTable {
    pub(crate) fn find(&self, key: CounterKey) -> Option<usize> {
        let key = stored(key);
        let mut at = self.home(key)?;
        loop {
            match self.slots.get(at)?.key {
                0 => return None,
                found if found == key => return Some(at),
                _ => at = self.after(at),
            }
        }
    }

    /// Adds a missing key. Returns `false` where the whole store has `max` keys.
    pub(crate) fn insert(&mut self, key: CounterKey, count: &AtomicUsize, max: usize) -> bool {
        if count.fetch_add(1, Ordering::Relaxed) >= max {
            count.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            let size = (self.slots.len() + self.slots.len() / 4).max(16);
            let old = std::mem::replace(&mut self.slots, vec![TableSlot::default(); size]);
            for slot in old.into_iter().filter(|slot| slot.key != 0) {
                self.put(slot);
            }
        }
        self.put(TableSlot { key: stored(key), state: CounterState::default() });
        self.used += 1;
        true
    }

    pub(crate) fn remove(&mut self, key: CounterKey, count: &AtomicUsize) {
        if let Some(at) = self.find(key) {
            self.remove_at(at, count);
        }
    }

    pub(crate) fn state(&self, at: usize) -> CounterState {
        self.slots.get(at).map(|slot| slot.state).unwrap_or_default()
    }

    pub(crate) fn set(&mut self, at: usize, state: CounterState) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.state = state;
        }
    }

    /// Removes keys from the next slots that were idle at this time, except those to `keep`.
    pub(crate) fn sweep(
        &mut self,
        slots: usize,
        idle_since: u64,
        count: &AtomicUsize,
        keep: impl Fn(CounterKey) -> bool,
    ) {
        for _ in 0..slots.min(self.slots.len()) {
            match self.slots.get(self.cursor) {
                // The removal may shift another key into this slot, so the cursor stays.
                Some(slot)
                    if slot.key != 0
                        && slot.state.is_idle(idle_since)
                        && !keep(CounterKey(slot.key)) =>
                {
                    self.remove_at(self.cursor, count);
                }
                _ => self.cursor = self.after(self.cursor),
            }
        }
    }

    fn put(&mut self, slot: TableSlot) {
        let Some(mut at) = self.home(slot.key) else { return };
        while self.slots.get(at).is_some_and(|slot| slot.key != 0) {
            at = self.after(at);
        }
        if let Some(slot_of) = self.slots.get_mut(at) {
            *slot_of = slot;
        }
    }

    /// Shifts displaced keys back, so that no tombstones are left. This is algorithm R of Knuth's
    /// volume 3 section 6.4.
    fn remove_at(&mut self, mut hole: usize, count: &AtomicUsize) {
        let mut at = hole;
        loop {
            at = self.after(at);
            let Some(&slot) = self.slots.get(at) else { return };
            if slot.key == 0 {
                break;
            }
            let Some(home) = self.home(slot.key) else { return };
            let size = self.slots.len();
            if (at + size - home) % size >= (at + size - hole) % size {
                if let Some(slot_of) = self.slots.get_mut(hole) {
                    *slot_of = slot;
                }
                hole = at;
            }
        }
        if let Some(slot_of) = self.slots.get_mut(hole) {
            *slot_of = TableSlot::default();
        }
        self.used -= 1;
        count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the first slot of a key. Lemire's multiplication allows any size, unlike a mask.
    #[expect(clippy::cast_possible_truncation, reason = "less than the size")]
    fn home(&self, key: u128) -> Option<usize> {
        let size = self.slots.len();
        (size > 0).then(|| ((u128::from(key as u64) * size as u128) >> 64) as usize)
    }

    const fn after(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }
}

const fn stored(key: CounterKey) -> u128 {
    if key.0 == 0 { 1 } else { key.0 }
}
