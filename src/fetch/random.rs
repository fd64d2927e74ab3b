//! Random numbers that spread the fetches of several replicas.

use std::hash::{BuildHasher as _, RandomState};

/// Returns a random number from 0 to 1, without 1. The standard library's hashers have random keys.
pub(crate) fn random() -> f64 {
    f64::from(RandomState::new().hash_one(()) as u32) / (f64::from(u32::MAX) + 1.0)
}
