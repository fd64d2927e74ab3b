use std::{fmt, hash::BuildHasherDefault, time::Duration};

use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use super::{
    compressed::CompressedEntry,
    entry::{Entry, EntryState},
    expiry::ExpiryQueue,
    spellings::Spellings,
};
use crate::cache::{
    counts::CacheEvent,
    key::{EntryKey, HashedKey, Invalidations, Spelling},
};

/// Entries in memory. The least used are evicted beyond a number of bytes.
pub(crate) struct Memory {
    cache: Cache<EntryKey, Stored, EntryWeight, BuildHasherDefault<HashedKey>, CountEvictions>,
    expiry: ExpiryQueue,
    spellings: Spellings,
    max_weight: u64,
}

#[derive(Clone)]
enum Stored {
    Plain(Entry),
    Compressed(CompressedEntry),
}

impl Stored {
    /// Returns the entry, possibly without its body.
    fn entry(&self) -> &Entry {
        match self {
            Self::Plain(entry) => entry,
            Self::Compressed(compressed) => compressed.without_body(),
        }
    }

    fn weight(&self) -> u64 {
        match self {
            Self::Plain(entry) => entry.weight(),
            Self::Compressed(compressed) => compressed.weight(),
        }
    }
}

#[derive(Clone)]
struct CountEvictions;

impl Lifecycle<EntryKey, Stored> for CountEvictions {
    // One of the evicted entries is dropped after the lock. Most calls evict one.
    type RequestState = Option<Stored>;

    fn on_evict(&self, state: &mut Option<Stored>, _: EntryKey, stored: Stored) {
        stored.entry().origin.counters.count(CacheEvent::Evicted);
        *state = Some(stored);
    }
}

#[derive(Clone)]
struct EntryWeight;

impl Weighter<EntryKey, Stored> for EntryWeight {
    fn weight(&self, _: &EntryKey, stored: &Stored) -> u64 {
        stored.weight()
    }
}

const MAX_SHARDS: usize = 16;

impl Memory {
    /// Creates a memory of `bytes` bytes for bodies of at most `max_body` bytes.
    pub(crate) fn new(bytes: u64, max_body: u64) -> Self {
        // A shard must have room for the heaviest entry.
        let heaviest = max_body.saturating_mul(2).max(64 * 1024);
        let mut shards = MAX_SHARDS;
        while shards > 1 && bytes / (shards as u64) < heaviest {
            shards /= 2;
        }
        const TYPICAL: u64 = 4 * 1024;
        const MAX_ENTRIES: usize = 1 << 24;
        let entries = usize::try_from(bytes / TYPICAL).unwrap_or(usize::MAX);
        let entries = entries.clamp(32 * shards, MAX_ENTRIES);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(entries)
            .weight_capacity(bytes)
            .build();
        let hasher = BuildHasherDefault::default();
        let cache = match options {
            Ok(options) => Cache::with_options(options, EntryWeight, hasher, CountEvictions),
            // The builder fails only without the two capacities.
            Err(_) => Cache::with(entries, bytes, EntryWeight, hasher, CountEvictions),
        };
        let max_weight = cache.shard_capacity();
        Self { cache, expiry: ExpiryQueue::new(), spellings: Spellings::new(), max_weight }
    }

    /// Returns the key of a spelling that has found an entry which is still in memory.
    pub(crate) fn key_of(&self, spelling: Spelling) -> Option<EntryKey> {
        self.spellings.get(spelling)
    }

    /// Returns the valid entry for a key, which `spelling` finds from now on. Removes an invalid one and
    /// some that have expired.
    pub(crate) fn find(
        &self,
        key: EntryKey,
        spelling: Option<Spelling>,
        now: Duration,
        invalidations: &Invalidations,
    ) -> Option<(Entry, EntryState)> {
        self.remove_expired(now);
        let stored = self.cache.get(&key)?;
        let (validity, state) = (&stored.entry().origin.validity, stored.entry().state(now));
        if state == EntryState::Expired || !invalidations.is_valid(validity) {
            let is_same = |other: &Stored| other.entry().origin.validity.since == validity.since;
            self.cache.remove_if(&key, is_same);
            return None;
        }
        if let Some(spelling) = spelling {
            stored.entry().set_spelling_slot(self.spellings.insert(spelling, key));
        }
        let entry = match stored {
            Stored::Plain(entry) => entry,
            Stored::Compressed(compressed) => compressed.decompress()?,
        };
        Some((entry, state))
    }

    /// Stores an entry, compressed if its body has more than `compress_above` bytes and shrinks.
    /// Returns `false` if the entry is too heavy.
    pub(crate) fn insert(
        &self,
        key: EntryKey,
        entry: Entry,
        compress_above: Option<usize>,
    ) -> bool {
        let compressed = compress_above.and_then(|above| CompressedEntry::new(&entry, above));
        let stored = compressed.map_or(Stored::Plain(entry), Stored::Compressed);
        let fits = stored.weight() <= self.max_weight;
        if fits {
            let entry = stored.entry();
            entry.set_expiry_slot(self.expiry.insert(entry.lifetime.expires, key));
            self.cache.insert(key, stored);
        }
        fits
    }

