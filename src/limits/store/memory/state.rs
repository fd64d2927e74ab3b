//! The state of one counter in 16 bytes, and the arithmetic of each kind of allowance.

use std::{
    cell::OnceCell,
    time::{Duration, UNIX_EPOCH},
};

use crate::{
    clock::SharedClock,
    limits::{
        kind::{Allowance, AllowanceKind, Concurrency, Quota, QuotaWindow},
        store::{gcra, permit::PermitOutcome},
    },
};

/// The default is idle for each kind of allowance.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct CounterState {
    // Rate: the theoretical arrival time. Quota: 20 bits for the number of the window and 44 bits for
    // the permits used in it. Concurrency: the number in flight.
    value: u64,
    // Two bits for the kind, and a monotonic time in ns. Quota: the window's end. Concurrency: the
    // last arrival.
    rest: u64,
}

/// One reading of the clock. The wall clock is read on first use.
#[derive(Debug)]
pub(crate) struct ClockReading<'a> {
    pub(crate) monotonic: u64,
    clock: &'a SharedClock,
    wall: OnceCell<Duration>,
}

/// A window is kept for an hour after its end. A wall clock that is set back by less does not reopen
/// it.
const KEEP_WINDOW: u64 = 3_600 * 1_000_000_000;
/// A debt is at most one window's limit. It is paid when the longest window after its own has ended.
const KEEP_DEBT: u64 = 31 * 24 * 3_600 * 1_000_000_000;
/// An idle key is kept for ten milliseconds while there is room. A frequent caller then keeps its key.
/// The tables stay small enough for the processor's caches.
const KEEP_IDLE: u64 = 10 * 1_000_000;
const QUOTA: u64 = 1 << 62;
const INDEBTED: u64 = 2 << 62;
const IN_FLIGHT: u64 = 3 << 62;
const KIND: u64 = 3 << 62;
const MAX_USED: u64 = (1 << 44) - 1;
/// The largest monotonic time: 146 years.
pub(crate) const MAX_TIME: u64 = QUOTA - 1;

impl CounterState {
    /// Returns whether the state equals the default, so that the key can be removed.
    pub(crate) const fn is_idle(self, now: u64) -> bool {
        match self.rest & KIND {
            QUOTA => (self.rest & MAX_TIME).saturating_add(KEEP_WINDOW) <= now,
            INDEBTED => (self.rest & MAX_TIME).saturating_add(KEEP_DEBT) <= now,
            IN_FLIGHT => self.value == 0 && self.rest & MAX_TIME <= now,
            _ => self.value <= now,
        }
    }

    /// Decides on a cost. Returns the outcome and the state after the permits are taken.
    pub(crate) fn decide(
        self,
        allowance: Allowance,
        cost: u64,
        now: &ClockReading<'_>,
    ) -> (PermitOutcome, Self) {
        match allowance.0 {
            AllowanceKind::Rate(rate) | AllowanceKind::Failures(rate) => {
                let tat = if self.rest & KIND == 0 { self.value } else { 0 };
                let (outcome, value) = gcra::decide(rate, tat, now.monotonic, cost);
                (outcome, Self { value, rest: 0 })
            }
            AllowanceKind::Quota(quota) => {
                QuotaCounter::of(self, quota, now).decide(quota, cost, now)
            }
            AllowanceKind::Concurrency(limit) => self.decide_in_flight(limit, cost, now),
        }
    }

    /// Takes more permits as debt, or gives permits back.
    pub(crate) fn settle(
        self,
        allowance: Allowance,
        window: u32,
        permits: i64,
        now: &ClockReading<'_>,
    ) -> Self {
        match allowance.0 {
            AllowanceKind::Rate(rate) | AllowanceKind::Failures(rate) => {
                let tat = if self.rest & KIND == 0 { self.value } else { 0 };
                let value = gcra::settle(allowance, rate, tat, now.monotonic, permits);
                Self { value, rest: 0 }
            }
            AllowanceKind::Quota(quota) => {
                let mut counter = QuotaCounter::of(self, quota, now);
                if permits >= 0 || counter.number == window {
                    counter.used = counter.used.saturating_add_signed(permits);
                }
                counter.pack(quota)
            }
            AllowanceKind::Concurrency(_) => {
                let same = self.rest & KIND == IN_FLIGHT;
                let (count, rest) = if same { (self.value, self.rest) } else { (0, IN_FLIGHT) };
                Self { value: count.saturating_add_signed(permits), rest }
            }
        }
    }

