use std::{
    fmt,
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use super::{
    batch::Batch,
    json,
    record::{Record, RecordSink},
};
use crate::{lock::Lock, printable::printable, secret::Scrubber};

/// How long the writer lets lines gather before it writes them: one `write` for many lines, and
/// one wake-up.
const GATHER: Duration = Duration::from_millis(10);

/// Lines on their way to a writer that may block.
///
/// A line goes into a queue, bounded in lines and bytes. A thread of the sink's own takes all that
/// is there and writes it at once, outside of any lock; a slow writer delays no request. Lines that
/// do not fit, and lines that the writer fails to take, are lost: [`Sink::dropped`] counts them,
/// and the next thing written says so, in a line `{"dropped":n}`.
///
/// Clones are the same sink. Dropping the last one (the layer and its services and requests hold
/// one each) writes what is queued, for as long as [`Sink::drain_within`] says, and stops the
/// thread. A thread that is stuck inside its writer can only stop when the writer lets go.
///
/// As a [`RecordSink`] it writes JSON. For a format of your own, hand your lines to
/// [`Sink::line`] or [`Sink::text`]. As a [`Write`] it takes the other lines of a program: a full
/// disk, a closed pipe and a pipe that nobody reads make `println!` and loggers panic or block.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use std::{convert::Infallible, io};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_inference::access_log::{AccessLogLayer, Sink};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> io::Result<()> {
/// let (read, write) = io::pipe()?;
/// let sink = Sink::new(write)?;
/// let service = AccessLogLayer::json(sink.clone()).layer(service_fn(|_| async {
///     Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
/// }));
/// service.oneshot(Request::get("/health").body(()).unwrap()).await.unwrap();
/// drop(sink);
///
/// let line: serde_json::Value = serde_json::from_str(&io::read_to_string(read)?).unwrap();
/// assert_eq!((&line["path"], &line["outcome"]), (&"/health".into(), &"complete".into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Sink {
    owner: Arc<Owner>,
}

impl Sink {
    /// A sink that writes to `writer`, in a thread of its own. The writer is flushed after each
    /// batch.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn new(writer: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        // Dropped last, after the writer and whatever that does to close.
        let stopped = Stopped { shared: Arc::clone(&shared) };
        thread::Builder::new()
            .name("log-sink".to_owned())
            .spawn(move || stopped.shared.run(writer))?;
        Ok(Self { owner: Arc::new(Owner { shared }) })
    }

    /// How many lines may wait. Default: 8,192.
    #[must_use]
    pub fn max_lines(self, lines: usize) -> Self {
        self.owner.shared.queue.lock().max_lines = lines;
        self
    }

    /// How many bytes may wait. Default: 4 MiB. While they are written, as many again may gather.
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.owner.shared.queue.lock().max_bytes = bytes;
        self
    }

    /// How long [`Sink::flush`] and the drop of the last handle wait. Default: 1 s.
    #[must_use]
    pub fn drain_within(self, limit: Duration) -> Self {
        self.owner.shared.queue.lock().drain_within = limit;
        self
    }

    /// Replaces the scrubber's secrets by `[redacted]` in each line that is written from now on.
    /// Each call adds one. None by default. The sink's own thread looks for them.
    #[must_use]
    pub fn scrubber(self, scrubber: Scrubber) -> Self {
        let mut queue = self.owner.shared.queue.lock();
        queue.scrubbers = queue.scrubbers.iter().cloned().chain([scrubber]).collect();
        drop(queue);
        self
    }

    /// Queues `line`, which must not hold its own end. Never blocks on the writer.
    pub fn line(&self, line: &[u8]) {
        self.owner.shared.push(line);
    }

    /// Queues one line of text. What would end the line, command a terminal, or reorder or hide
    /// text is escaped, as Rust escapes it.
    pub fn text(&self, text: &str) {
        self.line(printable(text).as_bytes());
    }

    /// How many lines were lost.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.owner.shared.dropped.load(Relaxed)
    }

    /// Waits until all that was queued before is written or lost; false when the time limit
    /// passed first. Blocks: not for a task.
    pub fn flush(&self) -> bool {
        let shared = &self.owner.shared;
        let mut queue = shared.queue.lock();
        let until = queue.accepted;
        let limit = queue.drain_within;
        queue.urgent = true;
        shared.work.notify_one();
        let (queue, waited) = shared
            .settled
            .wait_timeout_while(queue, limit, |queue| queue.settled < until)
            .unwrap_or_else(PoisonError::into_inner);
        drop(queue);
        !waited.timed_out()
    }
}

