//! Reads a trail and finds the first record that is not what was written.

mod report;
mod walk;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

pub use self::report::{AuditBreak, AuditReport, BreakFault, KnownCheckpoint};
use self::walk::Walk;
use super::{
    checkpoint::Checkpoint,
    error::{AuditError, AuditFault},
    key::AuditPublicKey,
    line::MAX_LINE_BYTES,
};

/// Verifies the files of one trail, the oldest first.
///
/// [`trail_files`](super::trail_files) lists them. `keys` are the public keys that may have signed
/// checkpoints. `known` is the last checkpoint that was kept in another place: without it nothing
/// proves the records after the last checkpoint, nor that the end was not cut off. Memory is bounded
/// whatever the size of the files. A trail that is being written can be verified too, if its files are
/// listed just before.
///
/// # Errors
///
/// Returns an error if a file cannot be read, is not a regular file or none of the keys has signed
/// `known`. A trail that
/// was changed is not an error: [`AuditReport::broken`] names the first record that is wrong.
pub fn verify<P: AsRef<Path>>(
    files: &[P],
    keys: &[AuditPublicKey],
    known: Option<&Checkpoint>,
) -> Result<AuditReport, AuditError> {
    if let Some(known) = known
        && !keys.iter().any(|key| known.is_signed_by(key))
    {
        return Err(AuditError::new(AuditFault::UnsignedCheckpoint));
    }
    let mut walk = Walk::new(keys, known);
    // Opened first: the current file may be rotated, and so renamed, while the earlier ones are read.
    let mut current = files.last().map(|path| open(path.as_ref())).transpose()?;
    for (index, path) in files.iter().enumerate() {
        let path = path.as_ref();
        let is_last = index + 1 == files.len();
        let file = match current.take_if(|_| is_last) {
            Some(file) => file,
            None => open(path)?,
        };
        walk.file(path);
        let reading = |error| AuditError::reading(path.display())(error);
        let mut reader = BufReader::with_capacity(256 * 1024, file);
        if !read_lines(&mut reader, &mut walk, is_last).map_err(reading)? {
            break;
        }
    }
    Ok(walk.report())
}

/// Opens a file. Opening a pipe would wait for its writer.
fn open(path: &Path) -> Result<File, AuditError> {
    let reading = |error| AuditError::reading(path.display())(error);
    if !fs::metadata(path).map_err(reading)?.is_file() {
        return Err(AuditError::at(AuditFault::NotAFile, path.display()));
    }
    File::open(path).map_err(reading)
}

/// Walks over the lines of a file. Returns false at the first record that is wrong.
fn read_lines(reader: &mut impl BufRead, walk: &mut Walk<'_>, is_last: bool) -> io::Result<bool> {
    let mut line = Vec::new();
    while next_line(reader, &mut line)? {
        let is_cut = is_last && line.len() < MAX_LINE_BYTES && !line.ends_with(b"\n");
        if is_cut {
            // Its writer may be at it. The rest of it, which may come now, is no line.
            walk.incomplete(line.len());
            break;
        }
        if !walk.line(&line) {
            return Ok(false);
        }
    }
    Ok(walk.end_file())
}

/// Reads the next line with its end. Returns false at the end of the file. A line that is too long
/// is cut, which makes it a wrong one.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(reader.take(MAX_LINE_BYTES as u64).read_until(b'\n', line)? > 0)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
