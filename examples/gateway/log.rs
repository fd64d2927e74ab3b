//! The access log. Its file can be rotated.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tower_inference::{
    access_log::{AccessLogLayer, Sink},
    audit::AuditLog,
    record::Record,
};

use crate::{Error, args::AccessLog, output::Output};

/// Returns the layer, which also writes the audit trail, and its file if it writes to one.
pub(crate) fn layer(
    to: &AccessLog,
    audit: Option<&AuditLog>,
    output: &Output,
) -> Result<(AccessLogLayer, Option<LogFile>), Error> {
    let (layer, file) = match to {
        AccessLog::Off => {
            let nowhere = AccessLogLayer::sink(|_: &Record<'_>| {});
            (if audit.is_some() { nowhere } else { nowhere.ignore_usage() }, None)
        }
        AccessLog::Stdout => (AccessLogLayer::json(output.out().clone()), None),
        AccessLog::File(path) => {
            let file = LogFile::open(path, output)
                .map_err(|error| format!("--access-log {}: {error}", path.display()))?;
            (AccessLogLayer::json(file.sink.clone()), Some(file))
        }
    };
    Ok((audit.iter().fold(layer, |layer, log| layer.and(AuditLog::clone(log))), file))
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
