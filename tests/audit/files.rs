//! The files of a trail, their owners, checkpoints and the queue.

use std::{
    convert::Infallible,
    fs,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    audit::{
        AuditKey, AuditLog, Checkpoint, Checkpoints, Durability, KnownCheckpoint, trail_files,
        verify,
    },
};

use crate::{
    Folder, assert_intact, audit, key, lines, of_kind, public, send, send_numbers, verified,
};

const FOREVER: Duration = Duration::from_secs(60);

#[test]
fn files_rotate_under_load_without_a_break() {
    let folder = Folder::create();
    let settings = audit(&folder.trail()).max_file_bytes(20_000);
    let log = settings.durability(Durability::EachRecord).open().unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let log = &log;
            scope.spawn(move || send(log, (0..200).map(|number| format!("{worker}/{number}"))));
        }
    });
    assert!(log.flush());
    drop(log);
    let report = assert_intact(&folder.trail());
    assert_eq!((report.requests, report.unproven), (800, 0));
    let files = trail_files(folder.trail()).unwrap();
    assert!(files.len() > 10, "{files:?}");
    let mut head = None;
    for (number, file) in files.iter().enumerate() {
        let text = fs::read_to_string(file).unwrap();
        let values: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&values[0]["kind"], &values[0]["file"]),
            (&"open".into(), &(number + 1).into())
        );
        if let Some(head) = head {
            assert_eq!((&values[0]["prev"], &values[0]["after"]), (&head, &"rotation".into()));
        }
        assert_eq!(values.last().unwrap()["kind"], "checkpoint");
        head = Some(values.last().unwrap()["hash"].clone());
    }
    // Each path once.
    let mut paths: Vec<_> = of_kind(&folder.trail(), "request")
        .iter()
        .map(|record| record["path"].as_str().unwrap().to_owned())
        .collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 800);
}

#[test]
fn a_crash_within_a_rotation_continues_the_chain() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).open().unwrap();
    send_numbers(&log, 3);
    drop(log);
    // Between the two renames.
    fs::rename(folder.trail(), folder.trail().with_extension("jsonl.000001")).unwrap();
    fs::write(folder.trail().with_extension("jsonl.new"), "{\"seq\":").unwrap();
    let log = audit(&folder.trail()).open().unwrap();
    send_numbers(&log, 2);
    drop(log);
    let report = assert_intact(&folder.trail());
    assert_eq!((report.requests, report.crashes, report.first_seq), (5, 0, Some(0)));
    let openings = of_kind(&folder.trail(), "open");
    assert_eq!((&openings[1]["file"], &openings[1]["after"]), (&2.into(), &"close".into()));
    assert!(!folder.trail().with_extension("jsonl.new").exists());
}

#[test]
fn a_file_of_that_number_is_not_replaced_by_a_rotation() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).max_file_bytes(1).open().unwrap();
    let kept = folder.trail().with_extension("jsonl.000002");
    fs::write(&kept, "kept").unwrap();
    for _ in 0..3 {
        send_numbers(&log, 1);
        assert!(log.flush());
    }
    drop(log);
    assert_eq!(fs::read_to_string(&kept).unwrap(), "kept");
    fs::remove_file(kept).unwrap();
    let files = trail_files(folder.trail()).unwrap();
    assert_eq!(files.len(), 2);
    assert_eq!(assert_intact(&folder.trail()).requests, 3);
}

#[test]
fn two_owners_of_one_file_are_refused() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).open().unwrap();
    let error = audit(&folder.trail()).open().unwrap_err();
    assert!(error.to_string().ends_with("give each process its own file"), "{error}");
    drop(log);
    drop(audit(&folder.trail()).open().unwrap());
}

#[test]
fn places_that_cannot_have_a_trail_are_named() {
    let folder = Folder::create();
    let open = |path: &std::path::Path| audit(path).open().unwrap_err().to_string();
    assert!(open(&folder.0).ends_with("it is not a regular file"));
    assert!(!folder.0.with_extension("lock").exists());
    let missing = folder.0.join("none/audit.jsonl");
    assert!(open(&missing).contains("it cannot be written: no such file"));
    fs::write(folder.trail(), "hello\n").unwrap();
    assert!(open(&folder.trail()).contains("no record at its end is intact"));
    // It is as it was.
    assert_eq!(fs::read_to_string(folder.trail()).unwrap(), "hello\n");
}

