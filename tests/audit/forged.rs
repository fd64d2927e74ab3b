//! What `verify` finds, on random trails.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use tower_inference::audit::{
    AuditKey, BreakFault, Checkpoint, Checkpoints, Durability, KnownCheckpoint, trail_files, verify,
};

use crate::{Folder, assert_intact, audit, public, send_numbers, verified};

/// The lines of each file of a trail, without their ends.
#[derive(Clone, Debug)]
struct Trail(Vec<Vec<Vec<u8>>>);

impl Trail {
    fn read(folder: &Folder) -> Self {
        let files = trail_files(folder.trail()).unwrap();
        let lines = |file| {
            let text = fs::read(file).unwrap();
            let text = text.strip_suffix(b"\n").unwrap().to_vec();
            text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
        };
        Self(files.into_iter().map(lines).collect())
    }

    fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The file and the line of a record.
    fn place(&self, mut at: usize) -> (usize, usize) {
        for (file, lines) in self.0.iter().enumerate() {
            if at < lines.len() {
                return (file, at);
            }
            at -= lines.len();
        }
        (self.0.len() - 1, self.0.last().unwrap().len())
    }

    fn line(&self, at: usize) -> &Vec<u8> {
        let (file, line) = self.place(at);
        &self.0[file][line]
    }

    fn line_mut(&mut self, at: usize) -> &mut Vec<u8> {
        let (file, line) = self.place(at);
        &mut self.0[file][line]
    }

    fn insert(&mut self, at: usize, text: Vec<u8>) {
        let (file, line) = self.place(at);
        self.0[file].insert(line, text);
    }

    fn remove(&mut self, at: usize) -> Vec<u8> {
        let (file, line) = self.place(at);
        self.0[file].remove(line)
    }

    fn truncate(&mut self, length: usize) {
        while self.len() > length {
            let last = self.0.last_mut().unwrap();
            if last.pop().is_none() {
                self.0.pop();
            }
        }
    }

    fn value(&self, at: usize) -> Value {
        serde_json::from_slice(self.line(at)).unwrap()
    }

    fn is_checkpoint(&self, at: usize) -> bool {
        self.value(at)["kind"] == "checkpoint"
    }

    fn last_checkpoint(&self) -> Checkpoint {
        let at = (0..self.len()).rfind(|at| self.is_checkpoint(*at)).unwrap();
        String::from_utf8(self.line(at).clone()).unwrap().parse().unwrap()
    }

    fn write(&self, folder: &Folder) -> Vec<PathBuf> {
        let write = |(number, lines): (usize, &Vec<Vec<u8>>)| {
            let path = folder.trail().with_extension(format!("{number}"));
            let text: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
            fs::write(&path, text).unwrap();
            path
        };
        self.0.iter().enumerate().map(write).collect()
    }

