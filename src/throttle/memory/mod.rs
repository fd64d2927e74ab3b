mod settings;
mod state;
mod table;

use std::{
    sync::{
        MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use smallvec::SmallVec;

pub use self::settings::{MemoryStore, WhenFull};
use self::{
    state::{MOST_TIME, Now, State},
    table::Table,
};
use super::{
    allowance::Kind,
    ask::{Ask, Asks, Decision, Settlement, Standing},
    key::{Key, Keys},
    store::{Backend, Later, Reply},
};
use crate::{clock::SharedClock, lock::Lock};

/// Slots that each call looks at, in the shard of its first key.
const LOOKS: usize = 3;
/// Slots that a new key looks at, so that a store to which many come is swept faster than it grows.
const LOOKS_WHEN_NEW: usize = 8;
/// Slots that a new key looks at where there is no room.
const LOOKS_WHEN_FULL: usize = 64;
/// In [`Standing::window`]: taken from the overflow, and to be settled there.
const FROM_OVERFLOW: u32 = 1 << 31;
/// What a key is told that finds no room and shares none.
const FULL: Duration = Duration::from_secs(1);

/// Counters in this process.
pub(super) struct Memory {
    clock: SharedClock,
    keys: Keys,
    // A power of two. Several are locked in their order, `overflow` last.
    shards: Box<[Shard]>,
    overflow: Lock<Table>,
    count: AtomicUsize,
    overflow_count: AtomicUsize,
    capacity: usize,
    when_full: WhenFull,
}

/// On cache lines of its own: threads in different shards do not slow each other down.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Lock<Table>);

type Places = SmallVec<[Place; 4]>;
type Guards<'a> = SmallVec<[(usize, MutexGuard<'a, Table>); 4]>;

/// Where an ask's counter is.
#[derive(Clone, Copy)]
enum Place {
    Shard(usize, usize),
    Overflow(usize),
    Nowhere,
}

impl Memory {
    pub(super) fn new(settings: MemoryStore) -> Self {
        let MemoryStore { clock, capacity, when_full } = settings;
        let shards = (capacity / 1_024).clamp(1, 64).next_power_of_two();
        Self {
            clock,
            keys: Keys::random(),
            shards: (0..shards).map(|_| Shard::default()).collect(),
            overflow: Lock::default(),
            count: AtomicUsize::new(0),
            overflow_count: AtomicUsize::new(0),
            capacity,
            when_full,
        }
    }

    fn now(&self) -> Now<'_> {
        let monotonic = u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(MOST_TIME);
        Now::new(monotonic.min(MOST_TIME), &self.clock)
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked below")]
    fn shard(&self, key: Key) -> usize {
        (key.0 >> 64) as usize & (self.shards.len() - 1)
    }

