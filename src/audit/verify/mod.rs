//! Reads a trail and finds the first record that is not what was written.

mod report;
mod walk;

use std::{
    fs::File,
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
/// whatever the size of the files. A trail that is being written can be verified too.
///
/// # Errors
///
/// Returns an error if a file cannot be read or none of the keys has signed `known`. A trail that
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
    for (index, path) in files.iter().enumerate() {
        let path = path.as_ref();
        let reading = |error| AuditError::reading(path.display())(error);
        let mut reader = BufReader::with_capacity(256 * 1024, File::open(path).map_err(reading)?);
        walk.file(path);
        let mut line = Vec::new();
        while next_line(&mut reader, &mut line).map_err(reading)? {
            // Nothing follows a shorter line without end.
            let may_be_cut = index + 1 == files.len() && line.len() < MAX_LINE_BYTES;
            if !walk.line(&line, may_be_cut) {
                return Ok(walk.report());
            }
        }
    }
    Ok(walk.report())
}

/// Reads the next line with its end. Returns false at the end of the file. A line that is too long
/// is cut, which makes it a wrong one.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    Ok(reader.take(MAX_LINE_BYTES as u64).read_until(b'\n', line)? > 0)
}
