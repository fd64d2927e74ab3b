//! Any STS token, and what is sent to AWS because of it.
#![no_main]

#[path = "../../support/presigned.rs"]
mod presigned;

libfuzzer_sys::fuzz_target!(|data: &[u8]| presigned::check(data));
