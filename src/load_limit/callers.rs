use std::{
    collections::hash_map::{Entry, RandomState},
    hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher},
};

use crate::lock::Lock;

/// Enough that threads seldom contend for one lock.
const SHARDS: usize = 16;

/// The hash of whatever identifies a caller.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Caller(u64);

/// Counts the permits of each caller. The last permit of a caller removes its entry, so there are at
/// most as many entries as permits.
pub(super) struct Callers {
    // Random, so that no caller can choose a hash that collides with another caller's.
    hasher: RandomState,
    shards: [Lock<Shard>; SHARDS],
}

#[expect(clippy::disallowed_types, reason = "bounded by the permits")]
type Shard = std::collections::HashMap<Caller, usize, BuildHasherDefault<IdentityHasher>>;

impl Callers {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: std::array::from_fn(|_| Lock::default()) }
    }

    pub(super) fn caller(&self, key: impl Hash) -> Caller {
        Caller(self.hasher.hash_one(key))
    }

    /// Counts one permit more of `caller` if `take` succeeds, which reads how many it has.
    pub(super) fn add_if<E>(
        &self,
        caller: Caller,
        take: impl FnOnce(usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut shard = self.shard(caller).lock();
        let own = shard.get(&caller).copied().unwrap_or_default();
        take(own)?;
        shard.insert(caller, own + 1);
        Ok(())
    }

    /// Returns how many permits `caller` has.
    pub(super) fn permits(&self, caller: Caller) -> usize {
        self.shard(caller).lock().get(&caller).copied().unwrap_or_default()
    }

    /// Counts one permit less of `caller`.
    pub(super) fn remove(&self, caller: Caller) {
        if let Entry::Occupied(mut own) = self.shard(caller).lock().entry(caller) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }

    fn shard(&self, caller: Caller) -> &Lock<Shard> {
        let [first, ..] = &self.shards;
        // The hash table of the shard uses other bits for its buckets and tags.
        self.shards.get((caller.0 >> 32) as usize % SHARDS).unwrap_or(first)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().capacity()).sum()
    }
}

/// Returns a key that is a hash already.
#[derive(Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Not called because the key is one `u64`.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
