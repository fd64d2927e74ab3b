//! The audit trail.

use std::path::PathBuf;

use super::{UsageError, once};

pub(super) const FLAGS: [&str; 2] = ["--audit", "--audit-key"];

/// The files of the trail.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Audit {
    pub(crate) file: PathBuf,
    pub(crate) key: PathBuf,
}

/// The given flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    file: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Given {
    /// Sets the value of a flag.
    pub(super) fn take(&mut self, flag: &str, value: String) -> Result<(), UsageError> {
        let slot = if flag == "--audit" { &mut self.file } else { &mut self.key };
        once(flag, slot, value.into())
    }

    pub(super) fn resolve(self) -> Result<Option<Audit>, UsageError> {
        match (self.file, self.key) {
            (None, None) => Ok(None),
            (Some(file), Some(key)) => Ok(Some(Audit { file, key })),
            _ => Err(UsageError("--audit and --audit-key need each other".to_owned())),
        }
    }
}
