//! Flags of the connections to the upstream.

use std::time::Duration;

use super::{A_TIME, UsageError, once, read};
use crate::units;

pub(super) const FLAGS: [&str; 7] = [
    "--upstream-keep-alive",
    "--upstream-retry",
    "--upstream-connect-timeout",
    "--upstream-head-timeout",
    "--upstream-first-byte-timeout",
    "--upstream-idle-timeout",
    "--upstream-total-timeout",
];

/// The settings of the client. `None` is the default of the client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Client {
    /// How long an idle connection is reused.
    pub(crate) keep_alive: Option<Duration>,
    /// Zero turns it off.
    pub(crate) retry: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) deadlines: Deadlines,
}

/// The timeouts of a response. No timeout is zero.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Deadlines {
    pub(crate) head: Option<Duration>,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) total: Option<Duration>,
}

impl Client {
    /// Sets the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        let timeout = match flag {
            "--upstream-keep-alive" => {
                let time = read(flag, value, units::time, A_TIME)?;
                return once(flag, &mut self.keep_alive, time);
            }
            "--upstream-retry" => {
                let retry = read(flag, value, units::time, "a time such as 1s, or 0s for off")?;
                return once(flag, &mut self.retry, retry);
            }
            "--upstream-connect-timeout" => &mut self.connect_timeout,
            "--upstream-head-timeout" => &mut self.deadlines.head,
            "--upstream-first-byte-timeout" => &mut self.deadlines.first_byte,
            "--upstream-idle-timeout" => &mut self.deadlines.idle,
            "--upstream-total-timeout" => &mut self.deadlines.total,
            _ => return Err(UsageError(format!("{flag} is not a flag of this gateway"))),
        };
        let time = |text: &str| units::time(text).filter(|time| !time.is_zero());
        once(flag, timeout, read(flag, value, time, "a time above zero with its unit, such as 5m")?)
    }
}