    fn remove_expired(&self, now: Duration) {
        for key in self.expiry.take_expired(now) {
            let is_expired = |stored: &Stored| stored.entry().state(now) == EntryState::Expired;
            let expired = self.cache.remove_if(&key, is_expired);
            drop(expired);
        }
    }

    pub(crate) fn remove(&self, key: EntryKey) {
        self.cache.remove(&key);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    pub(crate) fn entries(&self) -> usize {
        self.cache.len()
    }
}

impl fmt::Debug for Memory {
    // Without the entries.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("entries", &self.entries()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::cache::{
        entry::entry,
        key::{KeyParts as _, KeySecret, SpellingSecret, Variant},
    };

    fn key(name: &str) -> EntryKey {
        let mut hasher = KeySecret::new(b"secret").hasher();
        hasher.part(name.as_bytes());
        (hasher.finish(), Variant::Plain)
    }

    #[test]
    fn an_entry_is_found_until_it_expires() {
        let (memory, invalidations) = (Memory::new(1 << 20, 1 << 10), Invalidations::new(8));
        let find = |name, seconds| {
            memory
                .find(key(name), None, Duration::from_secs(seconds), &invalidations)
                .map(|found| found.1)
        };
        assert!(memory.insert(key("a"), entry(&[Bytes::from_static(b"x")], 60), None));
        assert_eq!(find("a", 0), Some(EntryState::Fresh));
        assert_eq!(find("b", 0), None);
        let (other, _) = key("a");
        assert!(
            memory.find((other, Variant::Stream), None, Duration::ZERO, &invalidations).is_none()
        );
        assert_eq!(find("a", 79), Some(EntryState::ErrorFallback));
        assert_eq!((find("a", 80), memory.entries(), memory.bytes()), (None, 0, 0));

        memory.insert(key("a"), entry(&[], 60), None);
        memory.remove(key("a"));
        assert_eq!(find("a", 0), None);
        memory.insert(key("a"), entry(&[], 60), None);
        invalidations.invalidate_all();
        assert_eq!((find("a", 0), memory.entries()), (None, 0));
    }

    #[test]
    fn expired_entries_are_removed_by_other_lookups() {
        let (memory, invalidations) = (Memory::new(1 << 20, 1 << 10), Invalidations::new(8));
        for number in 0..100 {
            memory.insert(key(&number.to_string()), entry(&[], number), None);
        }
        // Entries that are fresh for less than 50 s expire within 70 s.
        let find = |name, seconds| {
            memory.find(key(name), None, Duration::from_secs(seconds), &invalidations)
        };
        for _ in 0..10 {
            assert!(find("none", 69).is_none());
        }
        assert_eq!(memory.entries(), 50);
        for _ in 0..10 {
            assert!(find("none", 1_000).is_none());
        }
        assert_eq!((memory.entries(), memory.bytes()), (0, 0));
        // The slot of a replaced entry does not remove its successor.
        memory.insert(key("a"), entry(&[], 0), None);
        memory.insert(key("a"), entry(&[], 60), None);
        assert!(find("none", 30).is_none());
        assert!(find("a", 30).is_some());
    }

    #[test]
    fn bytes_are_bounded() {
        let memory = Memory::new(1 << 20, 16 << 10);
        for number in 0..1_000 {
            assert!(memory.insert(
                key(&number.to_string()),
                entry(&[vec![0; 10_000].into()], 60),
                None
            ));
            assert!(memory.bytes() <= 1 << 20);
        }
        assert!((80..=104).contains(&memory.entries()), "{}", memory.entries());
        assert!(!memory.insert(key("heavy"), entry(&[vec![0; 1 << 21].into()], 60), None));
        assert!(memory.entries() >= 80);
    }

    #[test]
    fn spellings_are_as_many_as_entries_at_most() {
        let (memory, invalidations) = (Memory::new(1 << 20, 16 << 10), Invalidations::new(8));
        let secret = SpellingSecret::random();
        let spelling = |number: usize| {
            let mut hasher = secret.hasher();
            hasher.part(number.to_string().as_bytes());
            hasher.finish()
        };
        let find = |name: usize, spelling| {
            memory.find(key(&name.to_string()), spelling, Duration::ZERO, &invalidations).is_some()
        };
        for number in 0..1_000 {
            memory.insert(key(&number.to_string()), entry(&[vec![0; 10_000].into()], 60), None);
            // Each entry is found by several.
            for more in 0..3 {
                assert!(find(number, Some(spelling(3 * number + more))));
            }
            assert!(memory.spellings.len() <= memory.entries());
        }
        let latest = spelling(3 * 999 + 2);
        assert_eq!(memory.key_of(latest), Some(key("999")));
        assert_eq!(memory.key_of(spelling(3 * 999)), None);
        // Evicted with their entries.
        assert_eq!(memory.key_of(spelling(2)), None);
        // A new entry for the key is found by its own.
        memory.insert(key("999"), entry(&[], 60), None);
        assert_eq!(memory.key_of(latest), None);
        invalidations.invalidate_all();
        for number in 0..1_000 {
            assert!(!find(number, None));
        }
        assert_eq!((memory.entries(), memory.spellings.len()), (0, 0));
    }
}
