//! The access log. Its file can be rotated.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tower_inference::{
    access_log::{AccessLogLayer, Dimension, Emf, Format, Lines, Sampling, Sink},
    record::{GenAiConventions, RecordSink},
};

use crate::{
    Error,
    args::{AccessLog, LogFormat, LogPlace},
    output::Output,
};

/// Returns the layer, if there is a log, and its file if it writes to one.
pub(crate) fn layer(
    to: &LogPlace,
    settings: &AccessLog,
    output: &Output,
) -> Result<(Option<AccessLogLayer>, Option<LogFile>), Error> {
    let (sink, file) = match to {
        LogPlace::Off => return Ok((None, None)),
        LogPlace::Stdout => (output.out().clone(), None),
        LogPlace::File(path) => {
            let file = LogFile::open(path, output)
                .map_err(|error| format!("--access-log {}: {error}", path.display()))?;
            (file.sink.clone(), Some(file))
        }
    };
    let mut lines = Lines::new(sink, format(settings.format)?);
    if let Some(percent) = settings.sample {
        lines = lines.sampling(Sampling::new(f64::from(percent) / 100.0)?);
    }
    Ok((Some(AccessLogLayer::sink(lines)), file))
}

/// Adds a sink to the layer, which may have none so far.
pub(crate) fn and(layer: Option<AccessLogLayer>, sink: impl RecordSink) -> AccessLogLayer {
    match layer {
        Some(layer) => layer.and(sink),
        None => AccessLogLayer::sink(sink),
    }
}

fn format(format: LogFormat) -> Result<Format, Error> {
    Ok(match format {
        LogFormat::Json => Format::json(),
        LogFormat::ApiGateway => Format::api_gateway(),
        LogFormat::OpenTelemetry => Format::open_telemetry(GenAiConventions::V1_41),
        LogFormat::Common => Format::common(),
        LogFormat::Combined => Format::combined(),
        // This program has no stages.
        LogFormat::Emf => {
            Format::emf(Emf::new("InferenceGateway")?.dimensions([vec![], vec![Dimension::Route]])?)
        }
    })
}

/// The file of the access log.
#[derive(Clone)]
pub(crate) struct LogFile {
    path: PathBuf,
    name: String,
    sink: Sink,
    output: Output,
    next: Next,
}

/// The file that replaces the current one.
type Next = Arc<Mutex<Option<File>>>;

impl LogFile {
    fn open(path: &Path, output: &Output) -> io::Result<Self> {
        let name = format!("the access log {}", path.display());
        let next = Next::default();
        let writer =
            Rotated { file: open(path)?, next: Arc::clone(&next), mid_line: false, failed: false };
        let sink = Sink::new(output.reporting(&name, writer))?;
        Ok(Self { path: path.to_owned(), name, sink, output: output.clone(), next })
    }

    /// Opens the path again. The old file stays in use if that fails.
    pub(crate) async fn reopen(&self) {
        let path = self.path.clone();
        // The disk may be slow.
        let opened = tokio::task::spawn_blocking(move || open(&path)).await;
        let name = &self.name;
        match opened.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(file) => {
                *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
                self.output.complain(format_args!("{name}: reopened"));
            }
            Err(error) => {
                self.output.complain(format_args!(
                    "{name}: cannot be reopened; the old file stays in use: {error}"
                ));
            }
        }
    }

    pub(crate) const fn sink(&self) -> &Sink {
        &self.sink
    }

    pub(crate) fn close(&self) {
        self.output.drain(&self.name, &self.sink);
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    // Opening a FIFO for writing waits for a reader. Writing fails when the last reader leaves. A FIFO
    // that is opened for reading and writing does neither: its lines wait for the next reader.
    #[cfg(unix)]
    if std::fs::metadata(path)
        .is_ok_and(|file| std::os::unix::fs::FileTypeExt::is_fifo(&file.file_type()))
    {
        options.read(true).create(false);
    }
    options.open(path)
}

/// A file that is replaced by the next one between two lines.
struct Rotated {
    file: File,
    next: Next,
    /// Whether the file ends within a line.
    mid_line: bool,
    /// Whether the last write failed. Its line stays unfinished.
    failed: bool,
}

impl Rotated {
    fn next(&self) -> Option<File> {
        let between = !self.mid_line || self.failed;
        between.then(|| self.next.lock().unwrap_or_else(PoisonError::into_inner).take()).flatten()
    }
}

impl Write for Rotated {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(next) = self.next() {
            self.file = next;
            self.failed = false;
            // The sink ends a torn line with a newline, but the new file has no part of that line.
            if mem::take(&mut self.mid_line) && bytes == b"\n" {
                return Ok(bytes.len());
            }
        }
        let written = self.file.write(bytes);
        match &written {
            Ok(0) => {}
            Ok(length) => {
                self.failed = false;
                self.mid_line = bytes.get(length - 1) != Some(&b'\n');
            }
            Err(error) => self.failed = error.kind() != io::ErrorKind::Interrupted,
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
