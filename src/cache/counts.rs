use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Counts of a [cache](super) for one route and model.
///
/// [`CacheLayer::counts`](super::CacheLayer::counts) returns them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct CacheCounts {
    /// Route of the requests, empty if they have none.
    pub route: Box<str>,
    /// Requested model, empty if it is not known.
    pub model: Box<str>,
    /// Requests that received an entry, including stale ones.
    pub hits: u64,
    /// Requests that called the upstream, possibly on behalf of others.
    pub misses: u64,
    /// Requests that shared the call of another request.
    pub followers: u64,
    /// Requests that bypassed the cache.
    pub bypasses: u64,
    /// Requests that bypassed the cache because they have an `authorization` header and no identity,
    /// or no tenant. They are among [`bypasses`](Self::bypasses). The first one is logged.
    pub without_identity: u64,
    /// Responses that were stored.
    pub stored: u64,
    /// Entries that were evicted to make room for others.
    pub evicted: u64,
    /// Bytes of bodies that hits and followers received.
    pub bytes: u64,
    /// Tokens of prompts and responses that hits and followers saved. The upstream counted them for
    /// the first request.
    pub saved_tokens: u64,
    /// Upstream time that hits and followers saved.
    pub saved_time: Duration,
}

/// An event that is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CacheEvent {
    Hit,
    Miss,
    Follower,
    Bypass,
    WithoutIdentity,
    Stored,
    Evicted,
}

/// The cost of an upstream call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallCost {
    /// Tokens of the prompt and the response.
    pub(crate) tokens: u64,
    /// Time from the call to the end of the body.
    pub(crate) time: Duration,
}

/// The counters of one route and model.
#[derive(Debug, Default)]
pub(crate) struct EventCounters {
    route: Box<str>,
    model: Box<str>,
    events: [AtomicU64; 7],
    bytes: AtomicU64,
    tokens: AtomicU64,
    micros: AtomicU64,
}

impl EventCounters {
    fn of(route: &str, model: &str) -> Self {
        Self { route: route.into(), model: model.into(), ..Self::default() }
    }

    pub(crate) fn are_of(&self, route: &str, model: &str) -> bool {
        is_same(&self.route, route) && is_same(&self.model, model)
    }

    pub(crate) fn count(&self, event: CacheEvent) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn saved(&self, cost: CallCost) {
        self.tokens.fetch_add(cost.tokens, Relaxed);
        let micros = u64::try_from(cost.time.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
    }

    fn read(&self) -> CacheCounts {
        let [hits, misses, followers, bypasses, without_identity, stored, evicted] =
            self.events.each_ref().map(|counter| counter.load(Relaxed));
        CacheCounts {
            route: self.route.clone(),
            model: self.model.clone(),
            hits,
            misses,
            followers,
            bypasses,
            without_identity,
            stored,
            evicted,
            bytes: self.bytes.load(Relaxed),
            saved_tokens: self.tokens.load(Relaxed),
            saved_time: Duration::from_micros(self.micros.load(Relaxed)),
        }
    }
}

/// Counters of a bounded number of pairs of route and model, and of all others together. Pairs are
/// never removed, so that they are found without a lock.
#[derive(Debug)]
pub(crate) struct CounterTable {
    /// Open addressing, at most half full.
    slots: Box<[OnceLock<Arc<EventCounters>>]>,
    used: AtomicUsize,
    hasher: RandomState,
    others: Arc<EventCounters>,
}

/// Clients choose the names of models, so their number is bounded.
const MAX_PAIRS: usize = 256;

impl CounterTable {
    pub(crate) fn of(&self, route: &str, model: &str) -> Arc<EventCounters> {
        let start = self.hasher.hash_one((route, model)) as usize % self.slots.len();
        let (before, from) = self.slots.split_at(start);
        for slot in from.iter().chain(before) {
            let counters = slot.get().or_else(|| self.add(slot, route, model));
            let Some(counters) = counters else { break };
            if counters.are_of(route, model) {
                return Arc::clone(counters);
            }
        }
        Arc::clone(&self.others)
    }

    /// Adds a pair if there is room. Another thread may have added one to the slot.
    fn add<'a>(
        &self,
        slot: &'a OnceLock<Arc<EventCounters>>,
        route: &str,
        model: &str,
    ) -> Option<&'a Arc<EventCounters>> {
        let more = |used: usize| (used < MAX_PAIRS).then_some(used + 1);
        self.used.fetch_update(Relaxed, Relaxed, more).ok()?;
        let mut added = false;
        let counters = slot.get_or_init(|| {
            added = true;
            Arc::new(EventCounters::of(route, model))
        });
        if !added {
            self.used.fetch_sub(1, Relaxed);
        }
        Some(counters)
    }

    pub(crate) fn read(&self) -> Vec<CacheCounts> {
        let mut pairs: Vec<_> = self.slots.iter().filter_map(OnceLock::get).collect();
        pairs.sort_unstable_by_key(|pair| (&pair.route, &pair.model));
        let mut counts: Vec<_> = pairs.iter().map(|counters| counters.read()).collect();
        if self.used.load(Relaxed) >= MAX_PAIRS {
            counts.push(self.others.read());
        }
        counts
    }
}

/// Compares names. Two empty ones are compared without a read, which takes a hundred nanoseconds on
/// processors with AVX-512.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

impl Default for CounterTable {
    fn default() -> Self {
        Self {
            slots: (0..2 * MAX_PAIRS).map(|_| OnceLock::new()).collect(),
            used: AtomicUsize::new(0),
            hasher: RandomState::new(),
            others: Arc::new(EventCounters::of("other", "other")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_bounded_and_the_others_counted_together() {
        let counts = CounterTable::default();
        for number in 0..1_000 {
            counts.of("chat", &number.to_string()).count(CacheEvent::Hit);
        }
        // Existing pairs remain.
        counts.of("chat", "7").count(CacheEvent::Miss);
        let read = counts.read();
        assert_eq!(read.len(), MAX_PAIRS + 1);
        assert_eq!(read.iter().map(|counts| counts.hits).sum::<u64>(), 1_000);
        let seven = read.iter().find(|counts| &*counts.model == "7").unwrap();
        assert_eq!((seven.hits, seven.misses), (1, 1));
        assert_eq!(read.last().unwrap().hits, 1_000 - MAX_PAIRS as u64);
    }

    #[test]
    fn concurrent_threads_add_each_pair_once() {
        let counts = CounterTable::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..1_000 {
                        counts.of("chat", &(number % 300).to_string()).count(CacheEvent::Hit);
                    }
                });
            }
        });
        let read = counts.read();
        assert_eq!(read.len(), MAX_PAIRS + 1);
        assert_eq!(read.iter().map(|counts| counts.hits).sum::<u64>(), 4_000);
    }
}
