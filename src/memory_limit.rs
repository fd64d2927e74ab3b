//! Bounds on the memory that concurrent requests hold together.
//!
//! A [`MemoryLimit`] is one sum of bytes. Several layers share the sum by holding clones of the same
//! limit:
//!
//! ```
//! use tower_inference::{memory_limit::MemoryLimit, payload::PayloadLayer};
//!
//! let bodies = MemoryLimit::new(64 << 20);
//! let chats = PayloadLayer::new().memory_limit(bodies.clone());
//! let sounds = PayloadLayer::bytes().memory_limit(bodies.clone());
//! assert_eq!((bodies.max_bytes(), bodies.taken_bytes()), (64 << 20, 0));
//! ```
//!
//! # Small permits are served first
//!
//! Large permits may fill three quarters of the sum. The last quarter serves permits of at most
//! 128 KiB, so that a few large bodies do not keep ordinary requests out.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

/// A bound on the bytes that many requests hold in memory together.
///
/// Clones share one sum.
#[derive(Clone)]
pub struct MemoryLimit {
    sum: Arc<Sum>,
}

struct Sum {
    max_bytes: usize,
    // Relaxed suffices everywhere: the counter guards no other memory, and each change is one atomic
    // step of this counter alone.
    taken_bytes: AtomicUsize,
}

impl MemoryLimit {
    /// A permit of at most this size may use the whole sum.
    const SMALL: usize = 128 * 1024;

    /// Creates a limit of `max_bytes` for all holders of its clones together.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self { sum: Arc::new(Sum { max_bytes, taken_bytes: AtomicUsize::new(0) }) }
    }

    /// Returns the most bytes that are taken at any time.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        self.sum.max_bytes
    }

    /// Returns how many bytes are taken now.
    #[must_use]
    pub fn taken_bytes(&self) -> usize {
        self.sum.taken_bytes.load(Ordering::Relaxed)
    }

    /// Creates a permit that has taken nothing yet.
    pub(crate) fn permit(&self) -> MemoryPermit {
        MemoryPermit { limit: self.clone(), bytes: 0 }
    }

    /// The part of the sum that a permit of `bytes` may fill.
    fn share(&self, bytes: usize) -> usize {
        let max = self.max_bytes();
        if bytes <= Self::SMALL { max } else { max - max / 4 }
    }
}

impl fmt::Debug for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLimit")
            .field("max_bytes", &self.max_bytes())
            .field("taken_bytes", &self.taken_bytes())
            .finish()
    }
}

/// Bytes taken from a [`MemoryLimit`], given back on drop.
#[derive(Debug)]
pub(crate) struct MemoryPermit {
    limit: MemoryLimit,
    bytes: usize,
}

/// The limit has no room for the bytes that were asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct MemoryExhausted;

impl MemoryPermit {
    /// Takes `more` bytes. On an error, the permit stays as it is.
    pub(crate) fn grow(&mut self, more: usize) -> Result<(), MemoryExhausted> {
        let bytes = self.bytes.checked_add(more).ok_or(MemoryExhausted)?;
        let share = self.limit.share(bytes);
        let add = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= share);
        let taken = &self.limit.sum.taken_bytes;
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .map_err(|_taken| MemoryExhausted)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Gives back `less` bytes, at most all that the permit has.
    pub(crate) fn shrink(&mut self, less: usize) {
        let less = less.min(self.bytes);
        self.bytes -= less;
        self.limit.sum.taken_bytes.fetch_sub(less, Ordering::Relaxed);
    }

    /// Grows or shrinks to `bytes` in all.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), MemoryExhausted> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow(more),
            None => {
                self.shrink(self.bytes - bytes);
                Ok(())
            }
        }
    }

    /// Moves `bytes`, at most all that the permit has, into a permit of their own.
    pub(crate) fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { limit: self.limit.clone(), bytes }
    }

    /// Ties the permit to `data`: it is given back with the last handle of these bytes, wherever
    /// that is dropped. A client keeps what it has not sent yet, long after the body was polled.
    pub(crate) fn guard(self, data: Bytes) -> Bytes {
        Bytes::from_owner(Guarded { data, _permit: self })
    }

    /// Returns how many bytes this permit has taken.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the limit that the bytes are taken from.
    pub(crate) const fn limit(&self) -> &MemoryLimit {
        &self.limit
    }
}

