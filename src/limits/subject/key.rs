use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13, SipHasher24};

use crate::keyed_hash::{hash_part, random_key};

/// The key of a counter: a keyed hash of 128 bits.
///
/// Neither memory nor Redis holds the names of callers, and no caller can choose names that collide.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CounterKey(pub(crate) u128);

/// Makes counter keys: a pseudo-random function under a secret.
#[derive(Clone)]
pub(crate) struct CounterHasher(Sip);

#[derive(Clone)]
enum Sip {
    /// SipHash-2-4, for keys that others see.
    Shared(SipHasher24),
    /// SipHash-1-3, for keys and a secret that stay in the process. The standard library's tables
    /// trust it.
    Own(SipHasher13),
}

impl CounterHasher {
    #[cfg_attr(not(any(feature = "redis", test)), expect(dead_code, reason = "for shared stores"))]
    pub(crate) fn new(secret: [u8; 16]) -> Self {
        Self(Sip::Shared(SipHasher24::new_with_key(&secret)))
    }

    /// Makes a hasher with a random secret.
    pub(crate) fn random() -> Self {
        Self(Sip::Own(SipHasher13::new_with_key(&random_key())))
    }

    /// Hashes these parts, each with its length before it.
    #[inline]
    pub(crate) fn key<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> CounterKey {
        match &self.0 {
            Sip::Shared(hasher) => key(*hasher, parts),
            Sip::Own(hasher) => key(*hasher, parts),
        }
    }
}

impl CounterKey {
    /// Returns this subject's key for one of several limits.
    ///
    /// Both parts are pseudo-random, so their combinations are as unlikely to collide. The
    /// [group](Self::group) stays that of `self`.
    pub(crate) const fn of_limit(self, limit: Self) -> Self {
        Self(self.0 ^ (limit.0 & (u128::MAX >> 8)))
    }

    /// Returns eight bits that all counters of one subject have in common. Counters of one group lie
    /// in one table and share its lock.
    pub(crate) const fn group(self) -> u8 {
        (self.0 >> 120) as u8
    }
}

impl std::fmt::Debug for CounterHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CounterHasher(..)")
    }
}

#[inline]
fn key<'a>(
    mut hasher: impl Hasher + Hasher128,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> CounterKey {
    for part in parts {
        hash_part(&mut hasher, part);
    }
    CounterKey(hasher.finish128().as_u128())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_random_hasher_makes_different_keys() {
        let all = || std::iter::repeat_with(CounterHasher::random).take(8);
        let keys: HashSet<_> = all().chain(all()).map(|hasher| hasher.key([&b"a"[..]])).collect();
        assert_eq!(keys.len(), 16);
    }
}
