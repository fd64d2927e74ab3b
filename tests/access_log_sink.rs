//! `Sink`: a writer that is slow, stuck or broken delays no request, and what is lost is told.

#[path = "support/written.rs"]
mod written;

use std::{
    convert::Infallible,
    io::{self, Write},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{self, Receiver, Sender},
    },
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::access_log::{AccessLogLayer, Format, Sink};

use crate::written::Written;

/// Longer than any test takes, for waits that end by what happens.
const FOREVER: Duration = Duration::from_secs(60);

/// Each `write` shows its bytes, then waits to be told how it goes.
struct Scripted {
    writes: Sender<String>,
    results: Receiver<io::Result<usize>>,
    flushes: bool,
}

/// The test's side of a [`Scripted`] writer.
struct Script {
    writes: Receiver<String>,
    results: Sender<io::Result<usize>>,
}

impl Script {
    fn new() -> (Self, Scripted) {
        let ((writes, shown), (results, told)) = (mpsc::channel(), mpsc::channel());
        let script = Self { writes: shown, results };
        (script, Scripted { writes, results: told, flushes: true })
    }

    /// What the writer is to write next; it is stuck until it is answered.
    fn stuck(&self) -> String {
        self.writes.recv_timeout(FOREVER).unwrap()
    }

    fn take(&self, bytes: usize) {
        self.results.send(Ok(bytes)).unwrap();
    }

    fn fail(&self, kind: io::ErrorKind) {
        self.results.send(Err(kind.into())).unwrap();
    }

    /// Takes all of the next write.
    fn next(&self) -> String {
        let bytes = self.stuck();
        self.take(bytes.len());
        bytes
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes.send(String::from_utf8(bytes.to_vec()).unwrap()).map_err(io::Error::other)?;
        self.results.recv().map_err(io::Error::other)?
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.flushes { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

fn sink(writer: impl Write + Send + 'static) -> Sink {
    Sink::new(writer).unwrap().drain_timeout(FOREVER)
}

#[test]
fn a_flush_waits_for_all_lines_before_it() {
    let written = Written::default();
    let sink = sink(written.clone());
    assert!(sink.flush());
    sink.line(b"a");
    sink.line(b"b");
    assert!(sink.flush());
    assert_eq!(written.text(), "a\nb\n");
    sink.line(b"c");
    assert!(sink.flush());
    assert_eq!((&*written.text(), sink.dropped_lines()), ("a\nb\nc\n", 0));
}

#[test]
fn lines_that_gathered_are_one_write() {
    let (script, writer) = Script::new();
    let sink = sink(writer);
    sink.line(b"a");
    assert_eq!(script.stuck(), "a\n");
    for line in ["b", "c", "d"] {
        sink.line(line.as_bytes());
    }
    script.take(2);
    assert_eq!(script.next(), "b\nc\nd\n");
    drop(sink);
    assert_eq!(script.writes.recv(), Err(mpsc::RecvError), "the writer was not dropped");
}

#[tokio::test]
async fn a_stuck_writer_delays_no_request_and_the_loss_is_reported() {
    let (script, writer) = Script::new();
    let sink = sink(writer).max_lines(3);
    let service = AccessLogLayer::json(sink.clone())
        .layer(service_fn(|_| async { Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())) }));
    let request = async |path: &str| {
        let request = Request::get(path).body(Empty::<Bytes>::new()).unwrap();
        service.clone().oneshot(request).await.unwrap();
    };
    let paths = |written: &str| -> Vec<Value> {
        let lines = written.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line.get("path").unwrap_or(&line).clone()).collect()
    };

    request("/first").await;
    let first = script.stuck();
    for path in ["/1", "/2", "/3", "/lost", "/lost", "/lost", "/lost"] {
        request(path).await;
    }
    assert_eq!(sink.dropped_lines(), 4);
    script.take(first.len());
    assert_eq!(paths(&first), ["/first"]);
    // Without a further request:
    assert_eq!(
        paths(&script.next()),
        [json!("/1"), json!("/2"), json!("/3"), json!({ "dropped": 4 })]
    );

    request("/after").await;
    assert_eq!(paths(&script.next()), ["/after"]);
    assert_eq!(sink.dropped_lines(), 4);
}

#[test]
fn the_queue_is_bounded_in_bytes() {
    let (script, writer) = Script::new();
    let sink = sink(writer).max_bytes(8);
    sink.line(b"first");
    assert_eq!(script.stuck(), "first\n");
    for line in ["abc", "de", "f", "", ""] {
        sink.line(line.as_bytes());
    }
    // Four bytes, three, and of the rest only what fits beside them.
    assert_eq!(sink.dropped_lines(), 2);
    script.take(6);
    assert_eq!(script.next(), "abc\nde\n\n{\"dropped\":2}\n");
}

