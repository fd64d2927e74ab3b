//! Programs that a test runs.

use std::{env, process::Command};

/// Returns whether a program is there. It says so when it is not, and with `CI` set that is a failure.
pub fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(found || env::var_os("CI").is_none(), "CI must have {program}");
    if !found {
        eprintln!("SKIPPED, nothing was tested: {program} is missing");
    }
    found
}