    /// Computes the hashes anew from a record on, as anybody can.
    fn rehash(&mut self, from: usize) {
        let hash = |line: &[u8]| String::from_utf8(line[line.len() - 66..line.len() - 2].to_vec());
        let mut head = (from > 0).then(|| hash(self.line(from - 1)).unwrap());
        for at in from..self.len() {
            let text = String::from_utf8(self.line(at).clone()).unwrap();
            let (hashed, _) = text.rsplit_once(",\"hash\":").unwrap();
            let hashed = match &head {
                Some(head) => {
                    let (before, after) = hashed.split_once("\"prev\":\"").unwrap();
                    format!("{before}\"prev\":\"{head}{}", &after[64..])
                }
                None => hashed.to_owned(),
            };
            let new = sha256(&hashed);
            *self.line_mut(at) = format!("{hashed},\"hash\":\"{new}\"}}").into_bytes();
            head = Some(new);
        }
    }
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a trail in several sittings.
fn written(sittings: &[usize], max_file_bytes: u64, max_records: u64) -> Trail {
    let folder = Folder::create();
    for requests in sittings {
        let settings = audit(&folder.trail()).durability(Durability::System);
        let checkpoints = Checkpoints::new().max_records(max_records);
        let log = settings.max_file_bytes(max_file_bytes).checkpoints(checkpoints).open().unwrap();
        for _ in 0..*requests {
            send_numbers(&log, 2);
            // A file is rotated between two writes.
            assert!(log.flush());
        }
    }
    assert_intact(&folder.trail());
    Trail::read(&folder)
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Edit { bit: u8, byte: prop::sample::Index },
    Remove,
    Swap(prop::sample::Index),
    Repeat(prop::sample::Index),
    Truncate,
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => (0_u8..8, index()).prop_map(|(bit, byte)| Change::Edit { bit, byte }),
        1 => Just(Change::Remove),
        1 => index().prop_map(Change::Swap),
        1 => index().prop_map(Change::Repeat),
        1 => Just(Change::Truncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn each_single_change_is_found_and_the_first_wrong_record_is_named(
        sittings in prop::collection::vec(0_usize..5, 1..4),
        (max_file_bytes, max_records) in (600_u64..6_000, 1_u64..6),
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 16),
    ) {
        let whole = written(&sittings, max_file_bytes, max_records);
        let known = whole.last_checkpoint();
        for (at, change) in changes {
            let mut trail = whole.clone();
            let at = at.index(trail.len());
            let expected = match change {
                Change::Edit { bit, byte } => {
                    let line = trail.line_mut(at);
                    let byte = byte.index(line.len());
                    line[byte] ^= 1 << bit;
                    at
                }
                Change::Remove => {
                    trail.remove(at);
                    at
                }
                Change::Swap(other) => {
                    let other = other.index(trail.len());
                    if at == other {
                        continue;
                    }
                    let (first, second) = (trail.line(at).clone(), trail.line(other).clone());
                    *trail.line_mut(at) = second;
                    *trail.line_mut(other) = first;
                    at.min(other)
                }
                Change::Repeat(to) => {
                    let to = to.index(trail.len() + 1);
                    let line = trail.line(at).clone();
                    trail.insert(to, line);
                    // Of two equal lines the second one is wrong.
                    if to == at { at + 1 } else { to }
                }
                Change::Truncate => {
                    trail.truncate(at);
                    at
                }
            };
            let folder = Folder::create();
            let files = trail.write(&folder);
            let report = verify(&files, &[public()], Some(&known)).unwrap();
            let Some(broken) = &report.broken else {
                return Err(TestCaseError::fail(format!("{change:?} at {at} is not found")));
            };
            // The files of a trail may start with any opening record. The next one shows that it was
            // moved there.
            let moved = trail.len() > 0
                && trail.place(0) == (0, 0)
                && trail.value_or_null(0)["kind"] == "open"
                && trail.value_or_null(0)["seq"] != 0;
            let named = broken.seq as usize;
            prop_assert!(named == expected || moved, "{change:?} at {at}: {broken}");
            let is_cut = matches!(broken.fault, BreakFault::Cut { .. });
            if !is_cut && !moved {
                let (file, line) = trail.place(expected);
                prop_assert_eq!(&broken.file, &files[file], "{:?} at {}: {}", change, at, broken);
                prop_assert_eq!(broken.line as usize, line + 1);
            }
        }
    }

    #[test]
    fn hashes_that_are_computed_anew_meet_the_next_signature(
        requests in 1_usize..6,
        max_records in 1_u64..6,
        at in any::<prop::sample::Index>(),
    ) {
        let mut trail = written(&[requests], u64::MAX, max_records);
        let records: Vec<_> =
            (0..trail.len()).filter(|at| trail.value(*at)["kind"] == "request").collect();
        let at = records[at.index(records.len())];
        let text = String::from_utf8(trail.line(at).clone()).unwrap();
        *trail.line_mut(at) = text.replace("\"method\":\"GET\"", "\"method\":\"PUT\"").into_bytes();
        trail.rehash(at);
        let next = (at..trail.len()).find(|at| trail.is_checkpoint(*at)).unwrap();
        let before = (0..at).rfind(|at| trail.is_checkpoint(*at)).unwrap();
        let folder = Folder::create();
        let broken = verify(&trail.write(&folder), &[public()], None).unwrap().broken.unwrap();
        prop_assert_eq!(broken.seq as usize, next);
        prop_assert_eq!(broken.fault, BreakFault::Resealed { after: Some(before as u64) });
    }
}

impl Trail {
    fn value_or_null(&self, at: usize) -> Value {
        serde_json::from_slice(self.line(at)).unwrap_or_default()
    }
}

#[test]
fn a_record_whose_own_hash_was_computed_anew_is_named_by_the_next() {
    let mut trail = written(&[3], u64::MAX, 100);
    let at = 4;
    let text = String::from_utf8(trail.line(at).clone()).unwrap().replace("GET", "PUT");
    let (hashed, _) = text.rsplit_once(",\"hash\":").unwrap();
    *trail.line_mut(at) = format!("{hashed},\"hash\":\"{}\"}}", sha256(hashed)).into_bytes();
    let folder = Folder::create();
    let broken = verify(&trail.write(&folder), &[public()], None).unwrap().broken.unwrap();
    assert_eq!((broken.seq, broken.line, broken.fault), (4, 5, BreakFault::Replaced));
}

#[test]
fn what_follows_the_last_checkpoint_is_unproven_without_a_known_one() {
    let mut trail = written(&[5], u64::MAX, 4);
    let known = trail.last_checkpoint();
    let whole = trail.len();
    let folder = Folder::create();
    let report = verify(&trail.write(&folder), &[public()], Some(&known)).unwrap();
    assert_eq!((report.unproven, report.known), (0, KnownCheckpoint::Found));
    // Lines: open, checkpoint, 4 requests, checkpoint, 4 requests, checkpoint, 2 requests, checkpoint.
    assert_eq!((whole, report.requests), (15, 10));
    trail.truncate(13);
    let files = trail.write(&folder);
    let report = verify(&files, &[public()], None).unwrap();
    assert!(report.is_intact());
    assert_eq!((report.unproven, report.checkpoint.unwrap().seq()), (1, 11));
    assert_eq!(report.known, KnownCheckpoint::NotGiven);
    let broken = verify(&files, &[public()], Some(&known)).unwrap().broken.unwrap();
    assert_eq!((broken.seq, broken.fault), (13, BreakFault::Cut { known: 14 }));
}

#[test]
fn a_trail_that_was_cut_and_then_continued_lacks_the_known_checkpoint() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).open().unwrap();
    send_numbers(&log, 9);
    drop(log);
    let mut trail = Trail::read(&folder);
    let known = trail.last_checkpoint();
    trail.truncate(4);
    fs::copy(&trail.write(&folder)[0], folder.trail()).unwrap();
    let log = audit(&folder.trail()).open().unwrap();
    send_numbers(&log, 20);
    drop(log);
    let report = assert_intact(&folder.trail());
    assert_eq!((report.crashes, report.signed_late), (1, 2));
    let broken = verified(&folder.trail(), Some(&known)).broken.unwrap();
    assert_eq!((broken.seq, broken.fault), (known.seq(), BreakFault::NotKnown));
}

