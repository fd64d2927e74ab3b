use std::{collections::VecDeque, io::Read};

use super::*;
use crate::{
    audit::{
        checkpoint::Reason,
        key::AuditKey,
        line::{Chain, GAP, REQUEST},
        opening::{After, Opening},
    },
    json_object::member_name,
};

/// Writes a trail with any keys.
struct Forge {
    chain: Chain,
    lines: Vec<u8>,
    trail: std::sync::Arc<str>,
}

impl Forge {
    fn new() -> Self {
        let trail = "0123456789abcdef".repeat(2).into();
        Self { chain: Chain::EMPTY, lines: Vec::new(), trail }
    }

    fn open(mut self, key: &AuditKey, after: After) -> Self {
        let opening = Opening {
            time: std::time::SystemTime::UNIX_EPOCH,
            trail: &self.trail,
            number: 1,
            after,
            key: key.public_key(),
            unsigned: None,
            torn: None,
        };
        opening.append(&mut self.chain, &mut self.lines);
        self
    }

    fn sign(mut self, key: &AuditKey, reason: Reason) -> Self {
        let (chain, lines) = (&mut self.chain, &mut self.lines);
        Checkpoint::sign(chain, lines, &self.trail, "t", reason, key);
        self
    }

    fn append(mut self, kind: &str, members: &[u8]) -> Self {
        self.chain.append(&mut self.lines, kind, members);
        self
    }

    fn report(&self, keys: &[AuditPublicKey]) -> AuditReport {
        let mut walk = Walk::new(keys, None);
        walk.file(Path::new("trail"));
        let _intact = read_lines(&mut &*self.lines, &mut walk, true).unwrap();
        walk.report()
    }
}

fn key(seed: u8) -> AuditKey {
    AuditKey::from_bytes(&[seed; 32]).unwrap()
}

#[test]
fn a_key_changes_with_a_start_alone() {
    let (first, second) = (key(1), key(2));
    let keys = [first.public_key(), second.public_key()];
    let start = || Forge::new().open(&first, After::Nothing).sign(&first, Reason::Start);
    let sound = start().open(&second, After::Crash).sign(&second, Reason::Start);
    assert!(sound.report(&keys).is_intact());
    // The owner of the old key goes on without a start, or within one of the new key.
    for forged in [
        start().append(REQUEST, b"").sign(&second, Reason::Interval),
        start().open(&second, After::Crash).sign(&first, Reason::Start),
    ] {
        let broken = forged.report(&keys).broken.unwrap();
        assert_eq!((broken.seq, broken.fault), (3, BreakFault::Resealed { after: Some(1) }));
    }
}

#[test]
fn sums_of_unproven_lines_do_not_overflow() {
    let key = key(1);
    let mut forge = Forge::new().open(&key, After::Nothing).sign(&key, Reason::Start);
    for _ in 0..2 {
        let most = [member_name!("lost"), u64::MAX.to_string().as_bytes()].concat();
        forge = forge.append(GAP, &most);
    }
    assert_eq!(forge.report(&[key.public_key()]).lost, u64::MAX);
}

/// A file to which a writer adds while it is read.
struct Growing(VecDeque<Vec<u8>>);

impl Read for Growing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(part) = self.0.pop_front() else { return Ok(0) };
        into[..part.len()].copy_from_slice(&part);
        Ok(part.len())
    }
}

#[test]
fn a_line_that_is_completed_while_it_is_read_is_no_wrong_one() {
    let key = key(1);
    let whole = Forge::new().open(&key, After::Nothing).sign(&key, Reason::Start).lines;
    let (before, after) = whole.split_at(whole.len() - 9);
    // Its end is read as the end of the file.
    let parts = [before.to_vec(), Vec::new(), after.to_vec()];
    let keys = [key.public_key()];
    let mut walk = Walk::new(&keys, None);
    walk.file(Path::new("trail"));
    let mut reader = BufReader::new(Growing(parts.into()));
    assert!(read_lines(&mut reader, &mut walk, true).unwrap());
    let report = walk.report();
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.lines, 1);
}
