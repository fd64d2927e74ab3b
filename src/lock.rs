//! A mutex that ignores poison.
//!
//! The values behind the locks of this crate are valid between any two statements. A panic of the
//! thread that held a lock leaves its value valid.

#[expect(clippy::disallowed_types, reason = "the one place that wraps it")]
use std::sync::Mutex;
#[cfg(feature = "stalled-reader")]
use std::sync::TryLockError;
use std::{
    fmt,
    sync::{MutexGuard, PoisonError},
};

#[expect(clippy::disallowed_types, reason = "the one place that wraps it")]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    #[expect(clippy::disallowed_types, reason = "the one place that wraps it")]
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks unless another thread has the lock.
    #[cfg(feature = "stalled-reader")]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Returns the value without locking, because `&mut` excludes every other user.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Lock<T> {
    // Without the value, so that printing never waits for the lock.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}
