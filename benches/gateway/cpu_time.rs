//! The CPU time of a process.

use std::{fs, time::Duration};

use crate::Error;

/// Returns the CPU time of all threads of a process, as the scheduler counts it.
pub(crate) fn cpu_time(process: u32) -> Result<Duration, Error> {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let count = fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += count.split(' ').next().ok_or("no schedstat")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
