use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a [`RedisStore`](super::RedisStore) has done so far. From
/// [`Store::redis_counts`](crate::throttle::Store::redis_counts).
///
/// The share of requests that touch the server is `asked` of `asked + leased + local + refused`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RedisCounts {
    /// Decisions that the server made.
    pub asked: u64,
    /// Decisions that were made of permits taken ahead, without the server.
    pub leased: u64,
    /// Decisions that were this replica's alone, while the server was away.
    pub local: u64,
    /// Decisions that nobody made, while the server was away.
    pub refused: u64,
    /// Decisions for which the server had counted less than this replica itself: it was flushed,
    /// restarted empty, or evicts counters.
    pub restored: u64,
    /// Settlements of which the server was told.
    pub settled: u64,
    /// Settlements of which nobody knows whether the server was told: it was lost meanwhile, or the
    /// queue was full.
    pub unsettled: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) asked: AtomicU64,
    pub(super) leased: AtomicU64,
    pub(super) local: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) restored: AtomicU64,
    pub(super) settled: AtomicU64,
    pub(super) unsettled: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> RedisCounts {
        let Self { asked, leased, local, refused, restored, settled, unsettled } = self;
        RedisCounts {
            asked: asked.load(Relaxed),
            leased: leased.load(Relaxed),
            local: local.load(Relaxed),
            refused: refused.load(Relaxed),
            restored: restored.load(Relaxed),
            settled: settled.load(Relaxed),
            unsettled: unsettled.load(Relaxed),
        }
    }
}

pub(super) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Relaxed);
}