#[cfg(unix)]
#[test]
fn nobody_but_the_owner_reads_the_trail_and_the_key() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::create();
    let log = audit(&folder.trail()).max_file_bytes(1).open().unwrap();
    send_numbers(&log, 1);
    assert!(log.flush());
    drop(log);
    for entry in fs::read_dir(&folder.0).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{entry:?}");
    }

    let path = folder.0.join("audit.key");
    fs::write(&path, [7; 32]).unwrap();
    for (mode, problem) in [
        (0o600, None),
        (0o400, None),
        (0o440, None),
        (0o644, Some("every user of this machine can read it")),
        (0o620, Some("its group or others can write it (mode 620)")),
        (0o602, Some("its group or others can write it (mode 602)")),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        match (AuditKey::from_file(&path), problem) {
            (Ok(key), None) => assert_eq!(key.public_key(), public()),
            (Err(error), Some(problem)) => {
                let error = error.to_string();
                assert!(error.contains(problem) && error.contains("audit.key: "), "{error}");
            }
            (result, _) => panic!("{mode:o}: {result:?}"),
        }
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, vec![b'a'; 10_000]).unwrap();
    assert!(AuditKey::from_file(&path).unwrap_err().to_string().contains("openssl genpkey"));
    assert!(AuditKey::from_file(folder.0.join("none")).is_err());
}

/// A layer that waits for its last request has a clone.
#[test]
fn a_log_that_is_closed_is_whole_whatever_clones_are_left() {
    let folder = Folder::create();
    let log = audit(&folder.trail()).open().unwrap();
    let clone = log.clone();
    send_numbers(&clone, 3);
    assert!(log.close());
    let reasons: Vec<_> = of_kind(&folder.trail(), "checkpoint");
    assert_eq!(reasons.last().unwrap()["reason"], "close");
    assert_intact(&folder.trail());
    // The trail has ended.
    assert!(!clone.is_writable() && !tower_inference::record::RecordSink::accepts_requests(&clone));
    send_numbers(&clone, 2);
    assert_eq!((of_kind(&folder.trail(), "request").len(), clone.lost_records()), (3, 0));
    assert!(log.close());
    drop((log, clone));
    let log = audit(&folder.trail()).open().unwrap();
    drop(log);
    assert_eq!(of_kind(&folder.trail(), "crash").len(), 0);
    assert_intact(&folder.trail());
}

/// Collects checkpoints.
fn collected() -> (Checkpoints, Arc<Mutex<Vec<Checkpoint>>>) {
    let copies = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&copies);
    (Checkpoints::new().on_checkpoint(move |it| sink.lock().unwrap().push(it.clone())), copies)
}

