use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A table of a bounded number of entries that are never removed, so that they are found without a
/// lock and without an allocation.
///
/// Open addressing, at most half full. The caller hashes, because the keys that it looks for are
/// borrowed.
#[derive(Debug)]
pub(super) struct Slots<K, V> {
    slots: Box<[OnceLock<(K, V)>]>,
    used: AtomicUsize,
    max: usize,
}

impl<K, V> Slots<K, V> {
    pub(super) fn new(max: usize) -> Self {
        let slots = (0..2 * max.max(1)).map(|_| OnceLock::new()).collect();
        Self { slots, used: AtomicUsize::new(0), max }
    }

    pub(super) fn find(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&V> {
        let mut filled = self.from(hash).map_while(OnceLock::get);
        filled.find(|(key, _)| is(key)).map(|(_, value)| value)
    }

    /// Returns the entry and makes it if there is room.
    pub(super) fn find_or_add(
        &self,
        hash: u64,
        is: impl Fn(&K) -> bool,
        make: impl Fn() -> (K, V),
    ) -> Option<&V> {
        for slot in self.from(hash) {
            let (key, value) = match slot.get() {
                Some(entry) => entry,
                None => self.add(slot, &make)?,
            };
            if is(key) {
                return Some(value);
            }
        }
        None
    }

    /// Fills a slot if there is room. Another thread may have filled it with another entry.
    fn add<'a>(&self, slot: &'a OnceLock<(K, V)>, make: impl Fn() -> (K, V)) -> Option<&'a (K, V)> {
        let more = |used: usize| (used < self.max).then_some(used + 1);
        self.used.fetch_update(Relaxed, Relaxed, more).ok()?;
        let mut added = false;
        let entry = slot.get_or_init(|| {
            added = true;
            make()
        });
        if !added {
            self.used.fetch_sub(1, Relaxed);
        }
        Some(entry)
    }

    fn from(&self, hash: u64) -> impl Iterator<Item = &OnceLock<(K, V)>> {
        let start = usize::try_from(hash % self.slots.len() as u64).unwrap_or_default();
        let (before, from) = self.slots.split_at(start);
        from.iter().chain(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(slots: &Slots<u64, u64>, key: u64) -> Option<u64> {
        // A hash that collides often.
        slots.find_or_add(key % 7, |own| *own == key, || (key, key * 10)).copied()
    }

    #[test]
    fn entries_are_bounded_and_stay() {
        let slots = Slots::new(10);
        let added = (0..100).filter(|key| add(&slots, *key) == Some(key * 10)).count();
        assert_eq!(added, 10);
        assert_eq!(add(&slots, 3), Some(30));
        assert_eq!(slots.find(3, |own| *own == 3), Some(&30));
        assert_eq!(slots.find(1, |own| *own == 50), None);
        assert_eq!(add(&Slots::new(0), 1), None);
    }

    #[test]
    fn concurrent_threads_add_each_entry_once() {
        let slots = Slots::new(50);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for key in 0..1_000 {
                        assert!(add(&slots, key % 50).is_none_or(|value| value == key % 50 * 10));
                    }
                });
            }
        });
        let filled: Vec<_> = slots.slots.iter().filter_map(OnceLock::get).collect();
        let distinct: std::collections::BTreeSet<_> = filled.iter().map(|(key, _)| key).collect();
        assert_eq!((filled.len(), distinct.len()), (50, 50));
    }
}
