//! Where the program's own lines go: through queues, so that a full disk, a closed pipe or a pipe
//! that nobody reads stops and delays nothing.

use std::{
    fmt::Display,
    io::{self, Write},
    panic,
};

use tower_inference::{access_log::Sink, secret::Scrubber};
use tracing_subscriber::filter::LevelFilter;

/// The standard streams.
#[derive(Clone)]
pub(crate) struct Output {
    out: Sink,
    err: Sink,
}

impl Output {
    /// Takes over both streams: from here on nothing else may write to them.
    pub(crate) fn open() -> io::Result<Self> {
        let err = Sink::new(io::stderr())?;
        let out = Sink::new(Told::new("stdout", io::stdout(), err.clone()))?;
        Ok(Self { out, err })
    }

    /// Also takes what the layers and panicking tasks say.
    pub(crate) fn hear_all(&self) {
        // Keys and tokens that cannot be had, upstreams that fail.
        let events = Events(self.err.clone());
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::WARN)
            .with_writer(move || events.clone())
            // Would be told by `eprintln!`.
            .log_internal_errors(false)
            .with_ansi(false)
            .init();
        // The default hook blocks on a pipe that nobody reads.
        let panics = self.clone();
        panic::set_hook(Box::new(move |panic| panics.complain(format_args!("bug: {panic}"))));
    }

    /// Keeps the secrets out of all lines.
    pub(crate) fn scrub(&self, scrubber: &Scrubber) {
        for stream in [&self.out, &self.err] {
            // Clones are the same stream.
            let _same = stream.clone().scrubber(scrubber.clone());
        }
    }

    /// Writes `text` to stdout, each of its lines.
    pub(crate) fn say(&self, text: impl Display) {
        text.to_string().lines().for_each(|line| self.out.text(line));
    }

    /// Writes `text` to stderr, as one line.
    pub(crate) fn complain(&self, text: impl Display) {
        self.err.text(&text.to_string());
    }

    /// Where records go that are to be on stdout.
    pub(crate) const fn out(&self) -> &Sink {
        &self.out
    }

    /// Tells of an error of `writer`, and of its end.
    pub(crate) fn telling<W: Write>(&self, name: &str, writer: W) -> Told<W> {
        Told::new(name, writer, self.err.clone())
    }

    /// Waits until `sink` has written what it has, or its time is over.
    pub(crate) fn drain(&self, name: &str, sink: &Sink) {
        let drained = sink.flush();
        match (drained, sink.dropped_lines()) {
            (true, 0) => {}
            (true, lost) => self.complain(format_args!("{name}: {lost} lines were lost")),
            (false, lost) => self.complain(format_args!(
                "{name}: nobody reads it; {lost} lines were lost, and those that wait"
            )),
        }
    }

    /// The last that is done.
    pub(crate) fn close(self) {
        self.drain("stdout", &self.out);
        // Nobody is left who could be told.
        let _drained = self.err.flush();
    }
}

/// Events as lines of stderr.
#[derive(Clone)]
struct Events(Sink);

impl Write for Events {
    /// Is given one event.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.text(String::from_utf8_lossy(event).trim_end());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer whose first error is told on stderr, and that it is over.
pub(crate) struct Told<W> {
    name: String,
    writer: W,
    err: Sink,
    fails: bool,
}

impl<W: Write> Told<W> {
    fn new(name: &str, writer: W, err: Sink) -> Self {
        Self { name: name.to_owned(), writer, err, fails: false }
    }

    fn tell<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let Self { name, err, fails, .. } = self;
        match &result {
            Ok(_) if *fails => err.text(&format!("{name}: can be written again")),
            Err(error) if !*fails && error.kind() != io::ErrorKind::Interrupted => {
                err.text(&format!("{name}: cannot be written, lines are lost: {error}"));
            }
            _ => return result,
        }
        *fails = !*fails;
        result
    }
}

impl<W: Write> Write for Told<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes);
        self.tell(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.writer.flush();
        if flushed.is_ok() { flushed } else { self.tell(flushed) }
    }
}
