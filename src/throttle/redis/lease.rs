//! Permits that this replica has taken ahead, and gives out by itself.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use smallvec::SmallVec;

use super::script::Told;
use crate::{
    clock::SharedClock,
    lock::Lock,
    throttle::{
        allowance::Allowance,
        ask::{Ask, Asks, Decision, Settlement, Standing},
        key::Key,
    },
};

/// How long permits are kept that nobody comes for.
pub(super) const LIFE: Duration = Duration::from_secs(1);
/// Keys with leases; beyond, each request asks for itself.
const MOST_KEYS: usize = 65_536;
/// Keys that are looked at under one lock when leases are given back.
const LOOKS: usize = 1_024;

/// For each of some asks, how many permits to take ahead.
pub(super) type Ahead = SmallVec<[u32; 4]>;

pub(super) struct Leases {
    // One more than is taken ahead: the request's own.
    permits: u32,
    clock: SharedClock,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    held: BTreeMap<Key, Lease>,
    // Of keys whose leases were taken anew.
    back: Vec<Settlement>,
}

struct Lease {
    left: u64,
    // Of the permits, or, where there are none, of the time in which one request asks for them alone.
    ends: Duration,
    asking: bool,
    taken: Duration,
    allowance: Allowance,
    overflow: Key,
    standing: Standing,
}

impl Leases {
    pub(super) fn new(permits: u32) -> Self {
        Self { permits, clock: SharedClock::default(), state: Lock::default() }
    }

    pub(super) const fn are_taken(&self) -> bool {
        self.permits > 1
    }

    /// Decides by what is held, where that suffices for all of them.
    pub(super) fn decide(&self, asks: &Asks) -> Option<Decision> {
        if !self.are_taken() {
            return None;
        }
        let now = self.clock.monotonic();
        let held = &mut self.state.lock().held;
        let holds = |ask: &Ask| {
            let lease = held.get(&ask.key);
            ask.cost > 0 && lease.is_some_and(|lease| lease.left >= ask.cost && lease.ends > now)
        };
        if !asks.iter().all(holds) {
            return None;
        }
        let mut decision = Decision { passes: true, ..Decision::default() };
        for ask in asks {
            let lease = held.get_mut(&ask.key)?;
            lease.left -= ask.cost;
            decision.standings.push(Standing {
                remaining: lease.standing.remaining.saturating_add(lease.left),
                reset: lease.standing.reset.saturating_sub(now.saturating_sub(lease.taken)),
                ..lease.standing
            });
        }
        Some(decision)
    }

    /// How many permits the one who is about to ask the server should take ahead. Of several that ask
    /// for one key at a time, the first.
    pub(super) fn ahead(&self, asks: &Asks) -> Ahead {
        if !self.are_taken() {
            return asks.iter().map(|_| 0).collect();
        }
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        let State { held, back } = &mut *state;
        let more = |ask: &Ask| {
            let cost = u32::try_from(ask.cost).unwrap_or(u32::MAX);
            let more = self.permits.saturating_sub(cost);
            let is_live = |lease: &Lease| lease.ends > now && (lease.asking || lease.left > 0);
            let before = held.get(&ask.key);
            let no_room = before.is_none() && held.len() >= MOST_KEYS;
            if cost == 0 || more == 0 || no_room || before.is_some_and(is_live) {
                return 0;
            }
            let asking = Lease {
                left: 0,
                ends: now.saturating_add(LIFE),
                asking: true,
                taken: now,
                allowance: ask.allowance,
                overflow: ask.overflow,
                standing: Standing::default(),
            };
            if let Some(old) = held.insert(ask.key, asking) {
                back.extend(old.give_back(ask.key));
            }
            more
        };
        asks.iter().map(more).collect()
    }