    /// Locks the shards of these keys, each once, in their order: no two calls wait for each other.
    fn lock(&self, keys: impl Iterator<Item = Key>) -> Guards<'_> {
        let mut shards: SmallVec<[usize; 4]> = keys.map(|key| self.shard(key)).collect();
        shards.sort_unstable();
        shards.dedup();
        shards
            .into_iter()
            .filter_map(|shard| Some((shard, self.shards.get(shard)?.0.lock())))
            .collect()
    }

    /// Makes room for a key that is not there, and not by forgetting one that is asked for with it.
    /// `false` where the store is full.
    fn admit(&self, table: &mut Table, key: Key, asks: &[Ask], now: &Now<'_>) -> bool {
        let asked = |key| asks.iter().any(|ask| ask.key == key);
        table.sweep(LOOKS_WHEN_NEW, now.idle_since(), &self.count, asked);
        if table.find(key).is_some() || table.insert(key, &self.count, self.capacity) {
            return true;
        }
        table.sweep(LOOKS_WHEN_FULL, now.monotonic, &self.count, asked);
        table.insert(key, &self.count, self.capacity)
    }

    fn judge(&self, asks: &[Ask], takes: bool) -> Decision {
        let now = self.now();
        if let [ask] = asks
            && takes
            && let Some(standing) = self.judge_one(ask, &now)
        {
            let passes = standing.allows || !ask.enforced;
            return Decision { passes, standings: SmallVec::from_iter([standing]) };
        }
        self.judge_any(asks, takes, &now)
    }

    /// Many layers have but one limit. `None` where the store is full.
    fn judge_one(&self, ask: &Ask, now: &Now<'_>) -> Option<Standing> {
        let mut table = self.shards.get(self.shard(ask.key))?.0.lock();
        table.sweep(LOOKS, now.idle_since(), &self.count, |_| false);
        if table.find(ask.key).is_none() && !self.admit(&mut table, ask.key, &[], now) {
            return None;
        }
        let slot = table.find(ask.key)?;
        let (standing, next) = table.state(slot).decide(ask.allowance, ask.cost, now);
        if standing.allows {
            table.set(slot, next);
        }
        Some(standing)
    }

    fn judge_any(&self, asks: &[Ask], takes: bool, now: &Now<'_>) -> Decision {
        let mut guards = self.lock(asks.iter().map(|ask| ask.key));
        let mut overflow = None;
        if takes
            && let Some(shard) = asks.first().map(|ask| self.shard(ask.key))
            && let Some((_, table)) = guards.iter_mut().find(|(at, _)| *at == shard)
        {
            table.sweep(LOOKS, now.idle_since(), &self.count, |_| false);
        }
        let mut places = self.places(&guards, asks);
        if takes && places.iter().any(|place| matches!(place, Place::Nowhere)) {
            // All that moves slots comes before any is remembered.
            let mut full = false;
            for ask in asks {
                let shard = self.shard(ask.key);
                let table = guards.iter_mut().find(|(at, _)| *at == shard);
                full |= !table.is_some_and(|(_, table)| self.admit(table, ask.key, asks, now));
            }
            places = self.places(&guards, asks);
            if full && self.when_full == WhenFull::Share {
                overflow = Some(self.share(asks, &mut places));
            }
        }

        let mut passes = true;
        let mut next: SmallVec<[State; 4]> = SmallVec::new();
        let mut standings: SmallVec<[Standing; 4]> = SmallVec::new();
        for (ask, place) in asks.iter().zip(&places) {
            let table = |guard: usize| guards.get(guard).map(|(_, table)| &**table);
            let state = match *place {
                Place::Shard(guard, slot) => table(guard).map(|table| table.state(slot)),
                Place::Overflow(slot) => overflow.as_ref().map(|table| table.state(slot)),
                Place::Nowhere => None,
            };
            let state = state.unwrap_or_default();
            let cost = if takes { ask.cost } else { 0 };
            let (mut standing, taken) = state.decide(ask.allowance, cost, now);
            match place {
                Place::Overflow(_) => standing.window |= FROM_OVERFLOW,
                Place::Nowhere if takes => {
                    standing = Standing {
                        allows: false,
                        remaining: 0,
                        wait: FULL,
                        reset: FULL,
                        ..standing
                    };
                }
                _ => {}
            }
            passes &= standing.allows || !ask.enforced;
            next.push(if standing.allows { taken } else { state });
            standings.push(standing);
        }
        if takes && passes {
            for (place, state) in places.into_iter().zip(next) {
                match place {
                    Place::Shard(guard, slot) => {
                        if let Some((_, table)) = guards.get_mut(guard) {
                            table.set(slot, state);
                        }
                    }
                    Place::Overflow(slot) => {
                        if let Some(table) = &mut overflow {
                            table.set(slot, state);
                        }
                    }
                    Place::Nowhere => {}
                }
            }
        }
        Decision { passes: passes || !takes, standings }
    }

    /// Where the counters are, of those that have one of their own.
    fn places(&self, guards: &Guards<'_>, asks: &[Ask]) -> Places {
        let place = |ask: &Ask| {
            let shard = self.shard(ask.key);
            let mut guards = guards.iter().enumerate();
            let (guard, (_, table)) = guards.find(|(_, (at, _))| *at == shard)?;
            Some(Place::Shard(guard, table.find(ask.key)?))
        };
        asks.iter().map(|ask| place(ask).unwrap_or(Place::Nowhere)).collect()
    }

    /// Finds a place in the overflow for those who have none.
    fn share(&self, asks: &[Ask], places: &mut Places) -> MutexGuard<'_, Table> {
        let mut table = self.overflow.lock();
        for (ask, place) in asks.iter().zip(&*places) {
            if matches!(place, Place::Nowhere) && table.find(ask.overflow).is_none() {
                table.insert(ask.overflow, &self.overflow_count, usize::MAX);
            }
        }
        for (ask, place) in asks.iter().zip(places) {
            if matches!(place, Place::Nowhere)
                && let Some(slot) = table.find(ask.overflow)
            {
                *place = Place::Overflow(slot);
            }
        }
        table
    }
}

impl Backend for Memory {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn decide(&self, asks: &Asks) -> Reply {
        Reply::Now(Ok(self.judge(asks, true)))
    }

    fn settle(&self, settlements: &[Settlement]) {
        let timeless = |settlement: &Settlement| {
            settlement.permits < 0 && matches!(settlement.allowance.0, Kind::Concurrency(_))
        };
        let now =
            if settlements.iter().all(timeless) { Now::new(0, &self.clock) } else { self.now() };
        for settlement in settlements {
            let &Settlement { key, overflow, allowance, window, permits } = settlement;
            let change = |table: &mut Table, slot| {
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

    fn look(&self, asks: &Asks) -> Reply {
        Reply::Now(Ok(self.judge(asks, false)))
    }

    fn reset(&self, keys: &[Key]) -> Later<bool> {
        for &key in keys {
            if let Some(table) = self.shards.get(self.shard(key)) {
                table.0.lock().remove(key, &self.count);
            }
            self.overflow.lock().remove(key, &self.overflow_count);
        }
        Box::pin(std::future::ready(true))
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("keys", &self.count.load(Ordering::Relaxed))
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
