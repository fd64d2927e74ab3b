//! The counts that this replica has added on the server. They are the floor of the server's counters,
//! which may be lost by a flush, an empty restart or an eviction.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    clock::SharedClock,
    limits::{
        kind::{Allowance, AllowanceKind},
        store::{gcra, permit::Settlement},
        subject::CounterKey,
    },
    lock::Lock,
};

/// Keys in one generation. At least this many of the latest keys are kept, and at most twice as many.
const MAX_KEYS: usize = 65_536;
/// The longest window. The server keeps its resets for a day more.
const MAX_AGE: Duration = Duration::from_secs(31 * 86_400);

pub(super) struct ReplicaCounts {
    clock: SharedClock,
    // The longest time from a call to the server's reading of its clock.
    slack: Duration,
    generations: Lock<TwoGenerations>,
}

#[derive(Default)]
struct TwoGenerations {
    young: BTreeMap<CounterKey, ReplicaCount>,
    old: BTreeMap<CounterKey, ReplicaCount>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ReplicaCount {
    /// The time of the last reset before it.
    reset: u64,
    /// The number of a quota's window.
    window: u32,
    /// A quota's permits, or a rate's arrival time in ns of the monotonic clock.
    value: u64,
    /// The time of the last change in ns.
    changed_at: u64,
}

/// The least that the server may have counted for a key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct CountFloor {
    /// A quota's permits, or the microseconds that a rate's arrival time is ahead.
    pub(super) value: u64,
    pub(super) window: u32,
    pub(super) reset: u64,
}

/// Permits that the server has counted for this replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerCount {
    pub(super) key: CounterKey,
    pub(super) allowance: Allowance,
    pub(super) permits: u64,
    pub(super) window: u32,
    pub(super) reset: u64,
}

impl ReplicaCounts {
    /// Calls of the server time out after `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { clock: SharedClock::default(), slack: timeout, generations: Lock::default() }
    }

    /// Returns the time for [`counted`](Self::counted). It must be read before the call, so that no
    /// floor of a rate is ahead of the server.
    pub(super) fn now(&self) -> u64 {
        nanos(self.clock.monotonic())
    }

    /// Returns the floors of these keys.
    pub(super) fn floors<const N: usize>(
        &self,
        keys: impl Iterator<Item = (CounterKey, Allowance)>,
        now: u64,
    ) -> smallvec::SmallVec<[CountFloor; N]> {
        let generations = self.generations.lock();
        keys.map(|(key, allowance)| {
            let count = generations.get(key);
            count.map_or_else(CountFloor::default, |count| self.floor(count, allowance, now))
        })
        .collect()
    }

    fn floor(&self, count: ReplicaCount, allowance: Allowance, now: u64) -> CountFloor {
        let ReplicaCount { reset, window, value, changed_at } = count;
        if now.saturating_sub(changed_at) > nanos(MAX_AGE) {
            return CountFloor::default();
        }
        let value = match allowance.0 {
            AllowanceKind::Rate(_) | AllowanceKind::Failures(_) => {
                value.saturating_sub(now).saturating_sub(nanos(self.slack)) / 1_000
            }
            AllowanceKind::Quota(_) | AllowanceKind::Concurrency(_) => value,
        };
        CountFloor { value, window, reset }
    }

    /// Adds permits that the server has counted. `now` is the time before the call.
    pub(super) fn counted(&self, counted: impl Iterator<Item = ServerCount>, now: u64) {
        let mut generations = self.generations.lock();
        for ServerCount { key, allowance, permits, window, reset } in counted {
            let known = generations.get(key).unwrap_or_default();
            if (known.reset, known.window) > (reset, window) {
                // A reply to a later call came first.
                continue;
            }
            let is_current = (known.reset, known.window) == (reset, window);
            let before = if is_current { known.value } else { 0 };
            let value = match allowance.0 {
                AllowanceKind::Rate(rate) | AllowanceKind::Failures(rate) => {
                    let more = permits.saturating_mul(rate.interval().unwrap_or(0));
                    let latest = gcra::latest(allowance, rate, now);
                    before.max(now).saturating_add(more).min(latest)
                }
                AllowanceKind::Quota(quota) => before
                    .saturating_add(permits)
                    .min(quota.limit_of(window).saturating_add(quota.limit())),
                AllowanceKind::Concurrency(_) => continue,
            };
            generations.set(key, ReplicaCount { reset, window, value, changed_at: now });
        }
    }

    /// Subtracts permits that the server will get back.
    pub(super) fn given_back(&self, settlement: &Settlement) {
        let mut generations = self.generations.lock();
        let Some(mut count) = generations.get(settlement.key) else { return };
        let permits = settlement.permits.unsigned_abs();
        match settlement.allowance.0 {
            AllowanceKind::Rate(rate) | AllowanceKind::Failures(rate) => {
                let back = permits.saturating_mul(rate.interval().unwrap_or(0));
                count.value = count.value.saturating_sub(back);
            }
            AllowanceKind::Quota(_) if count.window == settlement.window => {
                count.value = count.value.saturating_sub(permits);
            }
            AllowanceKind::Quota(_) | AllowanceKind::Concurrency(_) => return,
        }
        generations.set(settlement.key, count);
    }

    pub(super) fn forget(&self, keys: &[CounterKey]) {
        let mut generations = self.generations.lock();
        for key in keys {
            generations.young.remove(key);
            generations.old.remove(key);
        }
    }
}

