//! Any bytes, read as a set of keys.
#![no_main]

use tower_inference::auth::Keys;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (Ok(keys), Ok(again)) = (Keys::from_jwks(bytes), Keys::from_jwks(bytes)) else { return };
    // Each set that is accepted has a key, and reading it again finds the same ones.
    assert_ne!(format!("{keys:?}"), "[]");
    assert_eq!(format!("{keys:?}"), format!("{again:?}"));
});
