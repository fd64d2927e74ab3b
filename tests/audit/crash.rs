//! Processes that are killed in the middle of a write.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use tower_inference::audit::Durability;

use crate::{Folder, assert_intact, audit, of_kind, send_numbers, verified};

const TRAIL: &str = "AUDIT_TEST_TRAIL";

/// A process of this test's binary that writes to a trail.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(trail: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "crash::child_that_writes_until_it_is_killed"])
            .args(["--ignored", "--nocapture"])
            .env(TRAIL, trail)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// How many of its records are durable, from its next report.
    fn durable(&mut self) -> u64 {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the process ended");
            // The test harness prints too, perhaps on the same line.
            if let Some((_, count)) = line.rsplit_once("durable ") {
                return count.trim().parse().unwrap();
            }
        }
    }

    /// SIGKILL, where there are signals.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
#[ignore = "a process of the tests below"]
fn child_that_writes_until_it_is_killed() {
    let Some(trail) = env::var_os(TRAIL) else { return };
    let settings = audit(Path::new(&trail)).max_file_bytes(100_000);
    let log = settings.durability(Durability::EachRecord).open().unwrap();
    let mut count = 0;
    loop {
        assert!(log.flush());
        writeln!(std::io::stdout(), "durable {count}").unwrap();
        send_numbers(&log, 40);
        count += 40;
    }
}

#[test]
fn a_killed_process_loses_no_durable_record_and_the_chain_continues() {
    let folder = Folder::create();
    let mut durable = 0;
    for round in 0..8 {
        let mut process = Process::start(&folder.trail());
        let last = (0..2 + round).map(|_| process.durable()).last();
        // It is writing more.
        process.kill();
        durable += last.unwrap();
        let report = assert_intact(&folder.trail());
        assert!(report.requests >= durable, "{report}");
        assert_eq!(report.crashes, round as u64);
    }
    let log = audit(&folder.trail()).open().unwrap();
    send_numbers(&log, 1);
    drop(log);
    let report = assert_intact(&folder.trail());
    assert_eq!((report.crashes, report.unproven, report.incomplete_bytes), (8, 0, 0));
    assert!(report.requests > durable);
    assert!(of_kind(&folder.trail(), "open").len() > 8);
}

#[test]
fn another_process_is_refused_until_the_first_is_gone() {
    let folder = Folder::create();
    let mut process = Process::start(&folder.trail());
    process.durable();
    let error = audit(&folder.trail()).open().unwrap_err();
    assert!(error.to_string().contains("another process writes this trail"), "{error}");
    process.kill();
    drop(audit(&folder.trail()).open().unwrap());
    assert_intact(&folder.trail());
}

#[test]
fn a_write_that_was_cut_anywhere_is_kept_aside_and_stated() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).open().unwrap();
    send_numbers(&log, 2);
    assert!(log.flush());
    // As a crash leaves it.
    let whole = fs::read(folder.trail()).unwrap();
    drop(log);
    let ends: Vec<_> = (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
    let [_, signed, first, second] = *ends else { panic!("{ends:?}") };
    let cuts = (signed..whole.len()).step_by(29).chain([first, second - 2, second - 1, second]);
    for cut in cuts {
        let crashed = Folder::create();
        fs::write(crashed.trail(), &whole[..cut]).unwrap();
        let before = verified(&crashed.trail(), None);
        assert!(before.is_intact(), "{before}");
        let log = audit(&crashed.trail()).open().unwrap();
        send_numbers(&log, 1);
        drop(log);

        // A line without its end is whole.
        let lines = ends.iter().filter(|end| **end <= cut + 1).count();
        let kept = ends[lines - 1].min(cut);
        let report = assert_intact(&crashed.trail());
        assert_eq!((report.crashes, report.signed_late), (1, lines as u64 - 2), "{cut}");
        assert_eq!((report.torn_bytes, report.incomplete_bytes), ((cut - kept) as u64, 0), "{cut}");
        assert_eq!(report.requests, lines as u64 - 1);
        let opening = &of_kind(&crashed.trail(), "open")[1];
        assert_eq!(opening["after"], "crash");
        let aside = crashed.trail().with_extension(format!("jsonl.torn-{lines}"));
        if kept < cut {
            assert_eq!(fs::read(&aside).unwrap(), &whole[kept..cut]);
            assert_eq!(opening["torn"]["file"], aside.file_name().unwrap().to_str().unwrap());
        } else {
            assert!(opening["torn"].is_null() && !aside.exists(), "{cut}");
        }
    }
}
