use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    thread,
    time::Duration,
};

use super::{
    format::{self, Members},
    queue::{LineQueue, StopGuard},
};
use crate::{
    printable::printable,
    record::{Needs, Record, RecordSink},
    secret::Scrubber,
};

/// Writes lines to a writer that may block, without blocking a request.
///
/// A line goes into a queue that is bounded in lines and bytes. The sink's own thread writes all
/// queued lines at once, so a slow writer delays no request. A line is lost when it does not fit or
/// when the writer fails. [`Sink::dropped_lines`] counts lost lines, and the next write reports them
/// in a line `{"dropped":n}`.
///
/// Clones are the same sink. The layer, its services and its requests have one clone each. Dropping
/// the last clone writes the queued lines within [`Sink::drain_timeout`] and stops the thread. A
/// thread inside a blocked writer stops only when the writer returns. The [module](super#files) shows a
/// file and its rotation.
///
/// As a [`RecordSink`] it writes JSON. For your own format pass lines to [`Sink::line`] or
/// [`Sink::text`]. It is also a [`Write`] for the other output of a program: `println!` and loggers
/// block on a pipe without reader and panic on a closed pipe or a full disk.
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
    handle: Arc<Handle>,
}

impl Sink {
    /// Creates a sink that writes to `writer` in its own thread. The writer is flushed after each
    /// batch.
    ///
    /// # Errors
    ///
    /// Returns an error when the system cannot start a thread.
    pub fn new(writer: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Arc::new(LineQueue::default());
        // Dropped last, after the writer has closed.
        let guard = StopGuard { queue: Arc::clone(&queue) };
        thread::Builder::new()
            .name("log-sink".to_owned())
            .spawn(move || guard.queue.run(writer))?;
        Ok(Self { handle: Arc::new(Handle { queue }) })
    }

    /// Sets how many lines may be queued. Defaults to 8,192.
    #[must_use]
    pub fn max_lines(self, lines: usize) -> Self {
        self.handle.queue.set_max_lines(lines);
        self
    }

    /// Sets how many bytes may be queued. Defaults to 4 MiB. As many again may be in the write at the
    /// same time.
    #[must_use]
    pub fn max_bytes(self, bytes: usize) -> Self {
        self.handle.queue.set_max_bytes(bytes);
        self
    }

    /// Sets how long [`Sink::flush`] and the drop of the last clone wait. Defaults to 1 second.
    #[must_use]
    pub fn drain_timeout(self, timeout: Duration) -> Self {
        self.handle.queue.set_drain_timeout(timeout);
        self
    }

    /// Adds a scrubber. Its secrets become `[redacted]` in each line from now on. The sink's thread
    /// searches the lines. There is no scrubber by default.
    #[must_use]
    pub fn scrubber(self, scrubber: Scrubber) -> Self {
        self.handle.queue.add_scrubber(scrubber);
        self
    }

    /// Queues `line`, which must not contain a line end. Never blocks on the writer.
    pub fn line(&self, line: &[u8]) {
        self.handle.queue.push(line);
    }

    /// Queues one line of text. Line ends, control characters and characters that reorder or hide
    /// text are escaped in the notation of Rust.
    pub fn text(&self, text: &str) {
        self.line(printable(text).as_bytes());
    }

    /// Returns how many lines were lost.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        self.handle.queue.dropped()
    }

    /// Waits until the lines that were queued before are written or lost. Returns false when
    /// [`Sink::drain_timeout`] passed first. It blocks the thread, so do not call it in a task.
    #[must_use]
    pub fn flush(&self) -> bool {
        self.handle.queue.flush()
    }
}

impl RecordSink for Sink {
    fn needs(&self) -> Needs {
        Members::DEFAULT.needs()
    }

    fn record(&self, record: &Record<'_>) {
        format::line(record, |line| self.line(line));
    }
}

/// Queues text as it is. It never blocks and never fails. Each `write` and each `writeln!` is one
/// line with or without its end. Log formatters make one call for each event. `flush` does not wait.
///
/// ```
/// # use tower_inference::access_log::Sink;
/// # fn main() -> std::io::Result<()> {
/// let sink = Sink::new(std::io::stderr())?;
/// let events = sink.clone();
/// tracing_subscriber::fmt().with_writer(move || events.clone()).init();
/// tracing::info!("started");
/// // The global subscriber keeps its clone, so the last lines need this before `main` returns.
/// assert!(sink.flush());
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
        f.debug_struct("Sink").field("dropped_lines", &self.dropped_lines()).finish_non_exhaustive()
    }
}

/// Closes the queue when the last clone of a sink is dropped.
struct Handle {
    queue: Arc<LineQueue>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
    }
}
