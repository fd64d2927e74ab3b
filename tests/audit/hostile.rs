//! Files that somebody replaces, moves, links or plants.

use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};

use http::StatusCode;
use tower_inference::audit::{
    AuditFault, BreakFault, Durability, KnownCheckpoint, trail_files, verify,
};

use crate::{Folder, assert_intact, audit, files::status, of_kind, public, send_numbers, verified};

/// Writes a trail of several files. Returns the last checkpoint.
fn several_files(folder: &Folder) -> tower_inference::audit::Checkpoint {
    let log = audit(&folder.trail()).max_file_bytes(1).open().unwrap();
    for _ in 0..4 {
        send_numbers(&log, 1);
        assert!(log.flush());
    }
    drop(log);
    let text = fs::read_to_string(folder.trail()).unwrap();
    text.lines().last().unwrap().parse().unwrap()
}

fn fault(path: &Path) -> AuditFault {
    audit(path).open().unwrap_err().fault
}

#[cfg(unix)]
#[test]
fn one_file_has_one_writer_whatever_its_name() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).open().unwrap();
    // A second name, and a first one whose lock was deleted.
    let second = folder.0.join("second.jsonl");
    fs::hard_link(folder.trail(), &second).unwrap();
    fs::remove_file(folder.trail().with_extension("jsonl.lock")).unwrap();
    for path in [&second, &folder.trail()] {
        assert_eq!(fault(path), AuditFault::InUse, "{path:?}");
    }
    // A name that leads there, and one that leads nowhere.
    let link = folder.0.join("link.jsonl");
    for target in [folder.trail(), folder.0.join("none")] {
        std::os::unix::fs::symlink(target, &link).unwrap();
        assert_eq!(fault(&link), AuditFault::NotAFile);
        fs::remove_file(&link).unwrap();
    }
    assert!(!folder.0.join("link.jsonl.lock").exists());
    // The lock moves on with a rotation.
    drop(log);
    let log = audit(&folder.trail()).max_file_bytes(1).open().unwrap();
    for _ in 0..2 {
        send_numbers(&log, 1);
        assert!(log.flush());
    }
    fs::remove_file(folder.trail().with_extension("jsonl.lock")).unwrap();
    assert_eq!(fault(&folder.trail()), AuditFault::InUse);
}

#[test]
fn a_file_that_was_replaced_by_an_older_one_is_not_gone_on_with() {
    let folder = Folder::create();
    several_files(&folder);
    let older = fs::read(folder.trail().with_extension("jsonl.000002")).unwrap();
    let current = fs::read(folder.trail()).unwrap();
    fs::write(folder.trail(), &older).unwrap();
    let error = audit(&folder.trail()).open().unwrap_err();
    assert!(matches!(error.fault, AuditFault::Older { .. }), "{error}");
    assert!(error.to_string().contains("it is older than audit.jsonl.00000"), "{error}");
    assert_eq!(fs::read(folder.trail()).unwrap(), older);
    fs::write(folder.trail(), current).unwrap();
    drop(audit(&folder.trail()).open().unwrap());
    assert_intact(&folder.trail());
}

/// To write on into a file without a name would lose its records, and nobody would see it.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_was_moved_or_replaced_rejects_requests_until_it_is_back() {
    for replaced in [false, true] {
        let folder = Folder::create();
        let log = audit(&folder.trail()).durability(Durability::EachRecord).open().unwrap();
        assert_eq!(status(&log).await, StatusCode::OK);
        assert!(log.flush());
        let away = folder.0.join("away");
        fs::rename(folder.trail(), &away).unwrap();
        if replaced {
            fs::copy(&away, folder.trail()).unwrap();
        }
        // It is seen by the next write.
        let mut served = 1;
        while status(&log).await == StatusCode::OK {
            served += 1;
            assert!(served < 100_000, "nobody sees that the file is gone");
        }
        while log.is_writable() {}
        assert_eq!(status(&log).await, StatusCode::SERVICE_UNAVAILABLE);
        fs::rename(&away, folder.trail()).unwrap();
        while !log.is_writable() {
            // It tries at once instead of in a second.
            let _durable = log.flush();
        }
        assert_eq!(status(&log).await, StatusCode::OK);
        drop(log);
        let report = assert_intact(&folder.trail());
        assert_eq!((report.lost, report.gaps), (0, 1));
        assert!(report.requests > served && report.turned_away >= 1, "{report}");
        let cause = if replaced { "replaced by another one" } else { "moved or deleted" };
        let gap = &of_kind(&folder.trail(), "gap")[0];
        assert!(gap["cause"].as_str().unwrap().ends_with(cause), "{gap}");
    }
}

