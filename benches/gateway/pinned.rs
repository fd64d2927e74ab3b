//! The core that the measured processes share.

use std::process::Command;

/// The core that each server runs on, if `taskset` is there.
const CORE: &str = "0";

/// Returns the same command on [`CORE`].
pub(crate) fn pinned(command: &Command) -> Command {
    let has_taskset = Command::new("taskset").arg("--version").output().is_ok();
    let program = if has_taskset { "taskset".as_ref() } else { command.get_program() };
    let mut pinned = Command::new(program);
    if has_taskset {
        pinned.args(["-c", CORE]).arg(command.get_program());
    }
    pinned.args(command.get_args());
    pinned.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    pinned
}
