use std::{
    sync::{
        MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use smallvec::SmallVec;

use super::{
    settings::{MemoryStore, OverflowPolicy},
    state::{ClockReading, CounterState, MAX_TIME},
    table::CounterTable,
};
use crate::{
    clock::SharedClock,
    limits::{
        kind::AllowanceKind,
        store::{
            backend::{Backend, StoreDecision, StoreFuture},
            permit::{Decision, PermitOutcome, PermitRequest, PermitRequests, Settlement},
        },
        subject::{CounterHasher, CounterKey},
    },
    lock::Lock,
};

/// Slots that each request sweeps, in the shard of its first key.
const SWEPT: usize = 3;
/// Slots that a new key sweeps, so that a store is swept faster than it grows.
const SWEPT_BY_NEW: usize = 8;
/// Slots that a new key sweeps in a full store.
const SWEPT_WHEN_FULL: usize = 64;
/// A bit of [`PermitOutcome::window`]: the permits were taken from the overflow counter.
const FROM_OVERFLOW: u32 = 1 << 31;
/// The wait of a key that is rejected because the store is full.
pub(super) const RETRY_FULL: Duration = Duration::from_secs(1);

pub(crate) struct MemoryBackend {
    pub(super) clock: SharedClock,
    pub(super) hasher: CounterHasher,
    // A power of two. Several shards are locked in their order, and `overflow` last.
    shards: Box<[Shard]>,
    overflow: Lock<CounterTable>,
    pub(super) count: AtomicUsize,
    overflow_count: AtomicUsize,
    max_keys: usize,
    pub(super) overflow_policy: OverflowPolicy,
}

/// A table in cache lines of its own, so that threads in different shards do not slow each other
/// down.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Lock<CounterTable>);

type FoundCounters = SmallVec<[(CounterPlace, CounterState); 4]>;
type ShardGuards<'a> = SmallVec<[(usize, MutexGuard<'a, CounterTable>); 4]>;

/// Where the counter of a permit request is.
#[derive(Clone, Copy, Default)]
enum CounterPlace {
    /// The index of the guard, and of the slot.
    Shard(usize, usize),
    Overflow(usize),
    #[default]
    Nowhere,
}

impl MemoryBackend {
    pub(crate) fn new(settings: MemoryStore) -> Self {
        let MemoryStore { clock, max_keys, overflow } = settings;
        let shards = (max_keys / 1_024).clamp(1, 64).next_power_of_two();
        Self {
            clock,
            hasher: CounterHasher::random(),
            shards: (0..shards).map(|_| Shard::default()).collect(),
            overflow: Lock::default(),
            count: AtomicUsize::new(0),
            overflow_count: AtomicUsize::new(0),
            max_keys,
            overflow_policy: overflow,
        }
    }

