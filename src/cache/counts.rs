//! What the cache was good for, by route and model.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// What the cache did for requests of one route and model. From
/// [`CacheLayer::counts`](super::CacheLayer::counts).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct CacheCounts {
    /// The route, by its name in the context; empty where it has none.
    pub route: Box<str>,
    /// The model that was asked for; empty where it is not known.
    pub model: Box<str>,
    /// Requests that were answered from what was kept, stale answers included.
    pub hits: u64,
    /// Requests for which the upstream was called, though they may be shared.
    pub misses: u64,
    /// Requests that were answered together with another that had gone before.
    pub followers: u64,
    /// Requests that are not for a cache.
    pub bypasses: u64,
    /// Answers that were kept.
    pub stored: u64,
    /// Answers that had to go before their time, to make room for others.
    pub evicted: u64,
    /// Bytes of bodies that were given to hits and followers.
    pub bytes: u64,
    /// Tokens, of prompts and answers, that hits and followers did not take: as the upstream counted
    /// them the first time.
    pub saved_tokens: u64,
    /// Time of the upstream that hits and followers did not take.
    pub saved_time: Duration,
}

/// Which of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Hit,
    Miss,
    Follower,
    Bypass,
    Stored,
    Evicted,
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Tokens, of the prompt and of the answer.
    pub(super) tokens: u64,
    /// From the call to the end of the body.
    pub(super) time: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    events: [AtomicU64; 6],
    bytes: AtomicU64,
    tokens: AtomicU64,
    micros: AtomicU64,
}

impl Counters {
    pub(super) fn count(&self, event: Event) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn saved(&self, cost: Cost) {
        self.tokens.fetch_add(cost.tokens, Relaxed);
        let micros = u64::try_from(cost.time.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
    }

    fn read(&self, route: &str, model: &str) -> CacheCounts {
        let [hits, misses, followers, bypasses, stored, evicted] =
            self.events.each_ref().map(|counter| counter.load(Relaxed));
        CacheCounts {
            route: route.into(),
            model: model.into(),
            hits,
            misses,
            followers,
            bypasses,
            stored,
            evicted,
            bytes: self.bytes.load(Relaxed),
            saved_tokens: self.tokens.load(Relaxed),
            saved_time: Duration::from_micros(self.micros.load(Relaxed)),
        }
    }
}

/// Counters of at most so many pairs of route and model, and of all others together. A pair that is
/// there stays: it is found without a lock.
#[derive(Debug)]
pub(super) struct Counts {
    // Open addressing, at most half full.
    slots: Box<[OnceLock<Pair>]>,
    used: AtomicUsize,
    hasher: RandomState,
    others: Arc<Counters>,
}

#[derive(Debug)]
struct Pair {
    route: Box<str>,
    model: Box<str>,
    counters: Arc<Counters>,
}

/// Names come with requests: their number is bounded.
const MOST: usize = 256;

impl Counts {
    pub(super) fn of(&self, route: &str, model: &str) -> Arc<Counters> {
        let start = self.hasher.hash_one((route, model)) as usize % self.slots.len();
        let (before, from) = self.slots.split_at(start);
        for slot in from.iter().chain(before) {
            let Some(pair) = slot.get().or_else(|| self.add(slot, route, model)) else { break };
            if is_same(&pair.route, route) && is_same(&pair.model, model) {
                return Arc::clone(&pair.counters);
            }
        }
        Arc::clone(&self.others)
    }

    /// Adds the pair where there is still room: unless another one was quicker.
    fn add<'a>(&self, slot: &'a OnceLock<Pair>, route: &str, model: &str) -> Option<&'a Pair> {
        let more = |used: usize| (used < MOST).then_some(used + 1);
        self.used.fetch_update(Relaxed, Relaxed, more).ok()?;
        let mut added = false;
        let pair = slot.get_or_init(|| {
            added = true;
            Pair { route: route.into(), model: model.into(), counters: Arc::default() }
        });
        if !added {
            self.used.fetch_sub(1, Relaxed);
        }
        Some(pair)
    }

    pub(super) fn read(&self) -> Vec<CacheCounts> {
        let mut pairs: Vec<_> = self.slots.iter().filter_map(OnceLock::get).collect();
        pairs.sort_unstable_by_key(|pair| (&pair.route, &pair.model));
        let read = |pair: &&Pair| pair.counters.read(&pair.route, &pair.model);
        let mut counts: Vec<_> = pairs.iter().map(read).collect();
        if self.used.load(Relaxed) >= MOST {
            counts.push(self.others.read("other", "other"));
        }
        counts
    }
}

/// Of an empty text nothing is there to be read, not even masked out: to compare two of them so costs
/// processors with AVX-512 a hundred nanoseconds.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            slots: (0..2 * MOST).map(|_| OnceLock::new()).collect(),
            used: AtomicUsize::new(0),
            hasher: RandomState::new(),
            others: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_the_rest_is_counted_together() {
        let counts = Counts::default();
        for number in 0..1_000 {
            counts.of("chat", &number.to_string()).count(Event::Hit);
        }
        // Those that are there stay.
        counts.of("chat", "7").count(Event::Miss);
        let read = counts.read();
        assert_eq!(read.len(), MOST + 1);
        assert_eq!(read.iter().map(|counts| counts.hits).sum::<u64>(), 1_000);
        let seven = read.iter().find(|counts| &*counts.model == "7").unwrap();
        assert_eq!((seven.hits, seven.misses), (1, 1));
        assert_eq!(read.last().unwrap().hits, 1_000 - MOST as u64);
    }

    #[test]
    fn threads_that_add_at_once_add_each_pair_once() {
        let counts = Counts::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..1_000 {
                        counts.of("chat", &(number % 300).to_string()).count(Event::Hit);
                    }
                });
            }
        });
        let read = counts.read();
        assert_eq!(read.len(), MOST + 1);
        assert_eq!(read.iter().map(|counts| counts.hits).sum::<u64>(), 4_000);
    }
}
