//! The proofs that clients have used, so that each is accepted once (RFC 9449 section 11.1).

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use crate::lock::Lock;

/// Remembers at most `max` proofs until they can no longer be accepted.
pub(super) struct UsedProofs {
    max: usize,
    used: Lock<Used>,
}

#[derive(Default)]
struct Used {
    digests: HashSet<u128>,
    /// The digests with their expiry on the monotonic clock, in the order of their use.
    expiries: VecDeque<(Duration, u128)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Use {
    First,
    Again,
    /// The proof cannot be remembered, so it must not be accepted.
    Full,
}

impl UsedProofs {
    pub(super) fn new(max: usize) -> Self {
        Self { max, used: Lock::default() }
    }

    /// Notes the use of a proof that is accepted until `expiry` at most.
    pub(super) fn note(&self, digest: u128, now: Duration, expiry: Duration) -> Use {
        let mut used = self.used.lock();
        let Used { digests, expiries } = &mut *used;
        while let Some((_, old)) = expiries.front().filter(|(expiry, _)| *expiry <= now) {
            digests.remove(old);
            expiries.pop_front();
        }
        if digests.contains(&digest) {
            return Use::Again;
        }
        if digests.len() >= self.max {
            return Use::Full;
        }
        digests.insert(digest);
        expiries.push_back((expiry, digest));
        Use::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proof_is_accepted_once_until_it_expires() {
        let seconds = Duration::from_secs;
        let proofs = UsedProofs::new(2);
        assert_eq!(proofs.note(1, seconds(0), seconds(60)), Use::First);
        assert_eq!(proofs.note(1, seconds(59), seconds(119)), Use::Again);
        assert_eq!(proofs.note(2, seconds(59), seconds(119)), Use::First);
        assert_eq!(proofs.note(3, seconds(59), seconds(119)), Use::Full);
        // The first one is too old to be accepted, so its room is free.
        assert_eq!(proofs.note(3, seconds(60), seconds(120)), Use::First);
        assert_eq!(proofs.note(2, seconds(60), seconds(120)), Use::Again);
        let used = proofs.used.lock();
        assert_eq!((used.digests.len(), used.expiries.len()), (2, 2));
    }
}
