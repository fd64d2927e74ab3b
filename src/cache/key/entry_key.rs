use std::fmt;

/// A keyed hash of everything that can change a response. It reveals nothing without the secret.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
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

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}
