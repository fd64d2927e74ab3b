//! What this replica has counted on the server itself. A server that was flushed, restarted empty or
//! full of other keys counts no less than that.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    clock::SharedClock,
    lock::Lock,
    throttle::{
        allowance::{Allowance, Kind},
        ask::Settlement,
        gcra,
        key::Key,
    },
};

/// Keys in one generation. Those that were counted last are remembered: one generation at least, two
/// at most.
const MAX_KEYS: usize = 65_536;
/// The longest window. The server remembers its resets for a day more.
const REMEMBERED: Duration = Duration::from_secs(31 * 86_400);

/// The counts of this replica.
pub(super) struct Own {
    clock: SharedClock,
    // How late a server may read the time of a call.
    slack: Duration,
    generations: Lock<Generations>,
}

#[derive(Default)]
struct Generations {
    young: BTreeMap<Key, Count>,
    old: BTreeMap<Key, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// The reset that it began after.
    reset: u64,
    /// Of a quota.
    window: u32,
    /// A quota's permits, or a rate's arrival time, in ns of the monotonic clock.
    value: u64,
    /// When it last changed, in ns.
    at: u64,
}

/// What the server is told of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Floor {
    /// A quota's permits, or the microseconds that a rate is ahead.
    pub(super) value: u64,
    pub(super) window: u32,
    pub(super) reset: u64,
}

/// What the server has counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) key: Key,
    pub(super) allowance: Allowance,
    pub(super) permits: u64,
    pub(super) window: u32,
    pub(super) reset: u64,
}

impl Own {
    /// `slack` is the longest wait for a reply.
    pub(super) fn new(slack: Duration) -> Self {
        Self { clock: SharedClock::default(), slack, generations: Lock::default() }
    }

    /// The time, for [`counted`](Self::counted): before the server is asked, so that no count of a
    /// rate is ahead of the server's.
    pub(super) fn now(&self) -> u64 {
        nanos(self.clock.monotonic())
    }

    /// What the server has counted of these at least.
    pub(super) fn floors<const N: usize>(
        &self,
        keys: impl Iterator<Item = (Key, Allowance)>,
        now: u64,
    ) -> smallvec::SmallVec<[Floor; N]> {
        let generations = self.generations.lock();
        keys.map(|(key, allowance)| {
            let count = generations.get(key);
            count.map_or_else(Floor::default, |count| self.floor(count, allowance, now))
        })
        .collect()
    }

    fn floor(&self, count: Count, allowance: Allowance, now: u64) -> Floor {
        let Count { reset, window, value, at } = count;
        if now.saturating_sub(at) > nanos(REMEMBERED) {
            return Floor::default();
        }
        let value = match allowance.0 {
            Kind::Rate(_) | Kind::Failures(_) => {
                value.saturating_sub(now).saturating_sub(nanos(self.slack)) / 1_000
            }
            Kind::Quota(_) | Kind::Concurrency(_) => value,
        };
        Floor { value, window, reset }
    }

    /// Remembers what the server says that it has counted. `now` is the time before it was asked.
    pub(super) fn counted(&self, counted: impl Iterator<Item = Counted>, now: u64) {
        let mut generations = self.generations.lock();
        for Counted { key, allowance, permits, window, reset } in counted {
            let known = generations.get(key).unwrap_or_default();
            if (known.reset, known.window) > (reset, window) {
                // Another reply has overtaken this one.
                continue;
            }
            let goes_on = (known.reset, known.window) == (reset, window);
            let before = if goes_on { known.value } else { 0 };
            let value = match allowance.0 {
                Kind::Rate(rate) | Kind::Failures(rate) => {
                    let more = permits.saturating_mul(rate.interval().unwrap_or(0));
                    let latest = gcra::latest(allowance, rate, now);
                    before.max(now).saturating_add(more).min(latest)
                }
                Kind::Quota(quota) => before
                    .saturating_add(permits)
                    .min(quota.limit_of(window).saturating_add(quota.limit())),
                Kind::Concurrency(_) => continue,
            };
            generations.set(key, Count { reset, window, value, at: now });
        }
    }

    /// Takes off what the server is about to be told is given back.
    pub(super) fn given_back(&self, settlement: &Settlement) {
        let mut generations = self.generations.lock();
        let Some(mut count) = generations.get(settlement.key) else { return };
        let permits = settlement.permits.unsigned_abs();
        match settlement.allowance.0 {
            Kind::Rate(rate) | Kind::Failures(rate) => {
                let back = permits.saturating_mul(rate.interval().unwrap_or(0));
                count.value = count.value.saturating_sub(back);
            }
            Kind::Quota(_) if count.window == settlement.window => {
                count.value = count.value.saturating_sub(permits);
            }
            Kind::Quota(_) | Kind::Concurrency(_) => return,
        }
        generations.set(settlement.key, count);
    }

