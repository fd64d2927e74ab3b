//! Edits of any document, beside a model of them.
#![no_main]

#[path = "../../support/edits.rs"]
mod edits;

libfuzzer_sys::fuzz_target!(|data: &[u8]| edits::check(data));
