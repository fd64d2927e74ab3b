use std::{
    fmt,
    hash::{Hash, Hasher},
};

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::parts::{PartHasher, Update};
use crate::keyed_hash::random_key;

/// A keyed hash of a request as it is written.
///
/// The [key](super::Key) of a request needs its canonical form and a hash of some twenty blocks. The
/// spelling has the same parts but the body as it is written. Requests with the same spelling have the
/// same key, so the key of a spelling that was seen before need not be made again.
///
/// It is a pseudo-random function of 128 bits. Its secret and its results never leave the process.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Spelling(u128);

/// The secret of the spellings under one set of settings.
#[derive(Clone)]
pub(crate) struct SpellingSecret(SipHasher24);

pub(crate) type SpellingHasher = PartHasher<SipHasher24>;

impl SpellingSecret {
    pub(crate) fn random() -> Self {
        Self(SipHasher24::new_with_key(&random_key()))
    }

    pub(crate) const fn hasher(&self) -> SpellingHasher {
        SpellingHasher::new(self.0)
    }
}

impl SpellingHasher {
    pub(crate) fn finish(self) -> Spelling {
        Spelling(self.into_hash().finish128().as_u128())
    }
}

impl Update for SipHasher24 {
    fn update(&mut self, bytes: &[u8]) {
        self.write(bytes);
    }
}

impl Spelling {
    /// Returns bits that its hash does not have.
    pub(crate) const fn shard(self) -> usize {
        (self.0 >> 64) as usize
    }
}

impl Hash for Spelling {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Half of a keyed hash is one.
        state.write_u64(self.0 as u64);
    }
}

impl fmt::Debug for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spelling(..)")
    }
}

impl fmt::Debug for SpellingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpellingSecret(..)")
    }
}