    /// Keeps what the server gave.
    pub(super) fn keep(&self, asks: &Asks, decision: &Decision, told: &[Told]) {
        if !self.are_taken() {
            return;
        }
        let now = self.clock.monotonic();
        let held = &mut self.state.lock().held;
        for ((ask, standing), told) in asks.iter().zip(&decision.standings).zip(told) {
            let left = told.ahead;
            if left == 0 {
                continue;
            }
            let before = held.get(&ask.key).map_or(0, |lease| lease.left);
            // The lease is told with what is left, as long as it is there.
            let remaining = standing.remaining.saturating_sub(left);
            let lease = Lease {
                left: before.saturating_add(left),
                ends: now.saturating_add(LIFE),
                asking: false,
                taken: now,
                allowance: ask.allowance,
                overflow: ask.overflow,
                standing: Standing { remaining, ..*standing },
            };
            held.insert(ask.key, lease);
        }
    }

    /// Forgets what is held of these.
    pub(super) fn forget(&self, keys: &[Key]) {
        let held = &mut self.state.lock().held;
        for key in keys {
            held.remove(key);
        }
    }

    /// What nobody came for, to be given back.
    pub(super) fn expired(&self) -> Vec<Settlement> {
        let now = self.clock.monotonic();
        let mut back = std::mem::take(&mut self.state.lock().back);
        let mut after = Bound::Unbounded;
        loop {
            let mut state = self.state.lock();
            let held = &mut state.held;
            let looked: Vec<Key> =
                held.range((after, Bound::Unbounded)).take(LOOKS).map(|(key, _)| *key).collect();
            for key in &looked {
                if held.get(key).is_some_and(|lease| lease.ends <= now)
                    && let Some(lease) = held.remove(key)
                {
                    back.extend(lease.give_back(*key));
                }
            }
            drop(state);
            match looked.last() {
                Some(last) if looked.len() == LOOKS => after = Bound::Excluded(*last),
                _ => return back,
            }
        }
    }
}

impl Lease {
    fn give_back(self, key: Key) -> Option<Settlement> {
        let Self { left, allowance, overflow, standing, .. } = self;
        (left > 0).then(|| Settlement {
            key,
            overflow,
            allowance,
            window: standing.window,
            permits: i64::try_from(left).map_or(i64::MIN, |left| -left),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::Rate;

    fn asks(cost: u64) -> Asks {
        let ask = Ask {
            key: Key(7),
            overflow: Key(1),
            allowance: Rate::per_second(1).burst(100).into(),
            cost,
            enforced: true,
        };
        std::iter::once(ask).collect()
    }

    fn told(remaining: u64) -> Decision {
        let standing = Standing { allows: true, remaining, most: 100, ..Standing::default() };
        Decision { passes: true, standings: std::iter::once(standing).collect() }
    }

    fn ahead(permits: u64) -> [Told; 1] {
        [Told { ahead: permits, ..Told::default() }]
    }

    #[test]
    fn one_asks_ahead_and_the_others_for_themselves() {
        let leases = Leases::new(10);
        assert_eq!(leases.decide(&asks(1)), None);
        assert_eq!(leases.ahead(&asks(1)).as_slice(), [9]);
        assert_eq!(leases.ahead(&asks(1)).as_slice(), [0], "one asks already");
        leases.keep(&asks(1), &told(99), &ahead(9));
        for left in (0..9).rev() {
            let decision = leases.decide(&asks(1)).unwrap();
            assert_eq!(decision.standings[0].remaining, 90 + left);
        }
        assert_eq!(leases.decide(&asks(1)), None);
        assert_eq!(leases.ahead(&asks(1)).as_slice(), [9]);
    }

    #[test]
    fn who_takes_more_than_a_lease_asks_the_server() {
        let leases = Leases::new(10);
        assert_eq!(leases.ahead(&asks(10)).as_slice(), [0]);
        assert_eq!(leases.ahead(&asks(4)).as_slice(), [6]);
        leases.keep(&asks(4), &told(96), &ahead(6));
        assert_eq!(leases.decide(&asks(7)), None);
        assert!(leases.decide(&asks(6)).is_some());
        assert_eq!(leases.decide(&asks(0)), None, "a look is at the server's counter");
    }
}