impl RecordSink for Sink {
    fn record(&self, record: &Record<'_>) {
        json::line(record, |line| self.line(line));
    }
}

/// Queues what is written, as it is: a log of text goes through a sink by it. Never blocks, never
/// fails. Each call of `write` takes all that it is given as one line, with or without its end, and
/// so does each `writeln!`; formatters of logs make one call for each event. `flush` waits for
/// nothing.
///
/// ```
/// # use tower_inference::access_log::Sink;
/// # fn main() -> std::io::Result<()> {
/// let sink = Sink::new(std::io::stderr())?;
/// tracing_subscriber::fmt().with_writer(move || sink.clone()).init();
/// # Ok(())
/// # }
/// ```
impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line.strip_suffix(b"\n").unwrap_or(line));
        Ok(line.len())
    }

    fn write_fmt(&mut self, line: fmt::Arguments<'_>) -> io::Result<()> {
        self.write_all(line.to_string().as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// The last of the handles.
struct Owner {
    shared: Arc<Shared>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        let limit = queue.drain_within;
        queue.closed = true;
        self.shared.work.notify_one();
        let waited = self.shared.settled.wait_timeout_while(queue, limit, |queue| !queue.stopped);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.abandoned = true;
    }
}

#[derive(Default)]
struct Shared {
    queue: Lock<Queue>,
    /// The writer waits here.
    work: Condvar,
    /// Whoever waits for the writer waits here.
    settled: Condvar,
    dropped: AtomicU64,
}

struct Queue {
    max_lines: usize,
    max_bytes: usize,
    drain_within: Duration,
    scrubbers: Arc<[Scrubber]>,
    /// What waits, and how many lines that is.
    bytes: Vec<u8>,
    lines: usize,
    /// Lines that were lost and not yet told, and whether that is a reason to write: not when it
    /// is the writer who lost them.
    lost: u64,
    tell: bool,
    /// Lines that were ever queued, and those of them that are written or lost.
    accepted: u64,
    settled: u64,
    /// What the writer is waiting for, if it is.
    waits: Waits,
    /// Somebody waits for the writer: it lets no lines gather.
    urgent: bool,
    closed: bool,
    /// Nobody waits any longer: the writer stops where it is.
    abandoned: bool,
    stopped: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Waits {
    Not,
    ForALine,
    /// For as many lines as may come meanwhile.
    Gathering,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            max_lines: 8_192,
            max_bytes: 4 * 1024 * 1024,
            drain_within: Duration::from_secs(1),
            scrubbers: Arc::default(),
            bytes: Vec::new(),
            lines: 0,
            lost: 0,
            tell: false,
            accepted: 0,
            settled: 0,
            waits: Waits::Not,
            urgent: false,
            closed: false,
            abandoned: false,
            stopped: false,
        }
    }
}

impl Shared {
    fn push(&self, line: &[u8]) {
        let mut queue = self.queue.lock();
        if queue.fits(line) {
            queue.make_room(line.len() + 1);
            queue.bytes.extend_from_slice(line);
            queue.bytes.push(b'\n');
            queue.lines += 1;
            queue.accepted += 1;
        } else {
            queue.lost += 1;
            queue.tell = true;
            self.dropped.fetch_add(1, Relaxed);
        }
        // A wake-up is a system call: at most one for each batch.
        let wake = match queue.waits {
            Waits::Not => false,
            Waits::ForALine => true,
            Waits::Gathering => queue.is_half_full(),
        };
        if wake {
            queue.waits = Waits::Not;
        }
        drop(queue);
        if wake {
            self.work.notify_one();
        }
    }

