//! Any signed request, beside a signer of its own.
#![no_main]

#[path = "../../support/signed.rs"]
mod signed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| signed::check(data));
