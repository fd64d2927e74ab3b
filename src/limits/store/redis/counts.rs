use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The counts of a [`RedisStore`](super::RedisStore) in this process. Returned by
/// [`Store::redis_counts`](crate::limits::Store::redis_counts).
///
/// The share of decisions that needed the server is `server` of `server + leased + local + rejected`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RedisCounts {
    /// Decisions by the server.
    pub server: u64,
    /// Decisions by leases, without the server.
    pub leased: u64,
    /// Decisions by this replica's share while the server was away.
    pub local: u64,
    /// Requests that were rejected because the server was away.
    pub rejected: u64,
    /// Decisions for which the server had counted less than this replica. The server was flushed,
    /// restarted empty, or evicts counters.
    pub restored: u64,
    /// Settlements that the server has.
    pub settled: u64,
    /// Settlements that may be lost. The connection broke, or the queue was full.
    pub unsettled: u64,
}

#[derive(Debug, Default)]
pub(super) struct RedisCounters {
    pub(super) server: AtomicU64,
    pub(super) leased: AtomicU64,
    pub(super) local: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) restored: AtomicU64,
    pub(super) settled: AtomicU64,
    pub(super) unsettled: AtomicU64,
}

impl RedisCounters {
    pub(super) fn read(&self) -> RedisCounts {
        let Self { server, leased, local, rejected, restored, settled, unsettled } = self;
        RedisCounts {
            server: server.load(Relaxed),
            leased: leased.load(Relaxed),
            local: local.load(Relaxed),
            rejected: rejected.load(Relaxed),
            restored: restored.load(Relaxed),
            settled: settled.load(Relaxed),
            unsettled: unsettled.load(Relaxed),
        }
    }
}

pub(super) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Relaxed);
}
