//! Flags of connections and of requests in flight.

use std::time::Duration;

use super::{UsageError, once, read};
use crate::units;

pub(super) const FLAGS: [&str; 8] = [
    "--max-connections",
    "--max-connections-per-address",
    "--max-in-flight",
    "--upstream-slots",
    "--upstream-queue",
    "--upstream-queue-timeout",
    "--caller-share",
    "--reader-timeout",
];

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Slots {
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_address: usize,
    /// The requests of one principal in flight. `None` is no limit.
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) upstream_slots: usize,
    /// The requests that wait for a slot.
    pub(crate) upstream_queue: usize,
    /// `None` is the default of the layer.
    pub(crate) queue_timeout: Option<Duration>,
    /// The share of one principal in percent of the upstream's slots.
    pub(crate) caller_share: u8,
    pub(crate) reader_timeout: Duration,
}

/// The given flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    max_connections: Option<u32>,
    max_connections_per_address: Option<u32>,
    max_in_flight: Option<u32>,
    upstream_slots: Option<u32>,
    upstream_queue: Option<u32>,
    queue_timeout: Option<Duration>,
    caller_share: Option<u8>,
    reader_timeout: Option<Duration>,
}

impl Given {
    /// Sets the value of one of these flags.
    pub(super) fn take(&mut self, flag: &str, value: &str) -> Result<(), UsageError> {
        let count = match flag {
            "--max-connections" => &mut self.max_connections,
            "--max-connections-per-address" => &mut self.max_connections_per_address,
            "--max-in-flight" => &mut self.max_in_flight,
            "--upstream-slots" => &mut self.upstream_slots,
            "--caller-share" => {
                let percent = read(flag, value, percent, "a percentage from 1 to 100")?;
                return once(flag, &mut self.caller_share, percent);
            }
            "--upstream-queue" => &mut self.upstream_queue,
            "--upstream-queue-timeout" => {
                let time = |text: &str| units::time(text).filter(|time| !time.is_zero());
                let time = read(flag, value, time, "a time such as 10s")?;
                return once(flag, &mut self.queue_timeout, time);
            }
            "--reader-timeout" => {
                let time = |text: &str| units::time(text).filter(|time| !time.is_zero());
                let time = read(flag, value, time, "a time such as 60s")?;
                return once(flag, &mut self.reader_timeout, time);
            }
            _ => return Err(UsageError(format!("{flag} is not a flag of this gateway"))),
        };
        once(flag, count, read(flag, value, units::count, "a number that is not zero")?)
    }

    pub(super) fn resolve(self) -> Result<Slots, UsageError> {
        if self.queue_timeout.is_some() && self.upstream_queue.is_none() {
            return Err(UsageError("--upstream-queue-timeout needs --upstream-queue".to_owned()));
        }
        let max_connections = self.max_connections.map_or(4_096, |count| count as usize);
        Ok(Slots {
            max_connections,
            max_connections_per_address: self
                .max_connections_per_address
                .map_or_else(|| max_connections.div_ceil(4), |count| count as usize),
            max_in_flight: self.max_in_flight,
            upstream_slots: self.upstream_slots.map_or(1_024, |count| count as usize),
            upstream_queue: self.upstream_queue.map_or(0, |count| count as usize),
            queue_timeout: self.queue_timeout,
            caller_share: self.caller_share.unwrap_or(25),
            reader_timeout: self.reader_timeout.unwrap_or(Duration::from_secs(60)),
        })
    }
}

fn percent(text: &str) -> Option<u8> {
    units::count(text)?.try_into().ok().filter(|percent| *percent <= 100)
}
