use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// A keyed hash of everything that can change a response. It reveals nothing without the secret.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key(pub(crate) [u8; 32]);

/// The form of a response.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Variant {
    Plain,
    /// An event stream.
    Stream,
    /// An event stream that ends with its usage.
    StreamWithUsage,
}

impl Variant {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Stream, Self::StreamWithUsage];
}

/// The key of a cache entry and of a flight.
pub(crate) type EntryKey = (Key, Variant);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Any part of a keyed hash is one.
        let start = self.0.first_chunk().copied().unwrap_or_default();
        state.write_u64(u64::from_ne_bytes(start));
    }
}

/// The hash of table keys that are keyed hashes themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HashedKey(u64);

impl Hasher for HashedKey {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        // Knuth's multiplier spreads a small number, such as that of a variant.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005) ^ word;
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}