    fn now(&self) -> ClockReading<'_> {
        let monotonic = u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(MAX_TIME);
        ClockReading::new(monotonic.min(MAX_TIME), &self.clock)
    }

    fn shard(&self, key: CounterKey) -> usize {
        usize::from(key.group()) & (self.shards.len() - 1)
    }

    /// Locks the shards of these keys once each. A fixed order prevents deadlocks.
    fn lock(&self, keys: impl Iterator<Item = CounterKey>) -> ShardGuards<'_> {
        let mut shards: SmallVec<[usize; 4]> = keys.map(|key| self.shard(key)).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
            .into_iter()
            .filter_map(|shard| Some((shard, self.shards.get(shard)?.0.lock())))
            .collect()
    }

    /// Adds a missing key. It may evict idle keys, but none that is requested together with it.
    /// Returns `false` where the store is full.
    fn admit(
        &self,
        table: &mut CounterTable,
        key: CounterKey,
        requests: &[PermitRequest],
        now: &ClockReading<'_>,
    ) -> bool {
        let requested = |key| requests.iter().any(|request| request.key == key);
        table.sweep(SWEPT_BY_NEW, now.idle_since(), &self.count, requested);
        if table.find(key).is_some() || table.insert(key, &self.count, self.max_keys) {
            return true;
        }
        table.sweep(SWEPT_WHEN_FULL, now.monotonic, &self.count, requested);
        table.insert(key, &self.count, self.max_keys)
    }

    pub(crate) fn decide_now(&self, requests: &[PermitRequest], takes: bool) -> Decision {
        let now = self.now();
        if let [request] = requests
            && takes
            && let Some(outcome) = self.decide_one(request, &now)
        {
            let passes = outcome.allows || !request.enforced;
            return Decision { passes, outcomes: SmallVec::from_iter([outcome]) };
        }
        self.decide_several(requests, takes, &now)
    }

    /// The fast path of layers with one limit. Returns `None` where the store is full.
    fn decide_one(&self, request: &PermitRequest, now: &ClockReading<'_>) -> Option<PermitOutcome> {
        let mut table = self.shards.get(self.shard(request.key))?.0.lock();
        table.sweep(SWEPT, now.idle_since(), &self.count, |_| false);
        if table.find(request.key).is_none() && !self.admit(&mut table, request.key, &[], now) {
            return None;
        }
        let slot = table.find(request.key)?;
        let (outcome, next) = table.state(slot).decide(request.allowance, request.cost, now);
        if outcome.allows {
            table.set(slot, next);
        }
        Some(outcome)
    }

    fn decide_several(
        &self,
        requests: &[PermitRequest],
        takes: bool,
        now: &ClockReading<'_>,
    ) -> Decision {
        let mut guards = self.lock(requests.iter().map(|request| request.key));
        let mut overflow = None;
        if takes
            && let Some(shard) = requests.first().map(|request| self.shard(request.key))
            && let Some((_, table)) = guards.iter_mut().find(|(at, _)| *at == shard)
        {
            table.sweep(SWEPT, now.idle_since(), &self.count, |_| false);
        }
        let mut counters = FoundCounters::new();
        let known = self.find(&guards, requests, &mut counters);
        if takes && !known {
            // Everything that moves slots must come before the slots are found.
            let mut full = false;
            for request in requests {
                let shard = self.shard(request.key);
                let table = guards.iter_mut().find(|(at, _)| *at == shard);
                full |=
                    !table.is_some_and(|(_, table)| self.admit(table, request.key, requests, now));
            }
            self.find(&guards, requests, &mut counters);
            if full && self.overflow_policy == OverflowPolicy::Share {
                overflow = Some(self.find_overflow(requests, &mut counters));
            }
        }

        let mut decision = Decision { passes: true, outcomes: SmallVec::new() };
        for (request, (place, state)) in requests.iter().zip(&mut counters) {
            let cost = if takes { request.cost } else { 0 };
            let (mut outcome, next) = state.decide(request.allowance, cost, now);
            match place {
                CounterPlace::Shard(..) => {}
                CounterPlace::Overflow(_) => outcome.window |= FROM_OVERFLOW,
                CounterPlace::Nowhere if takes => {
                    outcome.allows = false;
                    outcome.remaining = 0;
                    (outcome.retry_after, outcome.reset_after) = (RETRY_FULL, RETRY_FULL);
                }
                CounterPlace::Nowhere => {}
            }
            decision.passes &= outcome.allows || !request.enforced;
            if outcome.allows {
                *state = next;
            }
            decision.outcomes.push(outcome);
        }
        if !takes {
            decision.passes = true;
        } else if decision.passes {
            for (place, state) in counters {
                let table = match place {
                    CounterPlace::Shard(guard, slot) => {
                        guards.get_mut(guard).map(|(_, table)| (table, slot))
                    }
                    CounterPlace::Overflow(slot) => overflow.as_mut().map(|table| (table, slot)),
                    CounterPlace::Nowhere => None,
                };
                if let Some((table, slot)) = table {
                    table.set(slot, state);
                }
            }
        }
        decision
    }

    /// Finds the counters of keys in the store. Returns `false` where one is missing.
    fn find(
        &self,
        guards: &ShardGuards<'_>,
        requests: &[PermitRequest],
        counters: &mut FoundCounters,
    ) -> bool {
        counters.clear();
        let mut all = true;
        for request in requests {
            let shard = self.shard(request.key);
            let mut guards = guards.iter().enumerate();
            let counter =
                guards.find(|(_, (at, _))| *at == shard).and_then(|(guard, (_, table))| {
                    let slot = table.find(request.key)?;
                    Some((CounterPlace::Shard(guard, slot), table.state(slot)))
                });
            all &= counter.is_some();
            counters.push(counter.unwrap_or_default());
        }
        all
    }

    /// Finds the overflow counters of keys that are missing.
    fn find_overflow(
        &self,
        requests: &[PermitRequest],
        counters: &mut FoundCounters,
    ) -> MutexGuard<'_, CounterTable> {
        let mut table = self.overflow.lock();
        for (request, (place, _)) in requests.iter().zip(&*counters) {
            if matches!(place, CounterPlace::Nowhere) && table.find(request.overflow).is_none() {
                table.insert(request.overflow, &self.overflow_count, usize::MAX);
            }
        }
        for (request, counter) in requests.iter().zip(counters) {
            if matches!(counter.0, CounterPlace::Nowhere)
                && let Some(slot) = table.find(request.overflow)
            {
                *counter = (CounterPlace::Overflow(slot), table.state(slot));
            }
        }
        table
    }
}

