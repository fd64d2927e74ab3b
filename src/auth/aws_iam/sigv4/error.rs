//! Errors of credentials and their files.

use std::{error::Error, fmt, io};

use crate::{error_debug::debug_as_message, file_reason::FileReason, secret_file::FileFault};

/// The reason why signing credentials cannot be used. The message has no secret.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum SigningCredentialError {
    /// The access key id is not 1 to 128 ASCII letters, digits, `-`, `.`, `_` or `~`.
    InvalidAccessKeyId,
    /// The secret access key is shorter than 16 bytes.
    ShortSecret,
    /// Two credentials have this access key id.
    Repeated(Box<str>),
    /// The file cannot be read.
    Unreadable(io::ErrorKind),
    /// The file is refused. The text tells why.
    RefusedFile(Box<str>),
    /// The content is not the expected JSON. The text tells where.
    InvalidJson(Box<str>),
}

impl From<FileFault> for SigningCredentialError {
    fn from(fault: FileFault) -> Self {
        match fault {
            FileFault::Unreadable(kind) => Self::Unreadable(kind),
            fault => Self::RefusedFile(fault.to_string().into()),
        }
    }
}

impl fmt::Display for SigningCredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidAccessKeyId => f.write_str(
                "an access key id has 1 to 128 ASCII letters, digits, `-`, `.`, `_` or `~`",
            ),
            Self::ShortSecret => f.write_str(
                "a secret access key has at least 16 bytes: generate one with `openssl rand -base64 30`",
            ),
            Self::Repeated(id) => write!(f, "two credentials have the access key id {id:?}"),
            Self::Unreadable(kind) => {
                let reason = FileReason(*kind);
                write!(f, "the file of signing credentials cannot be read: {reason}")
            }
            Self::RefusedFile(reason) => {
                write!(f, "the file of signing credentials is refused: {reason}")
            }
            Self::InvalidJson(place) => write!(
                f,
                "expected `[{{\"access_key_id\",\"secret_access_key\",\"session_token\",\"tenant\",\
                 \"scopes\":[…]}}]` with the first two required: {place}"
            ),
        }
    }
}

debug_as_message!(SigningCredentialError);

impl Error for SigningCredentialError {}
