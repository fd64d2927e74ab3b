//! The current file of a trail.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
};

use super::place::{Place, lock_file, private};

/// The file that a writer appends to.
pub(super) trait Storage: Send + 'static {
    /// Appends some of `bytes` and returns how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Makes what was written durable.
    fn sync(&mut self) -> io::Result<()>;

    /// Renames the current file to that of `number` and goes on with a file that starts with
    /// `first`. An error leaves the current file in use.
    fn rotate(&mut self, number: u64, first: &[u8]) -> io::Result<()>;

    /// How many bytes the current file has.
    fn length(&self) -> u64;
}

pub(super) struct TrailFile {
    place: Place,
    file: File,
    length: u64,
    // Held until the drop.
    _lock: File,
}

impl TrailFile {
    /// Goes on with a file of `length` bytes.
    pub(super) fn new(place: Place, file: File, length: u64, lock: File) -> Self {
        Self { place, file, length, _lock: lock }
    }

    /// Creates the current file with `first` as its content. It has its name once it is durable.
    pub(super) fn create(place: &Place, first: &[u8]) -> io::Result<File> {
        let next = place.next();
        // A crash may have left one, to which nothing was added.
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file =
            private(OpenOptions::new().append(true).read(true).create_new(true)).open(&next)?;
        lock_file(&file)?;
        file.write_all(first)?;
        file.sync_all()?;
        Ok(file)
    }

    /// Returns an error if the file has lost its name. Its records would vanish with the process, or be
    /// missing where verifiers look for them.
    #[cfg(unix)]
    fn check_name(&self) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt as _;

        let named = fs::symlink_metadata(&self.place.path).map_err(|error| match error.kind() {
            kind @ io::ErrorKind::NotFound => io::Error::new(kind, "the file was moved or deleted"),
            _ => error,
        })?;
        let own = self.file.metadata()?;
        if (named.dev(), named.ino()) == (own.dev(), own.ino()) {
            Ok(())
        } else {
            Err(io::Error::other("the file was replaced by another one"))
        }
    }

    #[cfg(not(unix))]
    const fn check_name(&self) -> io::Result<()> {
        Ok(())
    }

    /// Gives the file of [`create`](Self::create) its name.
    pub(super) fn name(place: &Place) -> io::Result<()> {
        fs::rename(place.next(), &place.path)?;
        place.sync_folder()
    }
}

impl Storage for TrailFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_name()?;
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn rotate(&mut self, number: u64, first: &[u8]) -> io::Result<()> {
        let old = self.place.rotated(number);
        // A rename would replace it.
        if old.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let next = Self::create(&self.place, first)?;
        fs::rename(&self.place.path, &old)?;
        if let Err(error) = Self::name(&self.place) {
            // The old file is still the one that is written.
            fs::rename(&old, &self.place.path)?;
            return Err(error);
        }
        self.file = next;
        self.length = first.len() as u64;
        Ok(())
    }

    fn length(&self) -> u64 {
        self.length
    }
}
