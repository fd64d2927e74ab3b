//! What is kept of one counter, in 16 bytes, and the arithmetic of each kind of allowance.

use std::{
    cell::OnceCell,
    time::{Duration, UNIX_EPOCH},
};

use super::super::{
    allowance::{Allowance, Kind},
    ask::Standing,
    concurrency::Concurrency,
    gcra,
    quota::{Quota, Window},
};
use crate::clock::SharedClock;

/// The default is idle, whatever it will count.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct State {
    // Rate: the arrival time. Quota: 20 bits of the window's number, 44 of what was used of it.
    // Concurrency: how many.
    value: u64,
    // Two bits of the kind; a monotonic time (ns): of a quota, the window's end; of those in flight,
    // when the last one came.
    rest: u64,
}

/// One reading of the clock. That of the wall is read where somebody asks for it.
#[derive(Debug)]
pub(super) struct Now<'a> {
    pub(super) monotonic: u64,
    clock: &'a SharedClock,
    wall: OnceCell<Duration>,
}

/// For an hour a window that is over is remembered: a wall clock that was set back by less does not
/// open it again.
const SET_BACK: u64 = 3_600 * 1_000_000_000;
/// A debt is at most one window's, so it is paid when the longest window after its own has ended.
const DEBT: u64 = 31 * 24 * 3_600 * 1_000_000_000;
/// While there is room, what is idle is kept for ten milliseconds: long enough for one who comes all the
/// time, and short enough that the tables hold few who do not, and stay in the processor's caches.
const KEPT: u64 = 10 * 1_000_000;
const QUOTA: u64 = 1 << 62;
const INDEBTED: u64 = 2 << 62;
const IN_FLIGHT: u64 = 3 << 62;
const KIND: u64 = 3 << 62;
const MOST_USED: u64 = (1 << 44) - 1;
/// The largest monotonic time: 146 years.
pub(super) const MOST_TIME: u64 = QUOTA - 1;

impl State {
    /// To forget it would change nothing.
    pub(super) const fn is_idle(self, now: u64) -> bool {
        match self.rest & KIND {
            QUOTA => (self.rest & MOST_TIME).saturating_add(SET_BACK) <= now,
            INDEBTED => (self.rest & MOST_TIME).saturating_add(DEBT) <= now,
            IN_FLIGHT => self.value == 0 && self.rest & MOST_TIME <= now,
            _ => self.value <= now,
        }
    }

    /// What the allowance says to so many permits, and the state if they are taken.
    pub(super) fn decide(self, allowance: Allowance, cost: u64, now: &Now<'_>) -> (Standing, Self) {
        match allowance.0 {
            Kind::Rate(rate) | Kind::Failures(rate) => {
                let tat = if self.rest & KIND == 0 { self.value } else { 0 };
                let (standing, value) = gcra::decide(rate, tat, now.monotonic, cost);
                (standing, Self { value, rest: 0 })
            }
            Kind::Quota(quota) => Counter::of(self, quota, now).decide(quota, cost, now),
            Kind::Concurrency(limit) => self.enter(limit, cost, now),
        }
    }

    /// Takes more, or gives back, without asking.
    pub(super) fn settle(
        self,
        allowance: Allowance,
        window: u32,
        permits: i64,
        now: &Now<'_>,
    ) -> Self {
        match allowance.0 {
            Kind::Rate(rate) | Kind::Failures(rate) => {
                let tat = if self.rest & KIND == 0 { self.value } else { 0 };
                let value = gcra::settle(allowance, rate, tat, now.monotonic, permits);
                Self { value, rest: 0 }
            }
            Kind::Quota(quota) => {
                let mut counter = Counter::of(self, quota, now);
                if permits >= 0 || counter.number == window {
                    counter.used = counter.used.saturating_add_signed(permits);
                }
                counter.pack(quota)
            }
            Kind::Concurrency(_) => {
                let same = self.rest & KIND == IN_FLIGHT;
                let (count, rest) = if same { (self.value, self.rest) } else { (0, IN_FLIGHT) };
                Self { value: count.saturating_add_signed(permits), rest }
            }
        }
    }

