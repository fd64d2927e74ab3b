//! Conformance data of other projects, which this project does not carry.
//!
//! A test that reads it is marked `#[ignore = "needs CONFORMANCE_DATA"]`, so that `cargo test`
//! shows it as ignored. CONTRIBUTING.md tells how to run it.

use std::{env, path::PathBuf};

/// A file or folder of the conformance data. Panics where the data is missing, because whoever
/// runs ignored tests has asked for them.
pub fn path(name: &str) -> PathBuf {
    let folder = env::var_os("CONFORMANCE_DATA")
        .unwrap_or_else(|| panic!("set CONFORMANCE_DATA to the folder that holds `{name}`"));
    let path = PathBuf::from(folder).join(name);
    assert!(path.exists(), "CONFORMANCE_DATA has no `{name}`");
    path
}
