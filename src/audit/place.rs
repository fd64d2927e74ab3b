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
                .and_then(|digits| Some((digits, digits.parse::<u64>().ok()?)))
                // A number has one spelling.
                .filter(|(digits, number)| format!("{number:06}") == *digits)
                .map(|(_, number)| number);
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
/// Returns an error if the folder or the metadata of the current file cannot be read.
pub fn trail_files(path: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    let place = Place::new(path.as_ref().to_owned());
    let mut files: Vec<_> =
        place.numbers()?.into_iter().map(|number| place.rotated(number)).collect();
    // Also a link that leads nowhere. To leave the file out would show a shorter trail.
    match fs::symlink_metadata(&place.path) {
        Ok(_) => files.push(place.path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(files)
}

/// Locks a current file until it is closed. Its lock is also seen where the file has another name, such as a
/// hard link, and after somebody deleted the lock beside it.
///
/// Windows would keep verifiers from reading a file that is locked.
pub(super) fn lock_file(file: &File) -> Result<(), TryLockError> {
    if cfg!(unix) { file.try_lock() } else { Ok(()) }
}

/// Lets nobody but the owner read a file that is created.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