impl TwoGenerations {
    fn get(&self, key: CounterKey) -> Option<ReplicaCount> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }

    fn set(&mut self, key: CounterKey, count: ReplicaCount) {
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
    use crate::limits::kind::{Quota, Rate};

    const SECOND: u64 = 1_000_000_000;

    fn replica_counts() -> ReplicaCounts {
        ReplicaCounts::new(Duration::from_millis(5))
    }

    fn counted(key: u128, allowance: impl Into<Allowance>, permits: u64) -> ServerCount {
        ServerCount {
            key: CounterKey(key),
            allowance: allowance.into(),
            permits,
            window: 0,
            reset: 0,
        }
    }

    fn floor(
        counts: &ReplicaCounts,
        key: u128,
        allowance: impl Into<Allowance>,
        now: u64,
    ) -> CountFloor {
        counts.floors::<1>([(CounterKey(key), allowance.into())].into_iter(), now)[0]
    }

    fn back(counted: ServerCount, permits: i64) -> Settlement {
        let ServerCount { key, allowance, window, .. } = counted;
        Settlement { key, overflow: key, allowance, window, permits: -permits }
    }

    #[test]
    fn a_quota_is_kept_in_its_window() {
        let (counts, day) = (replica_counts(), Quota::per_day(10));
        let today = ServerCount { window: 7, ..counted(1, day, 3) };
        for sum in [3, 6, 9, 12, 15, 18, 20, 20] {
            counts.counted([today].into_iter(), 0);
            let told = floor(&counts, 1, day, 0);
            assert_eq!((told.value, told.window), (sum, 7), "at most one window of debt");
        }
        counts.given_back(&back(today, 15));
        assert_eq!(floor(&counts, 1, day, 0).value, 5);
        // Permits of another window are ignored.
        counts.given_back(&back(ServerCount { window: 6, ..today }, 5));
        assert_eq!(floor(&counts, 1, day, 0).value, 5);
        counts.counted([ServerCount { window: 8, ..today }].into_iter(), 0);
        assert_eq!(floor(&counts, 1, day, 0), CountFloor { value: 3, window: 8, reset: 0 });
        // A reply of an earlier window.
        counts.counted([today].into_iter(), 0);
        assert_eq!(floor(&counts, 1, day, 0).value, 3);
    }

    #[test]
    fn a_rate_is_never_ahead_of_the_server() {
        let (counts, rate) = (replica_counts(), Rate::per_second(1).burst(10));
        let three = counted(1, rate, 3);
        counts.counted([three].into_iter(), 10 * SECOND);
        assert_eq!(floor(&counts, 1, rate, 10 * SECOND).value, 3_000_000 - 5_000);
        assert_eq!(floor(&counts, 1, rate, 12 * SECOND).value, 1_000_000 - 5_000);
        assert_eq!(floor(&counts, 1, rate, 14 * SECOND).value, 0);
        counts.counted([counted(1, rate, 100)].into_iter(), 20 * SECOND);
        assert_eq!(floor(&counts, 1, rate, 20 * SECOND).value, 20_000_000 - 5_000);
        counts.given_back(&back(three, 15));
        assert_eq!(floor(&counts, 1, rate, 20 * SECOND).value, 5_000_000 - 5_000);
    }

    #[test]
    fn a_reset_starts_from_zero() {
        let (counts, day) = (replica_counts(), Quota::per_day(10));
        counts.counted([counted(1, day, 3)].into_iter(), 0);
        counts.counted([ServerCount { reset: 9, ..counted(1, day, 1) }].into_iter(), 0);
        assert_eq!(floor(&counts, 1, day, 0), CountFloor { value: 1, window: 0, reset: 9 });
        counts.forget(&[CounterKey(1)]);
        assert_eq!(floor(&counts, 1, day, 0), CountFloor::default());
        // The server does not keep its resets any longer.
        counts.counted([counted(1, day, 3)].into_iter(), 0);
        assert_eq!(floor(&counts, 1, day, nanos(MAX_AGE) + 1), CountFloor::default());
    }

    #[test]
    fn the_latest_keys_are_kept() {
        let (counts, day) = (replica_counts(), Quota::per_day(10));
        for key in 0..3 * MAX_KEYS as u128 {
            counts.counted([counted(key, day, 1), counted(u128::MAX, day, 0)].into_iter(), 0);
        }
        let generations = counts.generations.lock();
        assert!(generations.young.len() <= MAX_KEYS && generations.old.len() <= MAX_KEYS);
        drop(generations);
        assert_eq!(floor(&counts, 0, day, 0).value, 0);
        for key in (2 * MAX_KEYS as u128 + 2)..3 * MAX_KEYS as u128 {
            assert_eq!(floor(&counts, key, day, 0).value, 1, "{key}");
        }
    }
}
