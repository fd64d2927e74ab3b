//! Tells whether a file may have another content, without reading it.

use std::{fs::Metadata, time::SystemTime};

/// Distinguishes most contents of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FileVersion {
    modified: Option<SystemTime>,
    pub(crate) length: u64,
    // Device, inode and time of the last change. They detect a replaced file and a second write within
    // one tick of the modification time.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl FileVersion {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