struct Guarded {
    data: Bytes,
    _permit: MemoryPermit,
}

impl AsRef<[u8]> for Guarded {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn bytes_are_taken_as_they_come_and_given_back_on_drop() {
        let limit = MemoryLimit::new(1024 * KIB);
        let (mut one, mut other) = (limit.permit(), limit.permit());
        one.grow(100).unwrap();
        one.grow(200).unwrap();
        other.grow(50).unwrap();
        assert_eq!((one.bytes(), other.bytes(), limit.taken_bytes()), (300, 50, 350));
        one.shrink(100);
        assert_eq!(limit.taken_bytes(), 250);
        one.resize(500).unwrap();
        assert_eq!((one.bytes(), limit.taken_bytes()), (500, 550));
        one.resize(20).unwrap();
        drop(other);
        assert_eq!(limit.taken_bytes(), 20);
        one.shrink(usize::MAX);
        assert_eq!((one.bytes(), limit.taken_bytes()), (0, 0));
    }

    #[test]
    fn the_last_quarter_serves_small_permits() {
        let limit = MemoryLimit::new(1024 * KIB);
        let mut large = limit.permit();
        large.grow(768 * KIB).unwrap();
        assert_eq!(large.grow(1), Err(MemoryExhausted));
        assert_eq!(limit.permit().grow(128 * KIB + 1), Err(MemoryExhausted));

        let mut small: Vec<MemoryPermit> = (0..2).map(|_| limit.permit()).collect();
        for permit in &mut small {
            permit.grow(64 * KIB).unwrap();
            permit.grow(64 * KIB).unwrap();
            // A permit does not become large in the last quarter.
            assert_eq!(permit.grow(1), Err(MemoryExhausted));
        }
        assert_eq!(limit.taken_bytes(), limit.max_bytes());
        assert_eq!(limit.permit().grow(1), Err(MemoryExhausted));
        drop(large);
        assert_eq!(limit.taken_bytes(), 256 * KIB);
        small[0].grow(512 * KIB).unwrap();
    }

    #[test]
    fn a_permit_lives_as_long_as_any_handle_of_its_bytes() {
        let limit = MemoryLimit::new(1000);
        let mut permit = limit.permit();
        permit.grow(300).unwrap();
        let part = permit.split(100);
        assert_eq!((permit.bytes(), part.bytes(), limit.taken_bytes()), (200, 100, 300));
        drop(permit);
        let data = part.guard(Bytes::from_static(b"data"));
        let slice = data.slice(1..2);
        drop(data);
        assert_eq!((&slice[..], limit.taken_bytes()), (&b"a"[..], 100));
        drop(slice);
        assert_eq!(limit.taken_bytes(), 0);
    }

    #[test]
    fn a_failed_growth_changes_nothing() {
        let limit = MemoryLimit::new(100);
        let mut permit = limit.permit();
        permit.grow(60).unwrap();
        for more in [41, usize::MAX] {
            assert_eq!(permit.grow(more), Err(MemoryExhausted));
            assert_eq!((permit.bytes(), limit.taken_bytes()), (60, 60));
        }
        assert_eq!(permit.resize(101), Err(MemoryExhausted));
        permit.resize(100).unwrap();
    }

    #[test]
    fn threads_never_take_more_than_the_limit_and_give_all_back() {
        let limit = MemoryLimit::new(1000);
        thread::scope(|scope| {
            for step in 1..=4 {
                let limit = &limit;
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let mut permit = limit.permit();
                        while permit.grow(step * 31).is_ok() {
                            assert!(limit.taken_bytes() <= 1000);
                        }
                        permit.shrink(step);
                    }
                });
            }
        });
        assert_eq!(limit.taken_bytes(), 0);
        limit.permit().grow(1000).unwrap();
    }
}
