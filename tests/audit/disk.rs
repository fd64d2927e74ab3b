//! A disk that is full for a time, by a limit on the size of files.
#![cfg(unix)]

use std::{
    convert::Infallible,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    access_log::AccessLogLayer,
    audit::{AuditLog, Durability},
};

use crate::{Folder, assert_intact, audit, of_kind};

const TRAIL: &str = "AUDIT_TEST_FULL_TRAIL";
const SERVES: &str = "AUDIT_TEST_SERVES";

/// Sends one request. Returns whether it is served.
async fn serve(log: &AuditLog) -> bool {
    let handler =
        service_fn(|_| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) });
    let service = AccessLogLayer::sink(log.clone()).layer(handler);
    let response = service.oneshot(Request::new(())).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    assert!([StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE].contains(&status));
    status == StatusCode::OK
}

/// Fills its disk, waits for a line of input and goes on until it can write again.
#[tokio::test]
#[ignore = "a process of the tests below"]
async fn child_that_fills_its_disk() {
    let Some(trail) = env::var_os(TRAIL) else { return };
    let settings = audit(Path::new(&trail)).durability(Durability::EachRecord).max_records(100);
    let serves = env::var_os(SERVES).is_some();
    let settings = if serves { settings.dangerous_serve_unaudited() } else { settings };
    let log = settings.open().unwrap();
    let (mut served, mut rejected) = (0, 0);
    while log.is_writable() {
        if serve(&log).await { served += 1 } else { rejected += 1 }
    }
    for _ in 0..300 {
        if serve(&log).await { served += 1 } else { rejected += 1 }
    }
    assert!(!log.is_writable());
    assert_eq!(log.lost_records() > 0, serves);
    writeln!(std::io::stdout(), "\nfull").unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    while !log.is_writable() {
        tokio::task::yield_now().await;
    }
    // It is stated before requests are served.
    while !serve(&log).await {
        rejected += 1;
    }
    served += 1;
    let lost = log.lost_records();
    drop(log);
    writeln!(std::io::stdout(), "\nsent {served} {rejected} {lost}").unwrap();
}

/// Returns whether the programs that limit a process are there.
fn has_limits() -> bool {
    ["bash", "prlimit"].into_iter().all(crate::program::is_there)
}

/// Returns how many requests were served, rejected and lost.
fn run(trail: &Path, serves: bool) -> [u64; 3] {
    let mut command = Command::new("bash");
    command
        // A write beyond the limit fails instead of ending the process.
        .args(["-c", "trap '' XFSZ; ulimit -S -f 64; exec \"$@\"", "bash"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "disk::child_that_fills_its_disk", "--ignored", "--nocapture"])
        .env(TRAIL, trail)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if serves {
        command.env(SERVES, "1");
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line == "full").expect("the disk is full");
    let pid = child.id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(raised.unwrap().success());
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let sent = lines.find_map(|line| line.strip_prefix("sent ").map(str::to_owned)).unwrap();
    assert!(child.wait().unwrap().success());
    let numbers: Vec<_> = sent.split(' ').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

#[test]
fn a_full_disk_rejects_requests_until_it_has_room() {
    if !has_limits() {
        return;
    }
    let folder = Folder::create();
    let [served, rejected, lost] = run(&folder.trail(), false);
    assert_eq!(lost, 0);
    assert!(rejected >= 300 - 100, "{rejected}");
    let report = assert_intact(&folder.trail());
    assert_eq!((report.lost, report.torn_bytes), (0, 0));
    // Each request is in the trail, as a record or in the number of the gap.
    assert_eq!(report.requests + report.turned_away, served + rejected);
    assert!(report.requests >= served);
    // Its requests also outrun the disk, which are gaps of a full queue.
    let gaps = of_kind(&folder.trail(), "gap");
    let is_of_disk = |gap: &&Value| gap["cause"].as_str().unwrap().starts_with("File too large");
    let [gap] = gaps.iter().filter(is_of_disk).collect::<Vec<_>>()[..] else { panic!("{gaps:?}") };
    assert!(gap["since"].as_str().unwrap() <= gap["until"].as_str().unwrap(), "{gap}");
}

#[test]
fn a_program_that_serves_on_without_disk_has_its_loss_stated() {
    if !has_limits() {
        return;
    }
    let folder = Folder::create();
    let [served, rejected, lost] = run(&folder.trail(), true);
    assert_eq!(rejected, 0);
    let report = assert_intact(&folder.trail());
    assert_eq!((report.lost, report.turned_away, report.torn_bytes), (lost, 0, 0));
    assert_eq!(report.requests + lost, served);
    assert!(report.gaps >= 1);
}
