//! The files of a trail beside its current one.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use super::error::{AuditError, AuditFault};

/// The path of a trail's current file and the names beside it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
}

impl Place {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Locks the trail until the returned file is closed. The lock is on a file of its own, because
    /// the current file changes.
    pub(super) fn lock(&self) -> Result<File, AuditError> {
        let path = self.beside("lock");
        let file = private(OpenOptions::new().write(true).create(true).truncate(false))
            .open(&path)
            .map_err(AuditError::writing(path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                Err(AuditError::at(AuditFault::InUse, self.path.display()))
            }
            Err(TryLockError::Error(error)) => Err(AuditError::writing(path.display())(error)),
        }
    }

    /// The name of an earlier file.
    pub(super) fn rotated(&self, number: u64) -> PathBuf {
        self.beside(&format!("{number:06}"))
    }

    /// The name of the next file before it is complete.
    pub(super) fn next(&self) -> PathBuf {
        self.beside("new")
    }

    /// The name of what a crash left in place of record `seq`.
    pub(super) fn torn(&self, seq: u64) -> PathBuf {
        self.beside(&format!("torn-{seq}"))
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(self.path.as_os_str());
        name.push(".");
        name.push(suffix);
        name.into()
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    /// The numbers of the earlier files in their order.
    pub(super) fn numbers(&self) -> io::Result<Vec<u64>> {
        let start = self.path.file_name().map(OsStr::as_encoded_bytes).unwrap_or_default();
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            let name = entry?.file_name();
            let number = name
                .as_encoded_bytes()
                .strip_prefix(start)
                .and_then(|rest| str::from_utf8(rest.strip_prefix(b".")?).ok())
                .filter(|digits| digits.len() >= 6)
                .and_then(|digits| digits.parse::<u64>().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        if cfg!(unix) { File::open(self.folder())?.sync_all() } else { Ok(()) }
    }
}

/// Lists the files of the trail at `path`, the oldest first and the current one last.
///
/// # Errors
///
/// Returns an error if the folder cannot be read.
pub fn trail_files(path: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    let place = Place::new(path.as_ref().to_owned());
    let mut files: Vec<_> =
        place.numbers()?.into_iter().map(|number| place.rotated(number)).collect();
    if place.path.exists() {
        files.push(place.path);
    }
    Ok(files)
}

/// Lets nobody but the owner read a file that is created.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
