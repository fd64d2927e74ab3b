use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher},
};

use siphasher::sip128::{Hasher128, SipHasher13, SipHasher24};

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
        // The standard library's hashers have keys of the system's randomness, 128 bits for each
        // thread. SipHash does not reveal its key.
        let word = |part: u8| RandomState::new().hash_one(part);
        let mut mixed = SipHasher24::new_with_keys(word(0), word(1));
        for part in 2..6 {
            mixed.write_u64(word(part));
        }
        let secret = mixed.finish128().as_bytes();
        Self(Sip::Own(SipHasher13::new_with_key(&secret)))
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
        write(&mut hasher, part);
    }
    CounterKey(hasher.finish128().as_u128())
}

/// Writes the length and the bytes of a part in whole words, which SipHash takes without copying.
///
/// The lowest four bits of the first word hold the length of a short part. They hold an 8 for a long
/// part. The last two words of a long part may overlap, because its length is known.
#[inline]
fn write(hasher: &mut impl Hasher, part: &[u8]) {
    if let Some(last) = part.last_chunk() {
        hasher.write_u64((part.len() as u64) << 4 | 8);
        let (words, rest) = part.as_chunks();
        for word in words {
            hasher.write_u64(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            hasher.write_u64(u64::from_le_bytes(*last));
        }
    } else {
        let length = part.len();
        let bytes = match (part.first_chunk(), part.last_chunk()) {
            (Some(first), Some(last)) => {
                let word = |half: &[u8; 4]| u64::from(u32::from_le_bytes(*half));
                word(first) | word(last) << (8 * (length - 4))
            }
            _ => part.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        hasher.write_u64(bytes << 8 | length as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A hasher that stores the words it is given.
    #[derive(Default)]
    struct Words(Vec<u64>);

    impl Hasher for Words {
        fn write(&mut self, _bytes: &[u8]) {
            unreachable!("only whole words are written")
        }

        fn write_u64(&mut self, word: u64) {
            self.0.push(word);
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    /// Reads the parts back.
    fn read(words: &[u64]) -> Vec<Vec<u8>> {
        let mut words = words.iter().copied();
        let mut parts = Vec::new();
        while let Some(first) = words.next() {
            let short = (first & 15) as usize;
            if short < 8 {
                parts.push(first.to_le_bytes()[1..][..short].to_vec());
                continue;
            }
            assert_eq!(short, 8);
            let length = (first >> 4) as usize;
            let mut part = Vec::new();
            while part.len() < length {
                let word = words.next().unwrap().to_le_bytes();
                part.extend_from_slice(&word[8 - (length - part.len()).min(8)..]);
            }
            parts.push(part);
        }
        parts
    }

    #[test]
    fn the_hashed_words_determine_each_part() {
        let bytes: Vec<u8> = (1..=40).chain([0, 0, 255]).collect();
        let parts = (0..bytes.len()).map(|length| bytes[bytes.len() - length..].to_vec());
        let parts: Vec<_> = parts.chain([vec![0; 9], vec![0; 3], vec![8; 300]]).collect();
        for one in &parts {
            for other in &parts {
                let mut words = Words::default();
                write(&mut words, one);
                write(&mut words, other);
                assert_eq!(read(&words.0), [one.clone(), other.clone()]);
            }
        }
    }

    #[test]
    fn each_random_hasher_makes_different_keys() {
        let all = || std::iter::repeat_with(CounterHasher::random).take(8);
        let keys: HashSet<_> = all().chain(all()).map(|hasher| hasher.key([&b"a"[..]])).collect();
        assert_eq!(keys.len(), 16);
    }
}
