//! Writes the program's lines through queues. A full disk or an unread or closed pipe delays nothing.

use std::{
    fmt::Display,
    io::{self, Write},
    panic,
};

use tower_inference::{access_log::Sink, secret::Scrubber};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The standard streams.
#[derive(Clone)]
pub(crate) struct Output {
    out: Sink,
    err: Sink,
}

impl Output {
    /// Takes over both streams. Nothing else may write to them afterwards.
    pub(crate) fn open() -> io::Result<Self> {
        let err = Sink::new(io::stderr())?;
        let out = Sink::new(Reported::new("stdout", io::stdout(), err.clone()))?;
        Ok(Self { out, err })
    }

    /// Writes the events of the layers and the messages of panics to stderr.
    pub(crate) fn capture_events(&self) {
        let events = Events(self.err.clone());
        // Warnings report keys or tokens that cannot be loaded and upstreams that fail. Authentication
        // tells why a credential is rejected, at a bounded rate.
        let levels = Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("tower_inference::auth", LevelFilter::INFO);
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::INFO)
            .with_writer(move || events.clone())
            // It would use `eprintln!`, which can block.
            .log_internal_errors(false)
            .with_ansi(false)
            .finish()
            .with(levels)
            .init();
        // The default hook blocks on an unread pipe.
        let panics = self.clone();
        panic::set_hook(Box::new(move |panic| panics.complain(format_args!("bug: {panic}"))));
    }

    /// Removes the secrets from all later lines.
    pub(crate) fn scrub(&self, scrubber: &Scrubber) {
        for stream in [&self.out, &self.err] {
            // Clones share the stream.
            let _same = stream.clone().scrubber(scrubber.clone());
        }
    }

    /// Writes `text` to stdout line by line.
    pub(crate) fn say(&self, text: impl Display) {
        text.to_string().lines().for_each(|line| self.out.text(line));
    }

    /// Writes `text` to stderr as one line.
    pub(crate) fn complain(&self, text: impl Display) {
        self.err.text(&text.to_string());
    }

    /// Returns the sink of stderr.
    pub(crate) const fn err(&self) -> &Sink {
        &self.err
    }

    /// Returns the sink of stdout.
    pub(crate) const fn out(&self) -> &Sink {
        &self.out
    }

    /// Wraps `writer` so that stderr reports its first error and its recovery.
    pub(crate) fn reporting<W: Write>(&self, name: &str, writer: W) -> Reported<W> {
        Reported::new(name, writer, self.err.clone())
    }

    /// Waits until `sink` has written its lines or its drain timeout is over.
    pub(crate) fn drain(&self, name: &str, sink: &Sink) {
        let drained = sink.flush();
        match (drained, sink.dropped_lines()) {
            (true, 0) => {}
            (true, lost) => self.complain(format_args!("{name}: {lost} lines were lost")),
            (false, lost) => self.complain(format_args!(
                "{name}: not read in time; {lost} lines and the waiting ones were lost"
            )),
        }
    }

    /// Drains both streams. Call it last.
    pub(crate) fn close(self) {
        self.drain("stdout", &self.out);
        // No stream is left to report a loss of stderr.
        let _drained = self.err.flush();
    }
}

/// Writes events as lines of stderr.
#[derive(Clone)]
struct Events(Sink);

impl Write for Events {
    /// Writes one event.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.text(String::from_utf8_lossy(event).trim_end());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that reports its first error and its recovery on stderr.
pub(crate) struct Reported<W> {
    name: String,
    writer: W,
    err: Sink,
    fails: bool,
}

impl<W: Write> Reported<W> {
    fn new(name: &str, writer: W, err: Sink) -> Self {
        Self { name: name.to_owned(), writer, err, fails: false }
    }

    fn report<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let Self { name, err, fails, .. } = self;
        match &result {
            Ok(_) if *fails => err.text(&format!("{name}: writable again")),
            Err(error) if !*fails && error.kind() != io::ErrorKind::Interrupted => {
                err.text(&format!("{name}: cannot be written; lines are lost: {error}"));
            }
            _ => return result,
        }
        *fails = !*fails;
        result
    }
}

impl<W: Write> Write for Reported<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes);
        self.report(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.writer.flush();
        if flushed.is_ok() { flushed } else { self.report(flushed) }
    }
}
