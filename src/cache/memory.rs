//! Entries in this process, weighed by their bytes.

use std::{fmt, time::Duration};

use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use super::{
    counts::Event,
    entry::{Entry, State},
    expiry::Expiry,
    generation::Generations,
    key::At,
    packed::Packed,
};

/// Keeps what is asked for most, within so many bytes.
pub(super) struct Memory {
    cache: Cache<At, Kept, Weight, DefaultHashBuilder, Evictions>,
    expiry: Expiry,
    heaviest: u64,
}

#[derive(Clone)]
enum Kept {
    Whole(Entry),
    Packed(Packed),
}

impl Kept {
    /// All but the body, at least.
    fn shell(&self) -> &Entry {
        match self {
            Self::Whole(entry) => entry,
            Self::Packed(packed) => packed.shell(),
        }
    }

    fn weight(&self) -> u64 {
        match self {
            Self::Whole(entry) => entry.weight(),
            Self::Packed(packed) => packed.weight(),
        }
    }
}

/// Counts those that had to go.
#[derive(Clone)]
struct Evictions;

impl Lifecycle<At, Kept> for Evictions {
    // Of those that go, one is dropped after the lock, as most calls evict one.
    type RequestState = Option<Kept>;

    fn on_evict(&self, state: &mut Option<Kept>, _: At, kept: Kept) {
        kept.shell().origin.counters.count(Event::Evicted);
        *state = Some(kept);
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<At, Kept> for Weight {
    fn weight(&self, _: &At, kept: &Kept) -> u64 {
        kept.weight()
    }
}

const MOST_SHARDS: usize = 16;

impl Memory {
    /// At most `bytes`, for entries whose bodies have at most `longest`.
    pub(super) fn new(bytes: u64, longest: u64) -> Self {
        // A store refuses what is heavier than one of its shards.
        let heaviest = longest.saturating_mul(2).max(64 * 1024);
        let mut shards = MOST_SHARDS;
        while shards > 1 && bytes / (shards as u64) < heaviest {
            shards /= 2;
        }
        const TYPICAL: u64 = 4 * 1024;
        const MOST_ENTRIES: usize = 1 << 24;
        let entries = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX);
        let entries = entries.clamp(32 * shards, MOST_ENTRIES);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(entries)
            .weight_capacity(bytes)
            .build();
        let hasher = DefaultHashBuilder::default();
        let cache = match options {
            Ok(options) => Cache::with_options(options, Weight, hasher, Evictions),
            // Both capacities are set, which is all that it asks.
            Err(_) => Cache::with(entries, bytes, Weight, hasher, Evictions),
        };
        let heaviest = cache.shard_capacity();
        Self { cache, expiry: Expiry::new(), heaviest }
    }

    /// What is there, if it is good for anything at `now`. What is not is thrown out, and with it some
    /// of all that is over.
    pub(super) fn find(
        &self,
        at: At,
        now: Duration,
        generations: &Generations,
    ) -> Option<(Entry, State)> {
        self.leave(now);
        let kept = self.cache.get(&at)?;
        let (start, state) = (&kept.shell().origin.start, kept.shell().state(now));
        if state == State::Over || !generations.holds(start.begun, &start.tags) {
            self.cache.remove_if(&at, |there| there.shell().origin.start.begun == start.begun);
            return None;
        }
        let entry = match kept {
            Kept::Whole(entry) => entry,
            Kept::Packed(packed) => packed.entry()?,
        };
        Some((entry, state))
    }

    /// Keeps an entry, compressed if it is longer than `pack_above` and that gains anything. `false` when
    /// it is too heavy.
    pub(super) fn keep(&self, at: At, entry: Entry, pack_above: Option<usize>) -> bool {
        let packed = pack_above.and_then(|above| Packed::new(&entry, above));
        let kept = packed.map_or(Kept::Whole(entry), Kept::Packed);
        let fits = kept.weight() <= self.heaviest;
        if fits {
            let shell = kept.shell();
            shell.set_slot(self.expiry.enter(shell.times.kept_until, at));
            self.cache.insert(at, kept);
        }
        fits
    }

    /// Throws out some entries that are over.
    fn leave(&self, now: Duration) {
        for at in self.expiry.over(now) {
            let over = self.cache.remove_if(&at, |kept| kept.shell().state(now) == State::Over);
            drop(over);
        }
    }

    pub(super) fn remove(&self, at: At) {
        self.cache.remove(&at);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    pub(super) fn entries(&self) -> usize {
        self.cache.len()
    }
}

impl fmt::Debug for Memory {
    // Without what is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("entries", &self.entries()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cache::{
        entry::tests::entry,
        key::{Keys, Variant},
    };

    fn at(name: &str) -> At {
        let mut making = Keys::new(b"secret").begin();
        making.part(name.as_bytes());
        (making.finish(), Variant::Plain)
    }

    #[test]
    fn what_is_kept_is_found_until_it_is_over() {
        let (memory, generations) = (Memory::new(1 << 20, 1 << 10), Generations::new(8));
        let find = |name, seconds| {
            memory.find(at(name), Duration::from_secs(seconds), &generations).map(|found| found.1)
        };
        assert!(memory.keep(at("a"), entry(&[Bytes::from_static(b"x")], 60), None));
        assert_eq!(find("a", 0), Some(State::Fresh));
        assert_eq!(find("b", 0), None);
        let (key, _) = at("a");
        assert!(memory.find((key, Variant::Stream), Duration::ZERO, &generations).is_none());
        assert_eq!(find("a", 79), Some(State::LastResort));
        assert_eq!((find("a", 80), memory.entries(), memory.bytes()), (None, 0, 0));

        memory.keep(at("a"), entry(&[], 60), None);
        memory.remove(at("a"));
        assert_eq!(find("a", 0), None);
        memory.keep(at("a"), entry(&[], 60), None);
        generations.invalidate_all();
        assert_eq!((find("a", 0), memory.entries()), (None, 0));
    }

    #[test]
    fn entries_that_are_over_leave_though_nobody_asks_for_them() {
        let (memory, generations) = (Memory::new(1 << 20, 1 << 10), Generations::new(8));
        for number in 0..100 {
            memory.keep(at(&number.to_string()), entry(&[], number), None);
        }
        // Those that are fresh for less than 50 s are over after 70 s.
        let find =
            |name, seconds| memory.find(at(name), Duration::from_secs(seconds), &generations);
        for _ in 0..10 {
            assert!(find("none", 69).is_none());
        }
        assert_eq!(memory.entries(), 50);
        for _ in 0..10 {
            assert!(find("none", 1_000).is_none());
        }
        assert_eq!((memory.entries(), memory.bytes()), (0, 0));
        // One that another has replaced takes no other with it.
        memory.keep(at("a"), entry(&[], 0), None);
        memory.keep(at("a"), entry(&[], 60), None);
        assert!(find("none", 30).is_none());
        assert!(find("a", 30).is_some());
    }

    #[test]
    fn bytes_are_bounded() {
        let memory = Memory::new(1 << 20, 16 << 10);
        for number in 0..1_000 {
            assert!(memory.keep(
                at(&number.to_string()),
                entry(&[vec![0; 10_000].into()], 60),
                None
            ));
            assert!(memory.bytes() <= 1 << 20);
        }
        assert!((80..=104).contains(&memory.entries()), "{}", memory.entries());
        assert!(!memory.keep(at("heavy"), entry(&[vec![0; 1 << 21].into()], 60), None));
        assert!(memory.entries() >= 80);
    }
}
