//! The interleavings of a flight, under a scheduler that tries many.
//!
//! The module is the crate's own file; its lock is the scheduler's.

#![allow(dead_code, reason = "the crate uses what these tests do not")]

mod lock {
    use shuttle::sync::{Mutex, MutexGuard};

    pub(crate) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
        }
    }
}

#[path = "../../../src/memory_limit.rs"]
mod memory_limit;
#[path = "../../../src/cache/flight/single_flight/mod.rs"]
mod single_flight;

#[cfg(test)]
mod tests;
