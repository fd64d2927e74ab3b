//! The reason why a file cannot be read, in words.

use std::{fmt, io};

/// Displays the kind of an I/O error and what helps.
pub(crate) struct FileReason(pub(crate) io::ErrorKind);

impl fmt::Display for FileReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self.0 {
            io::ErrorKind::NotFound => {
                "no such file; a relative path starts at the working directory"
            }
            io::ErrorKind::PermissionDenied => {
                "permission denied; the user of this process must be able to read it"
            }
            kind => return kind.fmt(f),
        };
        f.write_str(advice)
    }
}
