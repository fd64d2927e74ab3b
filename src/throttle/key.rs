use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher},
};

use siphasher::sip128::{Hasher128, SipHasher13, SipHasher24};

/// What tells two counters apart: a keyed hash, so that neither memory nor Redis holds who calls, and
/// nobody can choose names that collide.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Key(pub(super) u128);

/// Makes keys of 128 bits: a pseudo-random function under its secret key.
#[derive(Clone)]
pub(super) struct Keys(Sip);

#[derive(Clone)]
enum Sip {
    /// SipHash-2-4, for keys that others see.
    Shared(SipHasher24),
    /// SipHash-1-3, for keys and a secret that do not leave the process: what the standard library's
    /// tables trust.
    Own(SipHasher13),
}

impl Keys {
    #[cfg_attr(not(any(feature = "redis", test)), expect(dead_code, reason = "of shared stores"))]
    pub(super) fn new(secret: [u8; 16]) -> Self {
        Self(Sip::Shared(SipHasher24::new_with_key(&secret)))
    }

    /// Of a secret that nobody knows.
    pub(super) fn random() -> Self {
        // The standard library's hashers have keys of the system's randomness, 128 bits for each
        // thread, and tell no more of them than SipHash does.
        let word = |part: u8| RandomState::new().hash_one(part);
        let mut mixed = SipHasher24::new_with_keys(word(0), word(1));
        for part in 2..6 {
            mixed.write_u64(word(part));
        }
        let secret = mixed.finish128().as_bytes();
        Self(Sip::Own(SipHasher13::new_with_key(&secret)))
    }

    /// The key of these parts, each with its length before it.
    #[inline]
    pub(super) fn key<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Key {
        match &self.0 {
            Sip::Shared(hasher) => key(*hasher, parts),
            Sip::Own(hasher) => key(*hasher, parts),
        }
    }
}

impl Key {
    /// This key, for one of several limits that count by the same thing. Both are pseudo-random, so
    /// their combinations are as unlikely to meet.
    pub(super) const fn of_limit(self, limit: Self) -> Self {
        Self(self.0 ^ limit.0)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

#[inline]
fn key<'a>(mut hasher: impl Hasher + Hasher128, parts: impl IntoIterator<Item = &'a [u8]>) -> Key {
    for part in parts {
        write(&mut hasher, part);
    }
    Key(hasher.finish128().as_u128())
}

/// Writes a part in whole words, which SipHash takes without copying: its length, and what it holds.
/// The lowest four bits of the first word say how long it is, or, by an 8, that it is long. The last
/// words of a long one may overlap: its length is known.
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

    /// Keeps the words.
    #[derive(Default)]
    struct Words(Vec<u64>);

    impl Hasher for Words {
        fn write(&mut self, _bytes: &[u8]) {
            unreachable!("whole words alone")
        }

        fn write_u64(&mut self, word: u64) {
            self.0.push(word);
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    /// What was written, read again.
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
    fn what_is_hashed_says_where_each_part_ends() {
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
    fn each_store_has_keys_of_its_own() {
        let all = || std::iter::repeat_with(Keys::random).take(8);
        let keys: HashSet<_> = all().chain(all()).map(|keys| keys.key([&b"a"[..]])).collect();
        assert_eq!(keys.len(), 16);
    }
}
