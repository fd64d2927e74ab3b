//! Answers of any upstream, recorded and given again.
#![no_main]

#[path = "../../support/scripts.rs"]
mod scripts;

libfuzzer_sys::fuzz_target!(|data: &[u8]| scripts::check(data));
