//! The proofs that clients have used, so that each is accepted once (RFC 9449 section 11.1).

#[expect(clippy::disallowed_types, reason = "bounded by the proofs")]
use std::collections::HashMap;
use std::{
    collections::{HashSet, VecDeque, hash_map::Entry},
    time::Duration,
};

use crate::lock::Lock;

/// The part of the room that the proofs of one key may take.
const PART_OF_A_KEY: usize = 4;

/// Remembers at most `max` proofs until they can no longer be accepted.
///
/// The proofs of one key take at most a quarter of the room, so that one client cannot keep the others
/// out.
pub(super) struct UsedProofs {
    max: usize,
    max_of_a_key: usize,
    used: Lock<Used>,
}

#[derive(Default)]
#[expect(clippy::disallowed_types, reason = "bounded by the proofs")]
struct Used {
    digests: HashSet<u128>,
    /// The proofs in the order of their use.
    proofs: VecDeque<UsedProof>,
    /// The number of proofs of each key.
    of_key: HashMap<u64, usize>,
    /// The latest `iat` of a forgotten proof. A proof that is not later may be a forgotten one.
    forgotten: Option<u64>,
}

/// A proof that a client has used.
#[derive(Clone, Copy)]
pub(super) struct UsedProof {
    /// The digest of the key and the `jti`.
    pub(super) digest: u128,
    /// The start of the key's thumbprint. Two keys with the same start share their room.
    pub(super) key: u64,
    /// Its `iat` in whole seconds.
    pub(super) issued: u64,
    /// The end of its acceptance on the monotonic clock.
    pub(super) expiry: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Use {
    First,
    Again,
    /// The proof would be too old if nobody had set the wall clock back. It may have been used.
    Forgotten,
    /// The proof cannot be remembered, so it must not be accepted.
    Full,
}

impl UsedProofs {
    pub(super) fn new(max: usize) -> Self {
        Self { max, max_of_a_key: max.div_ceil(PART_OF_A_KEY), used: Lock::default() }
    }

    /// Notes the use of a proof.
    pub(super) fn note(&self, proof: UsedProof, now: Duration) -> Use {
        let mut used = self.used.lock();
        used.forget_expired(now);
        if used.digests.contains(&proof.digest) {
            return Use::Again;
        }
        if used.forgotten.is_some_and(|latest| proof.issued <= latest) {
            return Use::Forgotten;
        }
        let of_key = used.of_key.get(&proof.key).copied().unwrap_or_default();
        if used.digests.len() >= self.max || of_key >= self.max_of_a_key {
            return Use::Full;
        }
        used.digests.insert(proof.digest);
        used.of_key.insert(proof.key, of_key + 1);
        used.proofs.push_back(proof);
        Use::First
    }
}

impl Used {
    fn forget_expired(&mut self, now: Duration) {
        while let Some(UsedProof { digest, key, issued, .. }) =
            self.proofs.front().filter(|proof| proof.expiry <= now).copied()
        {
            self.proofs.pop_front();
            self.digests.remove(&digest);
            self.forgotten = self.forgotten.max(Some(issued));
            if let Entry::Occupied(mut of_key) = self.of_key.entry(key) {
                *of_key.get_mut() -= 1;
                if *of_key.get() == 0 {
                    of_key.remove();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Returns a proof with a lifetime of a minute.
    const fn proof(digest: u128, key: u64, expiry: u64) -> UsedProof {
        UsedProof { digest, key, issued: expiry - 60, expiry: seconds(expiry) }
    }

    #[test]
    fn proof_is_accepted_once_until_it_expires() {
        let proofs = UsedProofs::new(2);
        assert_eq!(proofs.note(proof(1, 1, 60), seconds(0)), Use::First);
        assert_eq!(proofs.note(proof(1, 1, 119), seconds(59)), Use::Again);
        assert_eq!(proofs.note(proof(2, 2, 119), seconds(59)), Use::First);
        assert_eq!(proofs.note(proof(3, 3, 119), seconds(59)), Use::Full);
        // The first one is too old to be accepted, so its room is free.
        assert_eq!(proofs.note(proof(3, 3, 120), seconds(60)), Use::First);
        assert_eq!(proofs.note(proof(2, 2, 120), seconds(60)), Use::Again);
        let used = proofs.used.lock();
        assert_eq!((used.digests.len(), used.proofs.len(), used.of_key.len()), (2, 2, 2));
    }

    #[test]
    fn one_key_leaves_room_for_the_others() {
        let proofs = UsedProofs::new(8);
        assert_eq!(proofs.note(proof(1, 1, 60), seconds(0)), Use::First);
        assert_eq!(proofs.note(proof(2, 1, 60), seconds(0)), Use::First);
        assert_eq!(proofs.note(proof(3, 1, 60), seconds(0)), Use::Full);
        assert_eq!(proofs.note(proof(4, 2, 60), seconds(0)), Use::First);
        assert_eq!(proofs.note(proof(3, 1, 120), seconds(60)), Use::First);
        let used = proofs.used.lock();
        assert_eq!((used.of_key.len(), used.of_key.get(&1)), (1, Some(&1)));
    }
}