    fn run(&self, mut writer: impl Write) {
        let mut batch = Batch::default();
        let mut torn = false;
        while self.take(&mut batch) {
            batch.finish();
            let written = batch.write(&mut writer, &mut torn);
            self.settle(&batch, written);
            batch.clear();
        }
    }

    /// Waits for lines and moves them into `batch`, which must be empty. False at the end.
    fn take(&self, batch: &mut Batch) -> bool {
        let mut queue = self.queue.lock();
        while queue.lines == 0 && !queue.tell {
            if queue.closed {
                return false;
            }
            queue = self.wait(queue);
        }
        if !queue.urgent && !queue.closed && !queue.is_half_full() {
            queue.waits = Waits::Gathering;
            let waited = self.work.wait_timeout(queue, GATHER);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            queue.waits = Waits::Not;
        }
        if queue.abandoned {
            return false;
        }
        queue.urgent = false;
        queue.tell = false;
        mem::swap(&mut queue.bytes, &mut batch.bytes);
        batch.lines = mem::take(&mut queue.lines) as u64;
        batch.lost = mem::take(&mut queue.lost);
        batch.scrubbers = Arc::clone(&queue.scrubbers);
        true
    }

    fn wait<'a>(&self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        queue.waits = Waits::ForALine;
        let mut queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        queue.waits = Waits::Not;
        queue
    }

    /// Notes that of `batch` as many lines as `written` are with the writer.
    fn settle(&self, batch: &Batch, written: u64) {
        let missing = batch.lines.saturating_sub(written);
        self.dropped.fetch_add(missing, Relaxed);
        let mut queue = self.queue.lock();
        queue.settled += batch.lines;
        queue.lost += missing;
        if written <= batch.lines {
            // The line that tells of the lost ones was lost as well.
            queue.lost += batch.lost;
        }
        drop(queue);
        self.settled.notify_all();
    }
}

impl Queue {
    fn fits(&self, line: &[u8]) -> bool {
        let room = self.max_bytes.saturating_sub(self.bytes.len());
        !self.stopped && self.lines < self.max_lines && line.len() < room
    }

    /// Doubles the buffer where it must grow, but never past the bound: a `Vec` left to itself would
    /// take up to twice as much.
    fn make_room(&mut self, more: usize) {
        let (length, room) = (self.bytes.len(), self.bytes.capacity());
        let needed = length.saturating_add(more);
        if needed > room {
            let doubled = room.saturating_mul(2).min(self.max_bytes);
            self.bytes.reserve_exact(doubled.max(needed) - length);
        }
    }

    fn is_half_full(&self) -> bool {
        self.lines >= self.max_lines / 2 || self.bytes.len() >= self.max_bytes / 2
    }
}

/// Says that the thread is gone, also when its writer panicked.
struct Stopped {
    shared: Arc<Shared>,
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.stopped = true;
        let missing = queue.accepted - queue.settled;
        queue.settled = queue.accepted;
        drop(queue);
        self.shared.dropped.fetch_add(missing, Relaxed);
        self.shared.settled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_never_takes_more_room_than_the_bound() {
        let mut queue = Queue { max_bytes: 10_000, ..Queue::default() };
        let line = [b'x'; 99];
        while queue.fits(&line) {
            queue.make_room(line.len() + 1);
            queue.bytes.extend_from_slice(&line);
            queue.bytes.push(b'\n');
        }
        assert_eq!(queue.bytes.len(), 10_000);
        assert!(queue.bytes.capacity() <= 10_000, "{}", queue.bytes.capacity());
    }
}