#[test]
fn keys_and_checkpoints_of_others_prove_nothing() {
    let folder = Folder::create();
    drop(audit(&folder.trail()).open().unwrap());
    let other = AuditKey::from_bytes(&[8; 32]).unwrap().public_key();
    let files = trail_files(folder.trail()).unwrap();
    let broken = verify(&files, &[other], None).unwrap().broken.unwrap();
    assert_eq!((broken.seq, broken.fault), (1, BreakFault::UnknownKey));
    assert!(verify(&files, &[], None).unwrap().broken.is_some());
    let known = Trail::read(&folder).last_checkpoint();
    let error = verify(&files, &[other], Some(&known)).unwrap_err();
    assert_eq!(error.to_string(), "none of the public keys has signed this checkpoint");

    // Two trails of one key.
    let second = Folder::create();
    let log = audit(&second.trail()).open().unwrap();
    send_numbers(&log, 30);
    drop(log);
    let report = verified(&second.trail(), Some(&known));
    assert!(!report.is_intact(), "{report}");
}

#[test]
fn files_that_start_later_are_reported() {
    let trail = written(&[5], 1_000, 100);
    assert!(trail.0.len() > 3, "{}", trail.0.len());
    let folder = Folder::create();
    let files = trail.write(&folder);
    let known = trail.last_checkpoint();
    let report = verify(&files[2..], &[public()], Some(&known)).unwrap();
    assert!(report.is_intact(), "{report}");
    assert!(report.first_seq.unwrap() > 0);
    assert!(report.to_string().contains("earlier ones were not given"), "{report}");
    // The wrong order, and a file that is missing.
    let mut swapped = files.clone();
    swapped.swap(0, 1);
    for files in [&swapped[..], &[files[0].clone(), files[2].clone()]] {
        assert!(!verify(files, &[public()], None).unwrap().is_intact());
    }
    let missing = verify(&[folder.trail().with_extension("none")], &[public()], None);
    assert!(missing.unwrap_err().to_string().contains("it cannot be read: no such file"));
}

#[test]
fn a_line_without_end_takes_bounded_memory() {
    let folder = Folder::create();
    drop(audit(&folder.trail()).open().unwrap());
    let mut text = fs::read(folder.trail()).unwrap();
    let lines = text.iter().filter(|byte| **byte == b'\n').count() as u64;
    text.extend(vec![b'x'; 1_000]);
    fs::write(folder.trail(), &text).unwrap();
    let report = assert_intact(&folder.trail());
    assert_eq!((report.lines, report.incomplete_bytes), (lines, 1_000));
    text.extend(vec![b'x'; 5 << 20]);
    fs::write(folder.trail(), &text).unwrap();
    let broken = verified(&folder.trail(), None).broken.unwrap();
    assert_eq!((broken.seq, broken.fault), (lines, BreakFault::Edited));
}
