//! Resident memory of a process.
#![allow(dead_code, reason = "each attack has its own use of it")]

use crate::process::Gateway;

const MIB: u64 = 1 << 20;

/// Resident memory of the gateway, now and at its peak, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    pub now: u64,
    pub peak: u64,
}

impl Resident {
    /// Read from `/proc`, so `None` where the system has none.
    pub fn of(gateway: &Gateway) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
        };
        Some(Self { now: field("VmRSS:")?, peak: field("VmHWM:")? })
    }
}

/// Asserts that the peak has grown by at most `most` bytes since `before`.
#[track_caller]
pub fn assert_grown_at_most(gateway: &Gateway, before: Resident, most: u64) {
    let Some(after) = Resident::of(gateway) else { return };
    let grown = after.peak.saturating_sub(before.now);
    assert!(grown <= most, "grown by {} MiB where {} MiB are allowed", grown / MIB, most / MIB);
}
