use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128, SipHasher24};

/// What tells two counters apart: a keyed hash, so that neither memory nor Redis holds who calls, and
/// nobody can choose names that collide.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Key(pub(super) u128);

/// Makes keys. SipHash-2-4 with 128 bits is a pseudo-random function under its secret key.
#[derive(Clone)]
pub(super) struct Keys {
    secret: [u8; 16],
}

impl Keys {
    pub(super) const fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }

    /// The key of these parts, each with its length before it.
    pub(super) fn key<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Key {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        for part in parts {
            hasher.write_u64(part.len() as u64);
            hasher.write(part);
        }
        Key(hasher.finish128().as_u128())
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