#[test]
fn each_checkpoint_is_passed_on_once_it_is_durable() {
    let folder = Folder::create();
    let (checkpoints, copies) = collected();
    let settings = audit(&folder.trail()).checkpoints(checkpoints.max_records(4));
    let log = settings.max_file_bytes(5_000).open().unwrap();
    for _ in 0..6 {
        send_numbers(&log, 3);
        assert!(log.flush());
    }
    drop(log);
    let copies = copies.lock().unwrap();
    let written: Vec<_> = of_kind(&folder.trail(), "checkpoint")
        .iter()
        .map(|line| line["hash"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(copies.len(), written.len());
    assert!(copies.iter().zip(&written).all(|(copy, hash)| copy.to_string().contains(hash)));
    for copy in copies.iter() {
        assert!(copy.is_signed_by(&public()));
        let parsed: Checkpoint = copy.to_string().parse().unwrap();
        let report = verified(&folder.trail(), Some(&parsed));
        assert!(report.is_intact() && report.known == KnownCheckpoint::Found, "{report}");
    }
    let reasons: Vec<_> = of_kind(&folder.trail(), "checkpoint")
        .iter()
        .map(|line| line["reason"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((&*reasons[0], &**reasons.last().unwrap()), ("start", "close"));
    for reason in ["interval", "rotation"] {
        assert!(reasons.iter().any(|own| own == reason), "{reasons:?}");
    }
}

#[test]
fn records_of_an_age_are_signed_without_a_request() {
    let folder = Folder::create();
    let (sender, receiver) = mpsc::channel();
    let checkpoints = Checkpoints::new().max_age(Duration::from_millis(1));
    let checkpoints = checkpoints.on_checkpoint(move |it| sender.send(it.seq()).unwrap());
    let log = audit(&folder.trail()).checkpoints(checkpoints).open().unwrap();
    assert_eq!(receiver.recv_timeout(FOREVER).unwrap(), 1);
    send_numbers(&log, 1);
    assert_eq!(receiver.recv_timeout(FOREVER).unwrap(), 3);
    drop(log);
}

#[test]
fn a_panic_of_the_callback_stops_nothing() {
    let folder = Folder::create();
    let checkpoints = Checkpoints::new().on_checkpoint(|_| panic!("as scripted"));
    let log = audit(&folder.trail()).checkpoints(checkpoints).open().unwrap();
    send_numbers(&log, 3);
    assert!(log.flush());
    drop(log);
    assert_eq!(assert_intact(&folder.trail()).requests, 3);
}

#[test]
fn the_drop_of_the_last_clone_writes_what_is_queued() {
    for durability in [Durability::EachRecord, Durability::Interval(FOREVER), Durability::System] {
        let folder = Folder::create();
        let log = audit(&folder.trail()).durability(durability).open().unwrap();
        send_numbers(&log, 100);
        let clone = log.clone();
        drop(log);
        send_numbers(&clone, 1);
        drop(clone);
        let report = assert_intact(&folder.trail());
        assert_eq!((report.requests, report.unproven), (101, 0), "{durability:?}");
        assert_eq!(lines(&folder.trail()).last().unwrap()["reason"], "close");
    }
}

#[test]
fn a_key_may_change_between_two_starts() {
    let folder = Folder::create();
    drop(audit(&folder.trail()).open().unwrap());
    let other = AuditKey::from_bytes(&[9; 32]).unwrap();
    let log = tower_inference::audit::AuditFile::new(folder.trail(), other.clone()).open().unwrap();
    assert_eq!(log.public_key(), other.public_key());
    drop(log);
    let files = trail_files(folder.trail()).unwrap();
    assert!(verify(&files, &[public(), other.public_key()], None).unwrap().is_intact());
    assert!(!verify(&files, &[public()], None).unwrap().is_intact());
    assert!(!verify(&files, &[other.public_key()], None).unwrap().is_intact());
    drop(key());
}

/// A log whose thread is stuck in the callback of its first checkpoint.
struct Stuck {
    log: AuditLog,
    reached: Receiver<()>,
    go_on: Sender<()>,
}

fn stuck(folder: &Folder, max_records: usize, serves: bool) -> Stuck {
    let ((reaches, reached), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
    let goes_on = Mutex::new(goes_on);
    let checkpoints = Checkpoints::new().on_checkpoint(move |_| {
        let _gone = reaches.send(());
        let _gone = goes_on.lock().unwrap().recv();
    });
    let settings = audit(&folder.trail()).checkpoints(checkpoints).max_records(max_records);
    let settings = settings.drain_timeout(FOREVER);
    let settings = if serves { settings.dangerous_serve_unaudited() } else { settings };
    let log = settings.open().unwrap();
    reached.recv_timeout(FOREVER).unwrap();
    Stuck { log, reached, go_on }
}

pub async fn status(log: &AuditLog) -> StatusCode {
    let handler =
        service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) });
    let service = AccessLogLayer::sink(log.clone()).layer(handler);
    let response = service.oneshot(Request::new(())).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(status == StatusCode::OK || body.windows(17).any(|it| it == b"audit-unavailable"));
    status
}

#[tokio::test]
async fn a_full_queue_rejects_requests_and_loses_no_record() {
    let folder = Folder::create();
    let Stuck { log, reached, go_on } = stuck(&folder, 10, false);
    let mut served = 0;
    while status(&log).await == StatusCode::OK {
        served += 1;
    }
    // The request in flight takes the last place.
    assert_eq!((served, log.lag()), (10, 10));
    for _ in 0..50 {
        assert_eq!(status(&log).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    drop(go_on);
    drop(reached);
    assert!(log.flush());
    assert_eq!((log.lag(), log.lost_records()), (0, 0));
    assert_eq!(status(&log).await, StatusCode::OK);
    drop(log);
    let report = assert_intact(&folder.trail());
    assert_eq!((report.requests, report.gaps, report.lost, report.turned_away), (11, 1, 0, 51));
    assert_eq!(of_kind(&folder.trail(), "gap")[0]["cause"], "the queue was full");
}

#[tokio::test]
async fn a_program_may_serve_on_and_the_trail_states_the_loss() {
    let folder = Folder::create();
    let Stuck { log, reached, go_on } = stuck(&folder, 10, true);
    for _ in 0..30 {
        assert_eq!(status(&log).await, StatusCode::OK);
    }
    assert_eq!((log.lag(), log.lost_records()), (10, 20));
    drop(go_on);
    drop(reached);
    assert!(log.flush());
    assert_eq!(status(&log).await, StatusCode::OK);
    drop(log);
    let report = assert_intact(&folder.trail());
    assert_eq!((report.requests, report.gaps, report.lost, report.turned_away), (11, 1, 20, 0));
    // Where the records are missing.
    let kinds: Vec<_> = lines(&folder.trail())
        .iter()
        .map(|line| line["kind"].as_str().unwrap().to_owned())
        .filter(|kind| kind == "gap" || kind == "request")
        .collect();
    assert_eq!(kinds.iter().position(|kind| kind == "gap"), Some(10));
}
