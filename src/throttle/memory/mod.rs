mod settings;

use std::{collections::BTreeMap, time::Duration};

pub use self::settings::{MemoryStore, WhenFull};
use super::{
    allowance::Kind,
    ask::{Ask, Asks, Decision, Settlement, Standing},
    key::{Key, Keys},
    store::{Backend, Later, Reply},
};
use crate::{clock::SharedClock, lock::Lock};

/// Counters in this process.
pub(super) struct Memory {
    clock: SharedClock,
    keys: Keys,
    // A first version: rates alone, unbounded.
    tats: Lock<BTreeMap<Key, u64>>,
}

impl Memory {
    pub(super) fn new(settings: MemoryStore) -> Self {
        let MemoryStore { clock, .. } = settings;
        Self { clock, keys: Keys::new([0; 16]), tats: Lock::default() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_nanos()).unwrap_or(u64::MAX)
    }

    fn standing(ask: &Ask, tat: Option<u64>, now: u64) -> (Standing, u64) {
        let Kind::Rate(rate) = ask.allowance.0 else {
            let standing = Standing { allows: true, ..Standing::default() };
            return (standing, now);
        };
        let (Some(interval), burst) = (rate.interval(), u64::from(rate.capacity())) else {
            return (Standing::default(), now);
        };
        let tat = tat.unwrap_or(now).max(now);
        let needed = ask.cost.max(1).min(burst);
        let earliest = (tat + needed * interval).saturating_sub(burst * interval);
        let allows = earliest <= now;
        let next = if allows { tat + ask.cost * interval } else { tat };
        let used = (next - now).div_ceil(interval);
        let standing = Standing {
            allows,
            remaining: burst.saturating_sub(used),
            most: burst,
            wait: Duration::from_nanos(earliest.saturating_sub(now)),
            reset: Duration::from_nanos(next - now),
            window: 0,
        };
        (standing, next)
    }
}

impl Backend for Memory {
    fn keys(&self) -> &Keys {
        &self.keys
    }

    fn decide(&self, asks: Asks) -> Reply {
        let now = self.now();
        let mut tats = self.tats.lock();
        let found: Vec<_> =
            asks.iter().map(|ask| Self::standing(ask, tats.get(&ask.key).copied(), now)).collect();
        let passes =
            asks.iter().zip(&found).all(|(ask, (standing, _))| standing.allows || !ask.enforced);
        if passes {
            for (ask, (standing, next)) in asks.iter().zip(&found) {
                if standing.allows {
                    tats.insert(ask.key, *next);
                }
            }
        }
        let standings = found.into_iter().map(|(standing, _)| standing).collect();
        Reply::Now(Ok(Decision { passes, standings }))
    }

    fn settle(&self, settlements: &[Settlement]) {
        let now = self.now();
        let mut tats = self.tats.lock();
        for settlement in settlements {
            let Kind::Rate(rate) = settlement.allowance.0 else { continue };
            let Some(interval) = rate.interval() else { continue };
            let tat = tats.entry(settlement.key).or_insert(now);
            let moved = settlement.permits.unsigned_abs().saturating_mul(interval);
            *tat = if settlement.permits < 0 {
                tat.saturating_sub(moved)
            } else {
                (*tat).max(now).saturating_add(moved)
            };
        }
    }

    fn look(&self, asks: Asks) -> Reply {
        let now = self.now();
        let tats = self.tats.lock();
        let standings = asks
            .iter()
            .map(|ask| Self::standing(&Ask { cost: 0, ..*ask }, tats.get(&ask.key).copied(), now).0)
            .collect();
        Reply::Now(Ok(Decision { passes: true, standings }))
    }

    fn reset(&self, keys: &[Key]) -> Later<bool> {
        let mut tats = self.tats.lock();
        for key in keys {
            tats.remove(key);
        }
        Box::pin(std::future::ready(true))
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}