#[test]
fn a_line_that_never_fits_is_reported_at_once() {
    let (script, writer) = Script::new();
    let sink = sink(writer).max_bytes(8);
    sink.line(b"12345678");
    assert_eq!(script.next(), "{\"dropped\":1}\n");
    sink.line(b"1234567");
    assert_eq!(script.next(), "1234567\n");
    assert_eq!(sink.dropped_lines(), 1);
}

#[test]
fn lines_that_the_writer_rejects_are_lost_and_reported() {
    let (script, writer) = Script::new();
    let sink = sink(writer);
    sink.line(b"a");
    assert_eq!(script.stuck(), "a\n");
    sink.line(b"b");
    sink.line(b"c");
    script.fail(io::ErrorKind::StorageFull);
    assert_eq!(script.stuck(), "b\nc\n{\"dropped\":1}\n");
    // One of two lines is through, and the word of the first loss is not.
    script.take(2);
    assert_eq!(script.stuck(), "c\n{\"dropped\":1}\n");
    sink.line(b"d");
    script.fail(io::ErrorKind::BrokenPipe);
    assert_eq!(script.next(), "d\n{\"dropped\":2}\n");
    assert!(sink.flush());
    assert_eq!(sink.dropped_lines(), 2);
}

#[test]
fn a_torn_line_is_ended_before_the_next() {
    let (script, writer) = Script::new();
    let sink = sink(writer);
    sink.line(b"abc");
    assert_eq!(script.stuck(), "abc\n");
    sink.line(b"def");
    script.take(2);
    assert_eq!(script.stuck(), "c\n");
    script.take(0);
    assert_eq!(script.next(), "\n");
    assert_eq!(script.next(), "def\n{\"dropped\":1}\n");
}

#[test]
fn a_broken_writer_is_left_alone_until_there_is_a_line() {
    let (script, writer) = Script::new();
    let sink = sink(writer);
    sink.line(b"a");
    assert_eq!(script.stuck(), "a\n");
    script.fail(io::ErrorKind::BrokenPipe);
    assert!(sink.flush());
    // The thread goes to its end without another try.
    drop(sink);
    assert_eq!(script.writes.recv(), Err(mpsc::RecvError));
}

#[test]
fn an_interrupted_write_is_tried_again() {
    let (script, writer) = Script::new();
    let sink = sink(writer);
    sink.line(b"a");
    assert_eq!(script.stuck(), "a\n");
    script.fail(io::ErrorKind::Interrupted);
    assert_eq!(script.next(), "a\n");
    assert!(sink.flush());
    assert_eq!(sink.dropped_lines(), 0);
}

#[test]
fn a_flush_that_fails_loses_its_lines() {
    let (script, mut writer) = Script::new();
    writer.flushes = false;
    let sink = sink(writer);
    sink.line(b"a");
    assert_eq!(script.next(), "a\n");
    assert!(sink.flush());
    assert_eq!(sink.dropped_lines(), 1);
}

#[test]
fn the_last_handle_writes_what_is_queued_and_closes() {
    let (script, writer) = Script::new();
    let sink = sink(writer);
    let other = sink.clone();
    sink.line(b"a");
    assert_eq!(script.stuck(), "a\n");
    sink.line(b"b");
    drop(sink);
    other.line(b"c");
    script.take(2);
    script.results.send(Ok(4)).unwrap();
    drop(other);
    let rest: Vec<_> = script.writes.iter().collect();
    assert_eq!(rest.concat(), "b\nc\n");
}

#[test]
fn a_writer_that_stays_stuck_holds_up_neither_flush_nor_drop() {
    let (script, writer) = Script::new();
    let sink = sink(writer).drain_timeout(Duration::ZERO);
    sink.line(b"a");
    assert_eq!(script.stuck(), "a\n");
    sink.line(b"b");
    assert!(!sink.flush());
    drop(sink);
    // Let go, it stops where it is.
    script.take(2);
    assert_eq!(script.writes.recv(), Err(mpsc::RecvError));
}

