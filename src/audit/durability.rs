use std::time::Duration;

/// When the records that were written are made durable, so that they survive a power failure.
///
/// A crash of the process alone loses no record that was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Durability {
    /// As soon as the disk allows: one fsync for all records that ended during the last one.
    EachRecord,
    /// One fsync when the oldest record that is not durable has this age.
    Interval(Duration),
    /// When the operating system does it, within about 30 seconds on Linux.
    System,
}

impl Default for Durability {
    /// An interval of one second.
    fn default() -> Self {
        Self::Interval(Duration::from_secs(1))
    }
}