    fn decide_in_flight(
        self,
        limit: Concurrency,
        cost: u64,
        now: &ClockReading<'_>,
    ) -> (PermitOutcome, Self) {
        let capacity = u64::from(limit.max());
        let count = if self.rest & KIND == IN_FLIGHT { self.value } else { 0 };
        let allows = capacity > 0 && count.saturating_add(cost.max(1)) <= capacity;
        let next = if allows { count.saturating_add(cost) } else { count };
        // The end of another request is unknown.
        let second = Duration::from_secs(1);
        let outcome = PermitOutcome {
            allows,
            remaining: capacity.saturating_sub(next),
            capacity,
            retry_after: if allows { Duration::ZERO } else { second },
            reset_after: if next == 0 && capacity > 0 { Duration::ZERO } else { second },
            window: 0,
        };
        (outcome, Self { value: next, rest: IN_FLIGHT | now.monotonic })
    }
}

impl<'a> ClockReading<'a> {
    pub(crate) const fn new(monotonic: u64, clock: &'a SharedClock) -> Self {
        Self { monotonic, clock, wall: OnceCell::new() }
    }

    /// Returns the time since which a key must have been idle to be removed while there is room.
    pub(crate) const fn idle_since(&self) -> u64 {
        self.monotonic.saturating_sub(KEEP_IDLE)
    }

    /// Returns the time since 1970.
    fn wall(&self) -> Duration {
        let read = || self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        *self.wall.get_or_init(read)
    }
}

/// The unpacked state of a quota in its current window.
struct QuotaCounter {
    number: u32,
    used: u64,
    // Monotonic, in ns.
    end: u64,
}

impl QuotaCounter {
    /// A new window starts when the wall clock has reached it and the old window's time is over on the
    /// monotonic clock. A wall clock that is set ahead grants no quota twice. If it is set back, the old
    /// window lasts until its time is over.
    fn of(state: CounterState, quota: Quota, now: &ClockReading<'_>) -> Self {
        let known = matches!(state.rest & KIND, QUOTA | INDEBTED);
        let number = (state.value >> 44) as u32;
        let (used, old_end) = (state.value & MAX_USED, state.rest & MAX_TIME);
        if known && now.monotonic < old_end {
            return Self { number, used, end: old_end };
        }
        let wall = now.wall();
        let window = quota.period().window(wall.as_secs());
        let left = Duration::from_secs(window.end).saturating_sub(wall);
        let end = now.monotonic.saturating_add(nanos(left)).min(MAX_TIME);
        let fresh = Self { number: window.number, used: 0, end };
        if !known {
            return fresh;
        }
        if number == window.number && nanos(left) <= KEEP_WINDOW {
            // The wall clock was set back a little, so the window becomes longer. A clock that was
            // set back further would lock the caller out, so a new window starts instead.
            return Self { number, used, end };
        }
        let passed = window.number.max(number.saturating_add(1));
        Self { used: used.saturating_sub(quota.limit_between(number, passed)), ..fresh }
    }

    fn decide(
        mut self,
        quota: Quota,
        cost: u64,
        now: &ClockReading<'_>,
    ) -> (PermitOutcome, CounterState) {
        let capacity = quota.limit_of(self.number).min(MAX_USED);
        let rest = Duration::from_nanos(self.end.saturating_sub(now.monotonic));
        let allows = capacity > 0 && self.used.saturating_add(cost.max(1)) <= capacity;
        if allows {
            self.used = self.used.saturating_add(cost);
        }
        let outcome = PermitOutcome {
            allows,
            remaining: capacity.saturating_sub(self.used),
            capacity,
            retry_after: if allows {
                Duration::ZERO
            } else {
                rest + self.wait_after_window(quota, cost)
            },
            reset_after: if self.used == 0 && capacity > 0 { Duration::ZERO } else { rest },
            window: self.number,
        };
        (outcome, self.pack(quota))
    }

    /// Returns the time from the end of this window to the first one that allows the cost. It is zero
    /// unless debt is carried over.
    fn wait_after_window(&self, quota: Quota, cost: u64) -> Duration {
        let next = self.number.saturating_add(1);
        let plain = quota.limit_of(next).min(MAX_USED);
        if plain == 0 {
            return Duration::ZERO;
        }
        let after = self.used.saturating_sub(quota.limit_between(self.number, next));
        let needed = cost.clamp(1, plain);
        let more = (after + needed).saturating_sub(plain).div_ceil(plain);
        let period = quota.period();
        let then = period.nth(u64::from(next).saturating_add(more)).start;
        Duration::from_secs(then.saturating_sub(period.nth(u64::from(next)).start))
    }

    fn pack(&self, quota: Quota) -> CounterState {
        let capacity = quota.limit_of(self.number);
        // Debt is at most the limit of the next window.
        let used = self.used.min(capacity.saturating_add(quota.limit())).min(MAX_USED);
        let kind = if used > capacity { INDEBTED } else { QUOTA };
        let number = u64::from(self.number.min(QuotaWindow::MAX_NUMBER));
        CounterState { value: number << 44 | used, rest: kind | self.end }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