    fn enter(self, limit: Concurrency, cost: u64, now: &Now<'_>) -> (Standing, Self) {
        let most = u64::from(limit.most());
        let count = if self.rest & KIND == IN_FLIGHT { self.value } else { 0 };
        let allows = most > 0 && count.saturating_add(cost.max(1)) <= most;
        let next = if allows { count.saturating_add(cost) } else { count };
        // Nothing truer can be said.
        let second = Duration::from_secs(1);
        let standing = Standing {
            allows,
            remaining: most.saturating_sub(next),
            most,
            wait: if allows { Duration::ZERO } else { second },
            reset: if next == 0 && most > 0 { Duration::ZERO } else { second },
            window: 0,
        };
        (standing, Self { value: next, rest: IN_FLIGHT | now.monotonic })
    }
}

impl<'a> Now<'a> {
    pub(super) const fn new(monotonic: u64, clock: &'a SharedClock) -> Self {
        Self { monotonic, clock, wall: OnceCell::new() }
    }

    /// The time at which a key must have been idle to be forgotten while there is room: who comes all
    /// the time is not forgotten and added each time.
    pub(super) const fn idle_since(&self) -> u64 {
        self.monotonic.saturating_sub(KEPT)
    }

    /// Since 1970.
    fn wall(&self) -> Duration {
        let read = || self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        *self.wall.get_or_init(read)
    }
}

/// A quota's, unpacked, in its current window.
struct Counter {
    number: u32,
    used: u64,
    // Monotonic.
    end: u64,
}

impl Counter {
    /// A window is new only when the wall clock says so and the old one's time is over as well: set
    /// ahead, it grants nothing twice. Set back, the old window goes on until its time is over.
    fn of(state: State, quota: Quota, now: &Now<'_>) -> Self {
        let known = matches!(state.rest & KIND, QUOTA | INDEBTED);
        let number = (state.value >> 44) as u32;
        let (used, old_end) = (state.value & MOST_USED, state.rest & MOST_TIME);
        if known && now.monotonic < old_end {
            return Self { number, used, end: old_end };
        }
        let wall = now.wall();
        let window = quota.period().window(wall.as_secs());
        let left = Duration::from_secs(window.end).saturating_sub(wall);
        let end = now.monotonic.saturating_add(nanos(left)).min(MOST_TIME);
        let fresh = Self { number: window.number, used: 0, end };
        if !known {
            return fresh;
        }
        if number == window.number && nanos(left) <= SET_BACK {
            // The wall clock was set back a little: the window is longer by that. Set back by more
            // it would lock out for what is left; this window has had its time.
            return Self { number, used, end };
        }
        let passed = window.number.max(number.saturating_add(1));
        Self { used: used.saturating_sub(quota.held_between(number, passed)), ..fresh }
    }

    fn decide(mut self, quota: Quota, cost: u64, now: &Now<'_>) -> (Standing, State) {
        let most = quota.limit_of(self.number).min(MOST_USED);
        let rest = Duration::from_nanos(self.end.saturating_sub(now.monotonic));
        let allows = most > 0 && self.used.saturating_add(cost.max(1)) <= most;
        if allows {
            self.used = self.used.saturating_add(cost);
        }
        let standing = Standing {
            allows,
            remaining: most.saturating_sub(self.used),
            most,
            wait: if allows { Duration::ZERO } else { rest + self.later(quota, cost) },
            reset: if self.used == 0 && most > 0 { Duration::ZERO } else { rest },
            window: self.number,
        };
        (standing, self.pack(quota))
    }

    /// From the end of this window to the first that lets so many pass: none, unless debt is carried.
    fn later(&self, quota: Quota, cost: u64) -> Duration {
        let next = self.number.saturating_add(1);
        let plain = quota.limit_of(next).min(MOST_USED);
        if plain == 0 {
            return Duration::ZERO;
        }
        let after = self.used.saturating_sub(quota.held_between(self.number, next));
        let needed = cost.clamp(1, plain);
        let more = (after + needed).saturating_sub(plain).div_ceil(plain);
        let period = quota.period();
        let then = period.nth(u64::from(next).saturating_add(more)).start;
        Duration::from_secs(then.saturating_sub(period.nth(u64::from(next)).start))
    }

    fn pack(&self, quota: Quota) -> State {
        let most = quota.limit_of(self.number);
        // Debt is at most the next window's.
        let used = self.used.min(most.saturating_add(quota.limit())).min(MOST_USED);
        let kind = if used > most { INDEBTED } else { QUOTA };
        let number = u64::from(self.number.min(Window::MOST));
        State { value: number << 44 | used, rest: kind | self.end }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
