//! The keys of requests by their spelling, so that a repeated request needs no canonical form.

use std::{
    collections, fmt,
    hash::BuildHasherDefault,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{
    cache::key::{EntryKey, HashedKey, Spelling},
    lock::Lock,
};

/// The keys of the requests that have found an entry. Clones share them.
#[derive(Clone)]
pub(crate) struct Spellings(Arc<Shared>);

struct Shared {
    shards: [Lock<Keys>; SHARDS],
    next_number: AtomicU64,
}

/// The key of each spelling and the number of its slot.
#[expect(clippy::disallowed_types, reason = "each entry owns at most one key")]
type Keys = collections::HashMap<Spelling, (EntryKey, u64), BuildHasherDefault<HashedKey>>;

/// The slot of the latest spelling that has found an entry. The drop of the entry frees it. There is
/// therefore at most one spelling for each entry in memory.
pub(crate) struct SpellingSlot {
    spellings: Spellings,
    spelling: Spelling,
    number: u64,
}

const SHARDS: usize = 16;

impl Spellings {
    pub(crate) fn new() -> Self {
        let shards = std::array::from_fn(|_| Lock::default());
        Self(Arc::new(Shared { shards, next_number: AtomicU64::new(0) }))
    }

    pub(crate) fn get(&self, spelling: Spelling) -> Option<EntryKey> {
        self.shard(spelling)?.lock().get(&spelling).map(|(key, _)| *key)
    }

    pub(crate) fn insert(&self, spelling: Spelling, key: EntryKey) -> SpellingSlot {
        let number = self.0.next_number.fetch_add(1, Relaxed);
        if let Some(shard) = self.shard(spelling) {
            shard.lock().insert(spelling, (key, number));
        }
        SpellingSlot { spellings: self.clone(), spelling, number }
    }

    fn shard(&self, spelling: Spelling) -> Option<&Lock<Keys>> {
        self.0.shards.get(spelling.shard() % SHARDS)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

impl Drop for SpellingSlot {
    fn drop(&mut self) {
        let Some(shard) = self.spellings.shard(self.spelling) else { return };
        let mut keys = shard.lock();
        // Another entry with the same key may have the spelling by now.
        if keys.get(&self.spelling).is_some_and(|(_, number)| *number == self.number) {
            keys.remove(&self.spelling);
        }
    }
}

impl fmt::Debug for SpellingSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpellingSlot").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::key::{KeyParts, KeySecret, SpellingSecret, Variant};

    #[test]
    fn a_slot_frees_its_own_spelling_only() {
        let secret = SpellingSecret::random();
        let of = |name: &[u8]| {
            let mut hasher = secret.hasher();
            hasher.part(name);
            hasher.finish()
        };
        let key = (KeySecret::new(b"secret").hasher().finish(), Variant::Stream);
        let spellings = Spellings::new();
        assert_eq!(spellings.get(of(b"a")), None);
        let earlier = spellings.insert(of(b"a"), key);
        let later = spellings.insert(of(b"a"), key);
        let other = spellings.insert(of(b"b"), key);
        assert_eq!((spellings.get(of(b"a")), spellings.len()), (Some(key), 2));
        drop(earlier);
        assert_eq!((spellings.get(of(b"a")), spellings.len()), (Some(key), 2));
        drop(later);
        assert_eq!((spellings.get(of(b"a")), spellings.len()), (None, 1));
        drop(other);
        assert_eq!(spellings.len(), 0);
    }
}
