//! Hashes of parts by SipHash with a result of 128 bits.
//!
//! SipHash is a pseudo-random function under its key (Aumasson and Bernstein, "SipHash: a fast
//! short-input PRF", 2012). A client that does not know the key cannot choose parts that collide.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher},
};

use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// Returns a random key.
pub(crate) fn random_key() -> [u8; 16] {
    // The standard library's hashers have keys of the system's randomness, 128 bits for each
    // thread. SipHash does not reveal its key.
    let word = |part: u8| RandomState::new().hash_one(part);
    let mut mixed = SipHasher24::new_with_keys(word(0), word(1));
    for part in 2..6 {
        mixed.write_u64(word(part));
    }
    mixed.finish128().as_bytes()
}

/// Hashes the length and the bytes of a part in whole words, which SipHash takes without copying.
///
/// The lowest four bits of the first word hold the length of a short part. They hold an 8 for a long
/// part. The last two words of a long part may overlap, because its length is known.
#[cfg(feature = "throttle")]
#[inline]
pub(crate) fn hash_part(hasher: &mut impl Hasher, part: &[u8]) {
    if let Some(last) = part.last_chunk() {
        hasher.write_u64((part.len() as u64) << 4 | 8);
        let (words, rest) = part.as_chunks::<8>();
        hasher.write(words.as_flattened());
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

#[cfg(all(test, feature = "throttle"))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A hasher that stores the words it is given.
    #[derive(Default)]
    struct Words(Vec<u64>);

    impl Hasher for Words {
        fn write(&mut self, bytes: &[u8]) {
            let (words, rest) = bytes.as_chunks();
            assert!(rest.is_empty(), "only whole words are written");
            self.0.extend(words.iter().map(|word| u64::from_le_bytes(*word)));
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
                hash_part(&mut words, one);
                hash_part(&mut words, other);
                assert_eq!(read(&words.0), [one.clone(), other.clone()]);
            }
        }
    }

    #[test]
    fn each_random_key_differs() {
        let keys: HashSet<_> = (0..16).map(|_| random_key()).collect();
        assert_eq!(keys.len(), 16);
    }
}
