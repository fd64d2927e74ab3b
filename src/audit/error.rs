use std::{error::Error, fmt, io, sync::Arc};

use crate::{
    error_debug::debug_as_message, file_reason::FileReason, printable::Printable,
    secret_file::FileFault,
};

/// The expected form of a private key.
pub(super) const EXPECTED_KEY: &str = "expected an Ed25519 key as PKCS#8 (PEM or DER), as a seed of 32 bytes or as 64 hexadecimal \
     digits: `openssl genpkey -algorithm ed25519 -out audit.key`";

/// An error from an audit trail, its key or a checkpoint: the place and the fault.
///
/// [`Display`](fmt::Display) and [`Debug`] print both with the remedy. They never print a key.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct AuditError {
    /// The reason.
    pub fault: AuditFault,
    /// The path of the file. `None` for a value that the program gave.
    pub place: Option<Arc<str>>,
}

/// The reason that an audit trail cannot be written or read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AuditFault {
    /// Returned when a file cannot be read.
    Unreadable(io::ErrorKind),
    /// Returned when a file cannot be created, locked or written.
    Unwritable(io::ErrorKind),
    /// Returned when the path leads to a directory, a pipe, a socket or a device. A trail that is written
    /// is no symbolic link either.
    NotAFile,
    /// Returned when another process, or another [`AuditLog`](super::AuditLog) of this one, writes
    /// the trail.
    InUse,
    /// Returned when later files of the trail are beside the current one, which was replaced by an older
    /// file.
    Older {
        /// The name of the last one.
        later: Arc<str>,
    },
    /// Returned when the end of the trail has no record that is intact, so that the chain cannot
    /// continue.
    Damaged,
    /// Returned when the system cannot start the writer thread.
    Thread(io::ErrorKind),
    /// Returned when the group or others can write the key file. Unix only.
    KeyWritable {
        /// The permission bits.
        mode: u32,
    },
    /// Returned when every user of the machine can read the key file. Unix only.
    KeyReadable,
    /// Returned when a key is not one of Ed25519. The text says what is expected.
    MalformedKey(&'static str),
    /// Returned when a text is not a checkpoint as [`Checkpoint`](super::Checkpoint) prints it.
    MalformedCheckpoint,
    /// Returned when none of the public keys has signed the known checkpoint.
    UnsignedCheckpoint,
}

impl AuditError {
    pub(super) fn new(fault: AuditFault) -> Self {
        Self { fault, place: None }
    }

    pub(super) fn at(fault: AuditFault, place: impl fmt::Display) -> Self {
        Self { fault, place: Some(place.to_string().into()) }
    }

    /// Makes the error of reading `place`.
    pub(super) fn reading(place: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::at(AuditFault::Unreadable(error.kind()), place)
    }

    /// Makes the error of writing `place`.
    pub(super) fn writing(place: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::at(AuditFault::Unwritable(error.kind()), place)
    }
}

impl From<FileFault> for AuditFault {
    fn from(fault: FileFault) -> Self {
        match fault {
            FileFault::Unreadable(kind) => Self::Unreadable(kind),
            FileFault::NotAFile => Self::NotAFile,
            FileFault::TooLarge { .. } => Self::MalformedKey(EXPECTED_KEY),
            FileFault::Writable { mode } => Self::KeyWritable { mode },
        }
    }
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}: ", Printable(place))?;
        }
        self.fault.fmt(f)
    }
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Unreadable(kind) => {
                return write!(f, "it cannot be read: {}", FileReason(*kind));
            }
            Self::Unwritable(kind) => {
                return write!(f, "it cannot be written: {}", FileReason(*kind));
            }
            Self::Thread(kind) => return write!(f, "the system cannot start a thread: {kind}"),
            Self::KeyWritable { mode } => return FileFault::Writable { mode: *mode }.fmt(f),
            Self::MalformedKey(expected) => return write!(f, "it is not a key; {expected}"),
            Self::Older { later } => {
                return write!(
                    f,
                    "it is older than {}, so it was replaced; put the last file of the trail back",
                    Printable(later)
                );
            }
            Self::NotAFile => "it is not a regular file",
            Self::InUse => "another process writes this trail; give each process its own file",
            Self::Damaged => {
                "no record at its end is intact; keep the file as evidence under another name and \
                 start a new trail"
            }
            Self::KeyReadable => {
                "every user of this machine can read it: run `chmod o-r` on it, and make a new key \
                 if others use the machine"
            }
            Self::MalformedCheckpoint => "it is not a checkpoint: expected one line of the trail",
            Self::UnsignedCheckpoint => "none of the public keys has signed this checkpoint",
        };
        f.write_str(text)
    }
}

debug_as_message!(AuditError);

impl Error for AuditError {}
