use std::collections::VecDeque;

use serde_json::Value;

use super::*;
use crate::{
    audit::{line::Line, queue::QueueLimits},
    clock::FakeClock,
    lock::Lock,
};

/// A file whose calls go as scripted. Without a script they succeed.
#[derive(Clone, Default)]
struct Disk(Arc<Lock<Content>>);

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    /// How many bytes each write takes. `None` fails it.
    writes: VecDeque<Option<usize>>,
    syncs: VecDeque<bool>,
    synced: usize,
    rotated: Vec<Vec<u8>>,
    rotates: bool,
}

impl Storage for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut disk = self.0.lock();
        match disk.writes.pop_front() {
            Some(None) => Err(io::ErrorKind::StorageFull.into()),
            Some(Some(taken)) => {
                let taken = taken.min(bytes.len());
                disk.bytes.extend_from_slice(&bytes[..taken]);
                Ok(taken)
            }
            None => {
                disk.bytes.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.0.lock();
        if disk.syncs.pop_front() == Some(false) {
            return Err(io::Error::other("lost the disk"));
        }
        disk.synced = disk.bytes.len();
        Ok(())
    }

    fn rotate(&mut self, _: u64, first: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock();
        if !disk.rotates {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let old = mem::replace(&mut disk.bytes, first.to_vec());
        disk.rotated.push(old);
        Ok(())
    }

    fn length(&self) -> u64 {
        self.0.lock().bytes.len() as u64
    }
}

impl Disk {
    /// The lines of all files, which are one chain.
    fn lines(&self) -> Vec<Value> {
        let disk = self.0.lock();
        let bytes: Vec<u8> = disk.rotated.iter().chain([&disk.bytes]).flatten().copied().collect();
        let text = String::from_utf8(bytes).unwrap();
        let mut head = "0".repeat(64);
        let lines = text.lines().enumerate().map(|(number, text)| {
            let line = Line::parse(text.as_bytes()).unwrap();
            assert!(line.is_intact(), "{text}");
            assert_eq!((line.seq, line.prev), (number as u64, &*head));
            head = line.hash.to_owned();
            serde_json::from_str(text).unwrap()
        });
        lines.collect()
    }

    fn kinds(&self) -> Vec<String> {
        let lines = self.lines();
        lines.iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
    }
}

struct Setup {
    writer: Writer<Disk>,
    queue: Arc<RecordQueue>,
    disk: Disk,
    clock: FakeClock,
}

fn setup(durability: Durability, max_file_bytes: u64) -> Setup {
    let (disk, clock) = (Disk::default(), FakeClock::new(SystemTime::UNIX_EPOCH));
    let queue = Arc::new(RecordQueue::new(QueueLimits {
        max_records: 100,
        max_bytes: 100_000,
        drain_timeout: Duration::from_secs(60),
        serves_unaudited: false,
        // A test does not wait for more records.
        immediate: true,
    }));
    let key = AuditKey::from_bytes(&[5; 32]).unwrap();
    let (mut chain, mut lines, trail) = (Chain::EMPTY, Vec::new(), Arc::from("ab"));
    let checkpoint = Checkpoint::sign(&mut chain, &mut lines, &trail, "t", Reason::Start, &key);
    disk.0.lock().bytes = lines;
    let started = Started { storage: disk.clone(), chain, trail, number: 1, checkpoint };
    let rules = Rules {
        path: "trail".into(),
        key,
        durability,
        checkpoints: Checkpoints::new().max_records(100),
        max_file_bytes,
        clock: clock.shared(),
    };
    let writer = Writer::new(started, rules, Arc::clone(&queue));
    Setup { writer, queue, disk, clock }
}

impl Setup {
    fn push(&self, records: usize) {
        (0..records).for_each(|_| self.queue.push(b",\"a\":1", SystemTime::UNIX_EPOCH));
    }

    /// One turn of the thread.
    fn turn(&mut self) {
        assert!(!self.writer.turn());
    }
}

#[test]
fn a_write_that_fails_goes_on_within_its_line() {
    let mut setup = setup(Durability::EachRecord, u64::MAX);
    setup.disk.0.lock().writes = [Some(10), Some(7), None, None, Some(3)].into();
    setup.push(2);
    setup.turn();
    assert!(!setup.queue.is_writable());
    assert!(!setup.queue.accepts_requests());
    assert_eq!(setup.queue.lag(), 2);
    // Requests that were in flight end, others are rejected.
    setup.push(1);
    setup.queue.turn_away(SystemTime::UNIX_EPOCH + Duration::from_secs(4));
    setup.clock.advance(Duration::from_secs(1));
    setup.turn();
    assert!(!setup.queue.is_writable());
    setup.clock.advance(Duration::from_secs(1));
    setup.turn();
    assert!(setup.queue.is_writable());
    setup.turn();
    assert_eq!(setup.queue.lag(), 0);
    assert_eq!(setup.disk.kinds(), ["checkpoint", "request", "request", "request", "gap"]);
    let gap = &setup.disk.lines()[4];
    assert_eq!((&gap["lost"], &gap["turned_away"]), (&0.into(), &1.into()));
    assert_eq!(gap["cause"], "no storage space");
    assert_eq!(
        (&gap["since"], &gap["until"]),
        (&"1970-01-01T00:00:00.000Z".into(), &"1970-01-01T00:00:02.000Z".into())
    );
    assert!(gap["sync_failed"].is_null());
    let disk = setup.disk.0.lock();
    assert_eq!(disk.synced, disk.bytes.len());
}

#[test]
fn a_sync_that_fails_is_stated_because_records_before_it_may_be_lost() {
    let mut setup = setup(Durability::EachRecord, u64::MAX);
    setup.disk.0.lock().syncs = [true, false, false].into();
    setup.push(1);
    setup.turn();
    setup.push(1);
    setup.turn();
    assert!(!setup.queue.is_writable());
    for _ in 0..2 {
        setup.clock.advance(Duration::from_secs(1));
        setup.turn();
    }
    assert!(setup.queue.is_writable());
    setup.turn();
    assert_eq!(setup.disk.kinds(), ["checkpoint", "request", "request", "gap"]);
    assert_eq!(setup.disk.lines()[3]["sync_failed"], true);
    assert_eq!(setup.disk.lines()[3]["cause"], "lost the disk");
}

#[test]
fn records_are_made_durable_as_chosen() {
    let mut setup = setup(Durability::Interval(Duration::from_secs(5)), u64::MAX);
    let synced = |setup: &Setup| {
        let disk = setup.disk.0.lock();
        disk.synced == disk.bytes.len()
    };
    setup.push(1);
    // The checkpoint of the start is passed on before.
    setup.writer.pass_on();
    setup.turn();
    assert!(!synced(&setup));
    assert_eq!(setup.writer.wait(setup.clock.shared().monotonic()), Some(Duration::from_secs(5)));
    setup.clock.advance(Duration::from_secs(4));
    setup.push(1);
    setup.turn();
    assert!(!synced(&setup));
    setup.clock.advance(Duration::from_secs(1));
    setup.push(1);
    setup.turn();
    assert!(synced(&setup));
    // Nothing is due but the checkpoint.
    assert_eq!(setup.writer.wait(setup.clock.shared().monotonic()), Some(Duration::from_secs(55)));
}

#[test]
fn a_file_that_cannot_be_rotated_grows_on_and_is_rotated_later() {
    let mut setup = setup(Durability::System, 500);
    setup.push(3);
    setup.turn();
    setup.turn();
    assert!(setup.disk.0.lock().rotated.is_empty());
    assert!(setup.queue.is_writable());
    setup.disk.0.lock().rotates = true;
    setup.push(1);
    setup.turn();
    assert!(setup.disk.0.lock().rotated.is_empty());
    setup.clock.advance(Duration::from_secs(60));
    setup.push(4);
    while setup.queue.lag() > 0 {
        setup.turn();
    }
    assert!(setup.disk.0.lock().rotated.len() > 1);
    let kinds = setup.disk.kinds();
    assert_eq!(kinds.iter().filter(|kind| *kind == "request").count(), 8, "{kinds:?}");
}

#[test]
fn the_end_signs_what_is_queued_also_after_an_outage() {
    for failures in [0, 1, 2] {
        let mut setup = setup(Durability::System, u64::MAX);
        setup.disk.0.lock().writes = vec![None; failures].into();
        setup.push(1);
        if failures > 0 {
            setup.turn();
            setup.push(1);
        }
        setup.queue.close_without_waiting();
        while !setup.writer.turn() {}
        let expected: &[&str] = match failures {
            0 => &["checkpoint", "request", "checkpoint"],
            1 => &["checkpoint", "request", "request", "gap", "checkpoint"],
            // Its last try failed too.
            _ => &["checkpoint"],
        };
        assert_eq!(setup.disk.kinds(), expected, "{failures}");
    }
}

#[test]
fn the_end_in_an_outage_does_not_wait_for_what_is_not_chained() {
    let mut setup = setup(Durability::System, 700);
    // The first record fills the file, so the others wait for the next one, which cannot be begun.
    setup.disk.0.lock().writes = vec![None; 1_000].into();
    setup.push(6);
    setup.turn();
    assert!(!setup.queue.is_writable() && !setup.writer.is_chained());
    setup.queue.close_without_waiting();
    // It does not turn until the time of the next try.
    assert!((0..3).any(|_| setup.writer.turn()));

    // With room again all is written.
    let mut setup = self::setup(Durability::System, 700);
    setup.disk.0.lock().rotates = true;
    setup.disk.0.lock().writes = [None].into();
    setup.push(6);
    setup.turn();
    assert!(!setup.writer.is_chained());
    setup.queue.close_without_waiting();
    assert!((0..100).any(|_| setup.writer.turn()));
    let kinds = setup.disk.kinds();
    assert_eq!(kinds.iter().filter(|kind| *kind == "request").count(), 6, "{kinds:?}");
    assert_eq!(setup.disk.lines().last().unwrap()["reason"], "close");
}

#[test]
fn clients_that_outrun_the_disk_do_not_fill_the_log() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Lock<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    // With one subscriber alone, the events may be off for all threads: see `log_limit::test_log`.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    tracing::subscriber::with_default(subscriber, || {
        let mut setup = setup(Durability::System, u64::MAX);
        for seconds in [0, 30, 29, 1] {
            setup.clock.advance(Duration::from_secs(seconds));
            setup.queue.turn_away(SystemTime::UNIX_EPOCH);
            setup.turn();
        }
        let gaps = setup.disk.kinds().iter().filter(|kind| *kind == "gap").count();
        assert_eq!(gaps, 4);
    });
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    assert_eq!(text.matches("the queue of the audit trail was full").count(), 2, "{text}");
}
