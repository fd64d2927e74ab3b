mod settings;
mod state;
mod table;

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    sync::{
        MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
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

/// Slots that each call looks at in each shard that it locks.
const LOOKS: usize = 4;
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
    shards: Box<[Lock<Table>]>,
    overflow: Lock<Table>,
    count: AtomicUsize,
    overflow_count: AtomicUsize,
    capacity: usize,
    when_full: WhenFull,
}

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
        let mut secret = [0; 16];
        // The standard library's keys are the system's randomness, once a thread.
        for (half, byte) in secret.chunks_exact_mut(8).zip(0_u8..) {
            half.copy_from_slice(&RandomState::new().hash_one(byte).to_ne_bytes());
        }
        let shards = (capacity / 1_024).clamp(1, 64).next_power_of_two();
        Self {
            clock,
            keys: Keys::new(secret),
            shards: (0..shards).map(|_| Lock::default()).collect(),
            overflow: Lock::default(),
            count: AtomicUsize::new(0),
            overflow_count: AtomicUsize::new(0),
            capacity,
            when_full,
        }
    }

    fn now(&self, mut kinds: impl Iterator<Item = Kind>) -> Now {
        let monotonic = u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(MOST_TIME);
        let wall = if kinds.any(|kind| matches!(kind, Kind::Quota(_))) {
            self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default()
        } else {
            Duration::ZERO
        };
        Now { monotonic: monotonic.min(MOST_TIME), wall }
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
            .filter_map(|shard| Some((shard, self.shards.get(shard)?.lock())))
            .collect()
    }

    /// Makes room for a key that is not there. `false` where the store is full.
    fn admit(&self, table: &mut Table, key: Key, now: u64) -> bool {
        if table.find(key).is_some() || table.insert(key, &self.count, self.capacity) {
            return true;
        }
        table.sweep(LOOKS_WHEN_FULL, now, &self.count);
        table.insert(key, &self.count, self.capacity)
    }

    fn judge(&self, asks: &[Ask], takes: bool) -> Decision {
        let now = self.now(asks.iter().map(|ask| ask.allowance.0));
        let mut guards = self.lock(asks.iter().map(|ask| ask.key));
        let mut full = false;
        if takes {
            for (_, table) in &mut guards {
                table.sweep(LOOKS, now.monotonic, &self.count);
            }
            // All that moves slots comes before any is remembered.
            for ask in asks {
                let shard = self.shard(ask.key);
                let table = guards.iter_mut().find(|(at, _)| *at == shard);
                full |= !table.is_some_and(|(_, table)| self.admit(table, ask.key, now.monotonic));
            }
        }
        let shares = full && self.when_full == WhenFull::Share;
        let mut overflow = shares.then(|| self.overflow.lock());
        if let Some(table) = &mut overflow {
            for ask in asks
                .iter()
                .filter(|ask| table_of(&guards, self.shard(ask.key), ask.key).is_none())
                .map(|ask| ask.overflow)
                .collect::<SmallVec<[Key; 4]>>()
            {
                if table.find(ask).is_none() {
                    table.insert(ask, &self.overflow_count, usize::MAX);
                }
            }
        }

        let mut passes = true;
        let mut found: SmallVec<[(Place, State); 4]> = SmallVec::new();
        let mut standings: SmallVec<[Standing; 4]> = SmallVec::new();
        for ask in asks {
            let shared =
                || overflow.as_ref().and_then(|table| Some((table.find(ask.overflow)?, table)));
            let (place, state) = match table_of(&guards, self.shard(ask.key), ask.key) {
                Some((guard, slot, table)) => (Place::Shard(guard, slot), table.state(slot)),
                None => match shared() {
                    Some((slot, table)) => (Place::Overflow(slot), table.state(slot)),
                    None => (Place::Nowhere, State::default()),
                },
            };
            let cost = if takes { ask.cost } else { 0 };
            let (mut standing, next) = state.decide(ask.allowance, cost, now);
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
            found.push((place, if standing.allows { next } else { state }));
            standings.push(standing);
        }
        if takes && passes {
            for (place, state) in found {
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
}

fn table_of<'a>(
    guards: &'a Guards<'_>,
    shard: usize,
    key: Key,
) -> Option<(usize, usize, &'a Table)> {
    let (guard, (_, table)) = guards.iter().enumerate().find(|(_, (at, _))| *at == shard)?;
    Some((guard, table.find(key)?, table))
}

impl Backend for Memory {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn decide(&self, asks: Asks) -> Reply {
        Reply::Now(Ok(self.judge(&asks, true)))
    }

    fn settle(&self, settlements: &[Settlement]) {
        let now = self.now(settlements.iter().map(|settlement| settlement.allowance.0));
        for settlement in settlements {
            let &Settlement { key, overflow, allowance, window, permits } = settlement;
            let change = |table: &mut Table, slot| {
                let window = window & !FROM_OVERFLOW;
                table.set(slot, table.state(slot).settle(allowance, window, permits, now));
            };
            if window & FROM_OVERFLOW == 0 {
                let Some(table) = self.shards.get(self.shard(key)) else { continue };
                let mut table = table.lock();
                table.sweep(LOOKS, now.monotonic, &self.count);
                if permits > 0 {
                    self.admit(&mut table, key, now.monotonic);
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

    fn look(&self, asks: Asks) -> Reply {
        Reply::Now(Ok(self.judge(&asks, false)))
    }

    fn reset(&self, keys: &[Key]) -> Later<bool> {
        for &key in keys {
            if let Some(table) = self.shards.get(self.shard(key)) {
                table.lock().remove(key, &self.count);
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
