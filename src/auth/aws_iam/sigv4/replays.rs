//! Signatures that were used.

use std::collections::{BTreeMap, BTreeSet};

use crate::{lock::Lock, sha256::Digest};

/// A bounded set of used signatures. A signature stays in it until it is expired.
#[derive(Debug)]
pub(super) struct UsedSignatures {
    max_entries: usize,
    entries: Lock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// The last second in which each signature is valid.
    until: BTreeMap<Digest, u64>,
    by_time: BTreeSet<(u64, Digest)>,
    /// The latest validity of a forgotten signature. If the clock is set back then an earlier one may be
    /// a repetition.
    forgotten: u64,
}

/// The result for a signature.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Use {
    First,
    Repeated,
    /// The set is full of signatures that are still valid.
    Full,
}

impl UsedSignatures {
    pub(super) fn new(max_entries: usize) -> Self {
        Self { max_entries, entries: Lock::default() }
    }

    /// Notes a verified signature that is valid until the second `until`.
    pub(super) fn note(&self, signature: Digest, until: u64, now: u64) -> Use {
        let mut entries = self.entries.lock();
        entries.remove_before(now);
        if until <= entries.forgotten || entries.until.contains_key(&signature) {
            return Use::Repeated;
        }
        if entries.until.len() >= self.max_entries {
            return Use::Full;
        }
        entries.until.insert(signature, until);
        entries.by_time.insert((until, signature));
        Use::First
    }
}

impl Entries {
    fn remove_before(&mut self, now: u64) {
        while let Some((until, signature)) = self.by_time.first().copied() {
            if until >= now {
                return;
            }
            self.by_time.remove(&(until, signature));
            self.until.remove(&signature);
            self.forgotten = self.forgotten.max(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_used_once_while_it_is_valid() {
        let used = UsedSignatures::new(2);
        let [one, two, three] = [b"1", b"2", b"3"].map(|text| Digest::of(text));
        assert_eq!(used.note(one, 10, 5), Use::First);
        assert_eq!(used.note(one, 10, 10), Use::Repeated);
        assert_eq!(used.note(two, 20, 10), Use::First);
        // Neither has expired, so neither makes room.
        assert_eq!(used.note(three, 20, 10), Use::Full);
        assert_eq!(used.note(three, 20, 11), Use::First);
        assert_eq!(used.note(two, 20, 11), Use::Repeated);
    }

    #[test]
    fn a_forgotten_signature_is_refused_when_the_clock_is_set_back() {
        let used = UsedSignatures::new(2);
        let [one, two, three] = [b"1", b"2", b"3"].map(|text| Digest::of(text));
        assert_eq!(used.note(one, 10, 5), Use::First);
        assert_eq!(used.note(two, 9_999, 9_999), Use::First);
        assert_eq!(used.note(one, 10, 5), Use::Repeated);
        assert_eq!(used.note(three, 11, 6), Use::First);
    }
}
