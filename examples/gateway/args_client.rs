//! How connections to the upstream are used.

use std::time::Duration;

use super::{A_TIME, UsageError, once, read};
use crate::units;

pub(super) const FLAGS: [&str; 2] = ["--upstream-idle", "--upstream-retry"];

/// `None` is as the client has it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Client {
    pub(crate) idle: Option<Duration>,
    /// Zero is off.
    pub(crate) retry: Option<Duration>,
}

impl Client {
    /// Takes the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        match flag {
            "--upstream-idle" => {
                let idle = read(flag, value, units::time, A_TIME)?;
                once(flag, &mut self.idle, idle)
            }
            "--upstream-retry" => {
                let retry = read(flag, value, units::time, "a time such as 1s, or 0s for off")?;
                once(flag, &mut self.retry, retry)
            }
            _ => Err(UsageError(format!("{flag} is not a flag of this gateway"))),
        }
    }
}