impl Backend for MemoryBackend {
    fn hasher(&self) -> &CounterHasher {
        &self.hasher
    }

    fn decide(&self, requests: &PermitRequests) -> StoreDecision {
        StoreDecision::Now(Ok(self.decide_now(requests, true)))
    }

    fn settle(&self, settlements: &[Settlement]) {
        let timeless = |settlement: &Settlement| {
            settlement.permits < 0
                && matches!(settlement.allowance.0, AllowanceKind::Concurrency(_))
        };
        let now = if settlements.iter().all(timeless) {
            ClockReading::new(0, &self.clock)
        } else {
            self.now()
        };
        for settlement in settlements {
            let &Settlement { key, overflow, allowance, window, permits } = settlement;
            let change = |table: &mut CounterTable, slot| {
                let window = window & !FROM_OVERFLOW;
                table.set(slot, table.state(slot).settle(allowance, window, permits, &now));
            };
            if window & FROM_OVERFLOW == 0 {
                let Some(table) = self.shards.get(self.shard(key)) else { continue };
                let mut table = table.0.lock();
                if permits > 0 && table.find(key).is_none() {
                    self.admit(&mut table, key, &[], &now);
                }
                if let Some(slot) = table.find(key) {
                    change(&mut table, slot);
                    continue;
                }
                // Permits go back only to the counter that they were taken from.
                if permits <= 0 {
                    continue;
                }
            }
            let mut table = self.overflow.lock();
            if let Some(slot) = table.find(overflow) {
                change(&mut table, slot);
            } else if permits > 0
                && table.insert(overflow, &self.overflow_count, usize::MAX)
                && let Some(slot) = table.find(overflow)
            {
                change(&mut table, slot);
            }
        }
    }

    fn peek(&self, requests: &PermitRequests) -> StoreDecision {
        StoreDecision::Now(Ok(self.decide_now(requests, false)))
    }

    fn reset(&self, keys: &[CounterKey]) -> StoreFuture<bool> {
        for &key in keys {
            if let Some(table) = self.shards.get(self.shard(key)) {
                table.0.lock().remove(key, &self.count);
            }
            self.overflow.lock().remove(key, &self.overflow_count);
        }
        Box::pin(std::future::ready(true))
    }
}

impl std::fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("keys", &self.count.load(Ordering::Relaxed))
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