#[test]
fn another_trail_that_starts_after_the_known_checkpoint_is_none_of_it() {
    let (folder, other) = (Folder::create(), Folder::create());
    drop(audit(&folder.trail()).open().unwrap());
    let text = fs::read_to_string(folder.trail()).unwrap();
    let known = text.lines().last().unwrap().parse().unwrap();
    several_files(&other);
    // Of the same key.
    let files = trail_files(other.trail()).unwrap();
    let report = verify(&files[2..], &[public()], Some(&known)).unwrap();
    assert_eq!(report.broken.as_ref().unwrap().fault, BreakFault::OtherTrail, "{report}");
    assert_eq!(report.broken.unwrap().line, 1);
    // Later files of the same trail say that the checkpoint proves nothing.
    let text = fs::read_to_string(&files[0]).unwrap();
    let known = text.lines().nth(1).unwrap().parse().unwrap();
    let report = verify(&files[2..], &[public()], Some(&known)).unwrap();
    assert_eq!((report.is_intact(), report.known), (true, KnownCheckpoint::BeforeStart));
}

#[test]
fn an_empty_file_is_no_intact_trail() {
    let folder = Folder::create();
    several_files(&folder);
    let files = trail_files(folder.trail()).unwrap();
    for (at, file) in files.iter().enumerate() {
        let content = fs::read(file).unwrap();
        for rest in [&b""[..], b"{\"seq\":"] {
            fs::write(file, rest).unwrap();
            let broken = verified(&folder.trail(), None).broken.expect("the records are gone");
            assert_eq!((&broken.file, broken.line), (file, 1));
            let is_last = at + 1 == files.len();
            let is_cut = rest.is_empty() || is_last;
            let fault = if is_cut { BreakFault::NoOpening } else { BreakFault::Edited };
            assert_eq!(broken.fault, fault);
        }
        fs::write(file, content).unwrap();
    }
    assert_intact(&folder.trail());
}

/// The path of a file of a trail that is rotated when its first file is opened.
struct Rotating<'a> {
    path: &'a Path,
    trail: PathBuf,
    done: &'a Cell<bool>,
}

impl AsRef<Path> for Rotating<'_> {
    fn as_ref(&self) -> &Path {
        let is_first = self.path.extension().is_some_and(|number| number == "000001");
        if is_first && !self.done.replace(true) {
            let log = audit(&self.trail).max_file_bytes(1).open().unwrap();
            for _ in 0..3 {
                send_numbers(&log, 1);
                assert!(log.flush());
            }
        }
        self.path
    }
}

#[test]
fn a_rotation_while_earlier_files_are_read_is_no_change() {
    let folder = Folder::create();
    several_files(&folder);
    let files = trail_files(folder.trail()).unwrap();
    let done = Cell::new(false);
    let rotating = |path| Rotating { path, trail: folder.trail(), done: &done };
    let rotating: Vec<_> = files.iter().map(|path| rotating(path)).collect();
    let report = verify(&rotating, &[public()], None).unwrap();
    assert!(report.is_intact(), "{report}");
    assert!(done.get() && trail_files(folder.trail()).unwrap().len() > files.len());
    assert_intact(&folder.trail());
}

#[cfg(unix)]
#[test]
fn a_planted_pipe_stops_neither_a_verifier_nor_a_start() {
    if !crate::program::is_there("mkfifo") {
        return;
    }
    let folder = Folder::create();
    drop(audit(&folder.trail()).open().unwrap());
    let planted = folder.trail().with_extension("jsonl.000000");
    assert!(std::process::Command::new("mkfifo").arg(&planted).status().unwrap().success());
    let files = trail_files(folder.trail()).unwrap();
    assert_eq!(files.len(), 2);
    let error = verify(&files, &[public()], None).unwrap_err();
    assert_eq!(error.fault, AuditFault::NotAFile);
    fs::remove_file(folder.trail()).unwrap();
    assert_eq!(fault(&folder.trail()), AuditFault::NotAFile);
}

#[test]
fn a_number_of_a_file_has_one_spelling() {
    let folder = Folder::create();
    several_files(&folder);
    let files = trail_files(folder.trail()).unwrap();
    for name in ["0000001", "+00001", "000001.gz", "00000a", "00001"] {
        fs::write(folder.trail().with_extension(format!("jsonl.{name}")), "planted").unwrap();
    }
    assert_eq!(trail_files(folder.trail()).unwrap(), files);
    assert_intact(&folder.trail());
    // A current file that cannot be read is not left out.
    #[cfg(unix)]
    {
        fs::remove_file(folder.trail()).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.trail()).unwrap();
        let listed = trail_files(folder.trail()).unwrap();
        assert_eq!(listed, files);
        assert!(verify(&listed, &[public()], None).is_err());
    }
}
