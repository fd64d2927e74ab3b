//! What the cache was good for, by route and model.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::entry::Cost;
use crate::lock::Lock;

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

/// Counters of at most so many pairs of route and model, and of all others together.
#[derive(Debug, Default)]
pub(super) struct Counts {
    known: Lock<Known>,
    others: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Known {
    routes: BTreeMap<Box<str>, BTreeMap<Box<str>, Arc<Counters>>>,
    pairs: usize,
}

/// Names come with requests: their number is bounded.
const MOST: usize = 256;

impl Counts {
    pub(super) fn of(&self, route: &str, model: &str) -> Arc<Counters> {
        let mut known = self.known.lock();
        let counters = known.routes.get(route).and_then(|models| models.get(model));
        if let Some(counters) = counters {
            return Arc::clone(counters);
        }
        if known.pairs >= MOST {
            return Arc::clone(&self.others);
        }
        known.pairs += 1;
        let models = known.routes.entry(route.into()).or_default();
        Arc::clone(models.entry(model.into()).or_default())
    }

    pub(super) fn read(&self) -> Vec<CacheCounts> {
        let known = self.known.lock();
        let mut counts: Vec<_> = known
            .routes
            .iter()
            .flat_map(|(route, models)| {
                models.iter().map(|(model, counters)| counters.read(route, model))
            })
            .collect();
        if known.pairs >= MOST {
            counts.push(self.others.read("other", "other"));
        }
        counts
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
        counts.of("chat", "7").count(Event::Miss);
        let read = counts.read();
        assert_eq!(read.len(), MOST + 1);
        assert_eq!(read.iter().map(|counts| counts.hits).sum::<u64>(), 1_000);
        let seven = read.iter().find(|counts| &*counts.model == "7").unwrap();
        assert_eq!((seven.hits, seven.misses), (1, 1));
        assert_eq!(read.last().unwrap().hits, 1_000 - MOST as u64);
    }
}
