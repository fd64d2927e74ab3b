//! Opens a trail: a new one, or the one that an earlier process left.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use super::{
    checkpoint::{Checkpoint, Reason},
    error::{AuditError, AuditFault},
    key::AuditKey,
    line::Chain,
    opening::{After, Opening, Torn},
    place::{Place, lock_file, private},
    storage::TrailFile,
    tail::Tail,
};
use crate::{json_object::rfc3339, sha256::Digest};

/// A trail to which records can be appended.
pub(super) struct Started<S> {
    pub(super) storage: S,
    pub(super) chain: Chain,
    pub(super) trail: Arc<str>,
    pub(super) number: u64,
    pub(super) checkpoint: Checkpoint,
}

/// Opens the trail at `path` and signs what it has so far.
pub(super) fn start(
    path: &Path,
    key: &AuditKey,
    time: SystemTime,
) -> Result<Started<TrailFile>, AuditError> {
    let place = Place::new(path.to_owned());
    // Before a lock is made beside it. A link would have other files beside it than the file that it leads
    // to, so two processes could write one trail.
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(AuditError::at(AuditFault::NotAFile, path.display()));
    }
    let lock = place.lock()?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => resume(place, lock, key, time),
        Ok(_) => begin(place, lock, key, time),
        Err(error) if error.kind() == io::ErrorKind::NotFound => begin(place, lock, key, time),
        Err(error) => Err(AuditError::reading(path.display())(error)),
    }
}

/// Starts a file. It continues the last one if there is one, which a crash within a rotation leaves.
fn begin(
    place: Place,
    lock: File,
    key: &AuditKey,
    time: SystemTime,
) -> Result<Started<TrailFile>, AuditError> {
    let reading = |error| AuditError::reading(place.path.display())(error);
    let mut last = None;
    if let Some(number) = place.numbers().map_err(reading)?.pop() {
        let path = place.rotated(number);
        let reading = AuditError::reading;
        // Opening a pipe would wait for its writer.
        if !fs::metadata(&path).map_err(reading(path.display()))?.is_file() {
            return Err(AuditError::at(AuditFault::NotAFile, path.display()));
        }
        let file = File::open(&path).map_err(reading(path.display()))?;
        let tail = Tail::read(&file).map_err(reading(path.display()))?;
        let whole = tail.filter(|tail| tail.torn.is_empty() && !tail.unterminated);
        let damaged = || AuditError::at(AuditFault::Damaged, path.display());
        last = Some((whole.ok_or_else(damaged)?, number));
    }
    let (mut chain, trail, number, after, unsigned) = match last {
        None => (Chain::EMPTY, new_name(), 1, After::Nothing, None),
        Some((tail, number)) => {
            let after = if tail.closed { After::Close } else { After::Crash };
            let unsigned = tail.unsigned.filter(|lines| *lines > 0);
            (tail.chain, tail.trail, number.saturating_add(1), after, unsigned)
        }
    };
    let mut lines = Vec::new();
    let opening =
        Opening { time, trail: &trail, number, after, key: key.public_key(), unsigned, torn: None };
    let checkpoint = opening_lines(&opening, &trail, &mut chain, &mut lines, key);
    let writing = |error| AuditError::writing(place.path.display())(error);
    let file = TrailFile::create(&place, &lines).map_err(writing)?;
    TrailFile::name(&place).map_err(writing)?;
    let storage = TrailFile::new(place, file, lines.len() as u64, lock);
    Ok(Started { storage, chain, trail, number, checkpoint })
}

/// Continues a file.
fn resume(
    place: Place,
    lock: File,
    key: &AuditKey,
    time: SystemTime,
) -> Result<Started<TrailFile>, AuditError> {
    let reading = |error| AuditError::reading(place.path.display())(error);
    let writing = |error| AuditError::writing(place.path.display())(error);
    let mut file = OpenOptions::new().append(true).read(true).open(&place.path).map_err(writing)?;
    lock_file(&file).map_err(|error| match error {
        TryLockError::WouldBlock => AuditError::at(AuditFault::InUse, place.path.display()),
        TryLockError::Error(error) => writing(error),
    })?;
    let tail = Tail::read(&file).map_err(reading)?;
    let tail = tail.ok_or_else(|| AuditError::at(AuditFault::Damaged, place.path.display()))?;
    // A second chain from the middle of the trail would never be verified.
    if let Some(later) = place.numbers().map_err(reading)?.pop().filter(|last| *last >= tail.number)
    {
        let later = place.rotated(later).file_name().unwrap_or_default().to_string_lossy().into();
        return Err(AuditError::at(AuditFault::Older { later }, place.path.display()));
    }
    let mut chain = tail.chain;
    let aside = place.torn(chain.seq);
    let mut lines = Vec::new();
    if tail.unterminated {
        lines.push(b'\n');
    }
    if !tail.torn.is_empty() {
        keep_aside(&aside, &tail.torn).map_err(AuditError::writing(aside.display()))?;
        file.set_len(tail.end).map_err(writing)?;
    }
    let after = if tail.closed { After::Close } else { After::Crash };
    let opening = Opening {
        time,
        trail: &tail.trail,
        number: tail.number,
        after,
        key: key.public_key(),
        unsigned: tail.unsigned.filter(|lines| *lines > 0),
        // A start that was itself cut off may have kept them aside.
        torn: torn(&aside).map_err(AuditError::reading(aside.display()))?,
    };
    let checkpoint = opening_lines(&opening, &tail.trail, &mut chain, &mut lines, key);
    file.write_all(&lines).and_then(|()| file.sync_all()).map_err(writing)?;
    place.sync_folder().map_err(writing)?;
    let storage = TrailFile::new(place, file, tail.end + lines.len() as u64, lock);
    Ok(Started { storage, chain, trail: tail.trail, number: tail.number, checkpoint })
}

/// Appends the line that opens the trail and a checkpoint, which signs what came before.
fn opening_lines(
    opening: &Opening<'_>,
    trail: &Arc<str>,
    chain: &mut Chain,
    lines: &mut Vec<u8>,
    key: &AuditKey,
) -> Checkpoint {
    opening.append(chain, lines);
    let time = rfc3339(opening.time);
    let time = str::from_utf8(&time).unwrap_or_default();
    Checkpoint::sign(chain, lines, trail, time, Reason::Start, key)
}

fn keep_aside(path: &Path, torn: &[u8]) -> io::Result<()> {
    let mut file = private(OpenOptions::new().append(true).create(true)).open(path)?;
    // A start that was cut off here has written it.
    if !fs::read(path)?.ends_with(torn) {
        file.write_all(torn)?;
    }
    file.sync_all()
}

/// Describes the bytes that were kept aside.
fn torn(aside: &Path) -> io::Result<Option<Torn>> {
    let bytes = match fs::read(aside) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let file = aside.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sha256 = Digest::of(&bytes).to_hex();
    Ok(Some(Torn { bytes: bytes.len() as u64, sha256, file }))
}

/// A random name, so that no file of another trail passes as one of this.
fn new_name() -> Arc<str> {
    let mut bytes = [0; 32];
    // Only a system without randomness fails here. Its trails are told apart by their hashes.
    let _filled = aws_lc_rs::rand::fill(&mut bytes);
    let digits = Digest::from_bytes(bytes).to_hex();
    digits.get(..32).unwrap_or_default().into()
}