#[test]
fn a_writer_that_panics_loses_lines_and_nothing_else() {
    struct Panics;

    impl Write for Panics {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            panic!("scripted");
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let sink = sink(Panics);
    sink.line(b"a");
    assert!(sink.flush());
    assert_eq!(sink.dropped_lines(), 1);
    sink.line(b"b");
    assert!(sink.flush());
    assert_eq!(sink.dropped_lines(), 2);
}

#[test]
fn many_threads_lose_nothing_and_tear_nothing() {
    let written = Written::default();
    let sink = sink(written.clone());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let sink = &sink;
            scope.spawn(move || {
                for line in 0..500 {
                    sink.line(format!("{thread}:{line}").as_bytes());
                }
            });
        }
    });
    drop(sink);
    let text = written.text();
    for thread in 0..4 {
        let own = text.lines().filter(|line| line.starts_with(&format!("{thread}:")));
        let expected = (0..500).map(|line| format!("{thread}:{line}"));
        assert!(own.eq(expected), "of thread {thread}");
    }
    assert_eq!(text.lines().count(), 2_000);
}

/// A log of any format through this sink.
fn logged(sink: &Sink, format: Format) -> impl Fn(&str) {
    let service = AccessLogLayer::lines(sink.clone(), format).layer(service_fn(|_| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    }));
    move |path| {
        let request = Request::get(path).body(Empty::<Bytes>::new()).unwrap();
        let call = pin!(service.clone().oneshot(request));
        let polled = call.poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_ready(), "the log delays a request");
    }
}

/// A full disk, until it has room again.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_lines_and_its_recovery_is_seen() {
    struct Disk {
        full: std::fs::File,
        has_room: Arc<AtomicBool>,
        written: Written,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.has_room.load(SeqCst) {
                self.written.write(bytes)
            } else {
                let error = self.full.write(bytes).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                Err(error)
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            self.full.flush()
        }
    }

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (has_room, written) = (Arc::new(AtomicBool::new(false)), Written::default());
    let disk = Disk { full, has_room: Arc::clone(&has_room), written: written.clone() };
    let sink = sink(disk);
    let request = logged(&sink, Format::json().fields(["path"]).unwrap());
    for lost in 1..=20 {
        request("/lost");
        assert!(sink.flush());
        assert_eq!(sink.dropped_lines(), lost);
    }
    has_room.store(true, SeqCst);
    request("/kept");
    assert!(sink.flush());
    assert_eq!(written.text(), "{\"path\":\"/kept\"}\n{\"dropped\":20}\n");
    request("/after");
    assert!(sink.flush());
    assert_eq!(written.text().lines().last(), Some("{\"path\":\"/after\"}"));
    assert_eq!(sink.dropped_lines(), 20);
}

/// `copytruncate` of logrotate. Without `append` the next line would follow a hole of zeros.
#[test]
fn a_file_in_append_mode_can_be_truncated_between_two_lines() {
    let path = std::env::temp_dir().join(format!("access-log-{}.log", std::process::id()));
    let open = || std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
    let sink = sink(open());
    sink.line(b"first");
    assert!(sink.flush());
    assert_eq!(std::fs::read(&path).unwrap(), b"first\n");
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    sink.line(b"second");
    assert!(sink.flush());
    assert_eq!(std::fs::read(&path).unwrap(), b"second\n");
    // A second process, or the next start, appends.
    let other = self::sink(open());
    other.line(b"third");
    drop(other);
    drop(sink);
    assert_eq!(std::fs::read(&path).unwrap(), b"second\nthird\n");
    std::fs::remove_file(&path).unwrap();
}

/// A pipe whose reader reads nothing, until it does.
#[test]
fn a_full_pipe_delays_no_request_and_its_recovery_is_seen() {
    let (mut read, write) = io::pipe().unwrap();
    let sink = sink(write).max_bytes(8 * 1024);
    let request = logged(&sink, Format::common());
    // Far more than a pipe and the queue hold.
    let requests = 20_000;
    (0..requests).for_each(|_| request("/0123456789012345678901234567890123456789"));
    let lost = sink.dropped_lines();
    assert!(lost > 0, "the pipe is not full");

    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        io::Read::read_to_string(&mut read, &mut text).map(|_| text).unwrap()
    });
    assert!(sink.flush());
    request("/after");
    assert!(sink.flush());
    assert_eq!(sink.dropped_lines(), lost);
    drop(request);
    drop(sink);
    let text = reader.join().unwrap();
    let report = |line: &str| -> Option<u64> {
        let report: Value = serde_json::from_str(line).ok()?;
        report["dropped"].as_u64()
    };
    let reported: u64 = text.lines().filter_map(report).sum();
    let kept = text.lines().filter(|line| line.ends_with("HTTP/1.1\" 200 -")).count() as u64;
    assert_eq!((reported, kept), (lost, requests + 1 - lost));
    assert!(text.contains("/after"));
}
