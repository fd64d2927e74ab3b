//! The memory of all request bodies.

use super::{UsageError, once, read};
use crate::units;

pub(super) const FLAGS: [&str; 1] = ["--max-bodies"];

/// The given flag.
#[derive(Debug, Default)]
pub(super) struct Given {
    max_bytes: Option<u64>,
}

impl Given {
    const DEFAULT: u64 = 256 << 20;

    /// Sets the value of the flag.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        once(flag, &mut self.max_bytes, read(flag, value, units::size, "a size such as 256MiB")?)
    }

    pub(super) fn resolve(self) -> u64 {
        self.max_bytes.unwrap_or(Self::DEFAULT)
    }
}
