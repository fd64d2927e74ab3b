//! Any bytes, read as JSON by two readers.
#![no_main]

#[path = "../../support/reader.rs"]
mod reader;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reader::holds(bytes));
