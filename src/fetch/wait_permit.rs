//! Bounds the number of waiting requests.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

/// Counts the permits in use.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitPermits(Arc<AtomicUsize>);

impl WaitPermits {
    /// Returns `None` if `max` permits are in use.
    pub(crate) fn acquire(&self, max: usize) -> Option<WaitPermit> {
        let next = |used: usize| (used < max).then_some(used + 1);
        self.0.fetch_update(SeqCst, SeqCst, next).ok().map(|_| WaitPermit(Arc::clone(&self.0)))
    }
}

/// Allows one request to wait. Dropping it returns the permit.
#[derive(Debug)]
pub(crate) struct WaitPermit(Arc<AtomicUsize>);

impl Drop for WaitPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_bounded_and_returned() {
        let permits = WaitPermits::default();
        assert!(permits.acquire(0).is_none());
        let (first, second) = (permits.acquire(2), permits.acquire(2));
        assert!(first.is_some() && second.is_some() && permits.acquire(2).is_none());
        drop(first);
        assert!(permits.acquire(2).is_some());
    }
}
