//! Reads one secret file.

use std::{
    fmt,
    fs::{File, Metadata},
    io::{self, Read as _},
    path::Path,
};

use zeroize::Zeroizing;

use crate::{file_reason::FileReason, file_version::FileVersion};

/// A larger file is not read while its metadata stays the same.
const SMALL_BYTES: u64 = 64 * 1_024;

/// What a file must meet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileRules {
    /// The kind of the file for the log, such as `API key file`.
    #[cfg_attr(
        not(any(feature = "auth", feature = "hf")),
        expect(dead_code, reason = "for a file that is read again")
    )]
    pub(super) kind: &'static str,
    max_bytes: usize,
    writable: bool,
}

impl FileRules {
    /// Accepts a file of at most `max_bytes` that only its owner can write.
    pub(crate) const fn new(kind: &'static str, max_bytes: usize) -> Self {
        Self { kind, max_bytes, writable: false }
    }

    /// Also accepts a file that its group or others can write.
    #[cfg(any(feature = "auth", feature = "hf"))]
    pub(crate) const fn dangerous_writable(mut self) -> Self {
        self.writable = true;
        self
    }
}

/// The reason why a file cannot be read. Its text has no content of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FileFault {
    Unreadable(io::ErrorKind),
    /// A directory, a pipe, a socket or a device.
    NotAFile,
    TooLarge {
        max_bytes: usize,
    },
    /// The permission bits let the group or others write. Unix only.
    Writable {
        mode: u32,
    },
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(kind) => FileReason(*kind).fmt(f),
            Self::NotAFile => f.write_str("it is not a regular file"),
            Self::TooLarge { max_bytes } => write!(f, "it has more than {max_bytes} bytes"),
            Self::Writable { mode } => write!(
                f,
                "its group or others can write it (mode {mode:o}): run `chmod go-w` on it"
            ),
        }
    }
}

pub(super) enum Content {
    Unchanged,
    Read(FileContent),
}

pub(super) struct FileContent {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    #[cfg_attr(
        not(any(feature = "auth", feature = "hf")),
        expect(dead_code, reason = "for a file that is read again")
    )]
    pub(super) version: FileVersion,
    pub(super) readable_by_others: bool,
}

/// Reads a file that is not read again. Also returns whether every user of the machine can read it.
#[cfg(feature = "audit")]
pub(crate) fn read_once(
    path: &Path,
    rules: FileRules,
) -> Result<(Zeroizing<Vec<u8>>, bool), FileFault> {
    match read(path, rules, None)? {
        Content::Read(file) => Ok((file.bytes, file.readable_by_others)),
        // Only with a known version.
        Content::Unchanged => Err(FileFault::Unreadable(io::ErrorKind::Other)),
    }
}

/// Reads the file unless it is large and has the version `known`.
pub(super) fn read(
    path: &Path,
    rules: FileRules,
    known: Option<FileVersion>,
) -> Result<Content, FileFault> {
    let unreadable = |error: io::Error| FileFault::Unreadable(error.kind());
    // Follows symlinks. Checked before the file is opened, because opening a pipe waits for its writer.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(FileFault::NotAFile);
    }
    let file = File::open(path).map_err(unreadable)?;
    // The open file decides, because the path may lead to another one by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileFault::NotAFile);
    }
    let readable_by_others = check_mode(&metadata, rules)?;
    let version = FileVersion::of(&metadata);
    if version.length > SMALL_BYTES && known == Some(version) {
        return Ok(Content::Unchanged);
    }
    let max = rules.max_bytes;
    let too_large = FileFault::TooLarge { max_bytes: max };
    let length = usize::try_from(version.length).map_err(|_| too_large)?;
    if length > max {
        return Err(too_large);
    }
    // Full capacity at once, because a growing buffer leaves unwiped copies behind. The reader needs
    // some room to find the end of the file.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 32));
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max {
        return Err(too_large);
    }
    Ok(Content::Read(FileContent { bytes, version, readable_by_others }))
}

/// Returns whether every user of the machine can read the file. Fails if more than its owner can
/// write it.
#[cfg(unix)]
fn check_mode(metadata: &Metadata, rules: FileRules) -> Result<bool, FileFault> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 && !rules.writable {
        return Err(FileFault::Writable { mode });
    }
    Ok(mode & 0o004 != 0)
}

/// Windows and others have no permission bits. Their access lists are not read.
#[cfg(not(unix))]
const fn check_mode(_metadata: &Metadata, rules: FileRules) -> Result<bool, FileFault> {
    let _ = rules.writable;
    Ok(false)
}