    pub(super) fn forget(&self, keys: &[Key]) {
        let mut generations = self.generations.lock();
        for key in keys {
            generations.young.remove(key);
            generations.old.remove(key);
        }
    }
}

impl Generations {
    fn get(&self, key: Key) -> Option<Count> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    fn set(&mut self, key: Key, count: Count) {
        if self.young.len() >= MAX_KEYS && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, count);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::{Quota, Rate};

    const SECOND: u64 = 1_000_000_000;

    fn own() -> Own {
        Own::new(Duration::from_millis(5))
    }

    fn counted(key: u128, allowance: impl Into<Allowance>, permits: u64) -> Counted {
        Counted { key: Key(key), allowance: allowance.into(), permits, window: 0, reset: 0 }
    }

    fn floor(own: &Own, key: u128, allowance: impl Into<Allowance>, now: u64) -> Floor {
        own.floors::<1>([(Key(key), allowance.into())].into_iter(), now)[0]
    }

    fn back(counted: Counted, permits: i64) -> Settlement {
        let Counted { key, allowance, window, .. } = counted;
        Settlement { key, overflow: key, allowance, window, permits: -permits }
    }

    #[test]
    fn a_quota_is_remembered_in_its_window() {
        let (own, day) = (own(), Quota::per_day(10));
        let today = Counted { window: 7, ..counted(1, day, 3) };
        for sum in [3, 6, 9, 12, 15, 18, 20, 20] {
            own.counted([today].into_iter(), 0);
            let told = floor(&own, 1, day, 0);
            assert_eq!((told.value, told.window), (sum, 7), "at most one window of debt");
        }
        own.given_back(&back(today, 15));
        assert_eq!(floor(&own, 1, day, 0).value, 5);
        // Of another window nothing is given back.
        own.given_back(&back(Counted { window: 6, ..today }, 5));
        assert_eq!(floor(&own, 1, day, 0).value, 5);
        own.counted([Counted { window: 8, ..today }].into_iter(), 0);
        assert_eq!(floor(&own, 1, day, 0), Floor { value: 3, window: 8, reset: 0 });
        // A reply that was overtaken.
        own.counted([today].into_iter(), 0);
        assert_eq!(floor(&own, 1, day, 0).value, 3);
    }

    #[test]
    fn a_rate_is_never_ahead_of_the_server() {
        let (own, rate) = (own(), Rate::per_second(1).burst(10));
        let three = counted(1, rate, 3);
        own.counted([three].into_iter(), 10 * SECOND);
        assert_eq!(floor(&own, 1, rate, 10 * SECOND).value, 3_000_000 - 5_000);
        assert_eq!(floor(&own, 1, rate, 12 * SECOND).value, 1_000_000 - 5_000);
        assert_eq!(floor(&own, 1, rate, 14 * SECOND).value, 0);
        own.counted([counted(1, rate, 100)].into_iter(), 20 * SECOND);
        assert_eq!(floor(&own, 1, rate, 20 * SECOND).value, 20_000_000 - 5_000);
        own.given_back(&back(three, 15));
        assert_eq!(floor(&own, 1, rate, 20 * SECOND).value, 5_000_000 - 5_000);
    }

    #[test]
    fn a_reset_begins_anew() {
        let (own, day) = (own(), Quota::per_day(10));
        own.counted([counted(1, day, 3)].into_iter(), 0);
        own.counted([Counted { reset: 9, ..counted(1, day, 1) }].into_iter(), 0);
        assert_eq!(floor(&own, 1, day, 0), Floor { value: 1, window: 0, reset: 9 });
        own.forget(&[Key(1)]);
        assert_eq!(floor(&own, 1, day, 0), Floor::default());
        // No longer than the server remembers its resets.
        own.counted([counted(1, day, 3)].into_iter(), 0);
        assert_eq!(floor(&own, 1, day, nanos(REMEMBERED) + 1), Floor::default());
    }

    #[test]
    fn the_keys_that_were_counted_last_are_remembered() {
        let (own, day) = (own(), Quota::per_day(10));
        for key in 0..3 * MAX_KEYS as u128 {
            own.counted([counted(key, day, 1), counted(u128::MAX, day, 0)].into_iter(), 0);
        }
        let generations = own.generations.lock();
        assert!(generations.young.len() <= MAX_KEYS && generations.old.len() <= MAX_KEYS);
        drop(generations);
        assert_eq!(floor(&own, 0, day, 0).value, 0);
        for key in (2 * MAX_KEYS as u128 + 2)..3 * MAX_KEYS as u128 {
            assert_eq!(floor(&own, key, day, 0).value, 1, "{key}");
        }
    }
}
