//! Open addressing over keys that are pseudo-random already.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{super::key::Key, state::State};

#[derive(Clone, Copy, Default)]
struct Slot {
    // Zero: empty.
    key: u128,
    state: State,
}

/// Linear probing, at most three quarters full. Grows by a quarter; does not shrink.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    used: usize,
    cursor: usize,
}

impl Table {
    pub(super) fn find(&self, key: Key) -> Option<usize> {
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

    /// Adds a key that is not there, where the whole store has room.
    pub(super) fn insert(&mut self, key: Key, count: &AtomicUsize, most: usize) -> bool {
        if count.fetch_add(1, Ordering::Relaxed) >= most {
            count.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            let size = (self.slots.len() + self.slots.len() / 4).max(16);
            let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
            for slot in old.into_iter().filter(|slot| slot.key != 0) {
                self.put(slot);
            }
        }
        self.put(Slot { key: stored(key), state: State::default() });
        self.used += 1;
        true
    }

    pub(super) fn remove(&mut self, key: Key, count: &AtomicUsize) {
        if let Some(at) = self.find(key) {
            self.remove_at(at, count);
        }
    }

    pub(super) fn state(&self, at: usize) -> State {
        self.slots.get(at).map(|slot| slot.state).unwrap_or_default()
    }

    pub(super) fn set(&mut self, at: usize, state: State) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.state = state;
        }
    }

    /// Looks at some slots, and removes what was idle at this time and is not to be kept.
    pub(super) fn sweep(
        &mut self,
        looks: usize,
        idle_since: u64,
        count: &AtomicUsize,
        keep: impl Fn(Key) -> bool,
    ) {
        for _ in 0..looks.min(self.slots.len()) {
            match self.slots.get(self.cursor) {
                // What is shifted into its place is looked at next.
                Some(slot)
                    if slot.key != 0 && slot.state.is_idle(idle_since) && !keep(Key(slot.key)) =>
                {
                    self.remove_at(self.cursor, count);
                }
                _ => self.cursor = self.after(self.cursor),
            }
        }
    }

    fn put(&mut self, slot: Slot) {
        let Some(mut at) = self.home(slot.key) else { return };
        while self.slots.get(at).is_some_and(|slot| slot.key != 0) {
            at = self.after(at);
        }
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    /// Shifts back what was displaced by it, so that no tombstones are left (Knuth, volume 3, 6.4,
    /// algorithm R).
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
                if let Some(place) = self.slots.get_mut(hole) {
                    *place = slot;
                }
                hole = at;
            }
        }
        if let Some(place) = self.slots.get_mut(hole) {
            *place = Slot::default();
        }
        self.used -= 1;
        count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Lemire's multiplication instead of a remainder: the table can have any size.
    #[expect(clippy::cast_possible_truncation, reason = "less than the size")]
    fn home(&self, key: u128) -> Option<usize> {
        let size = self.slots.len();
        (size > 0).then(|| ((u128::from(key as u64) * size as u128) >> 64) as usize)
    }

    const fn after(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }
}

const fn stored(key: Key) -> u128 {
    if key.0 == 0 { 1 } else { key.0 }
}
