//! Permits that this replica has taken ahead, and by which it decides without the server.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use smallvec::SmallVec;

use super::script::ScriptNote;
use crate::{
    clock::SharedClock,
    limits::{
        kind::Allowance,
        store::permit::{Decision, PermitOutcome, PermitRequest, PermitRequests, Settlement},
        subject::CounterKey,
    },
    lock::Lock,
};

/// How long unused permits are kept.
pub(super) const LEASE_TIME: Duration = Duration::from_secs(1);
/// The most keys with leases. Requests for further keys take no permits ahead.
const MAX_KEYS: usize = 65_536;
/// Keys that are checked for expiry under one lock.
const CHECKED: usize = 1_024;

/// The permits to take ahead for each permit request.
pub(super) type PermitsAhead = SmallVec<[u32; 4]>;

pub(super) struct Leases {
    // The permits of one lease, with those of the request that takes it.
    permits: u32,
    clock: SharedClock,
    state: Lock<LeaseTable>,
}

#[derive(Default)]
struct LeaseTable {
    leases: BTreeMap<CounterKey, Lease>,
    // The unused permits of leases that were replaced.
    unused: Vec<Settlement>,
}

struct Lease {
    left: u64,
    // When the permits expire. While a request takes them, when another request may try.
    ends: Duration,
    is_pending: bool,
    taken: Duration,
    allowance: Allowance,
    overflow: CounterKey,
    outcome: PermitOutcome,
}

impl Leases {
    pub(super) fn new(permits: u32) -> Self {
        Self { permits, clock: SharedClock::default(), state: Lock::default() }
    }

    pub(super) const fn are_enabled(&self) -> bool {
        self.permits > 1
    }

    /// Decides by leases, or returns `None` where they do not suffice for all requests.
    pub(super) fn decide(&self, requests: &PermitRequests) -> Option<Decision> {
        if !self.are_enabled() {
            return None;
        }
        let now = self.clock.monotonic();
        let leases = &mut self.state.lock().leases;
        let suffices = |request: &PermitRequest| {
            let lease = leases.get(&request.key);
            request.cost > 0
                && lease.is_some_and(|lease| lease.left >= request.cost && lease.ends > now)
        };
        if !requests.iter().all(suffices) {
            return None;
        }
        let mut decision = Decision { passes: true, ..Decision::default() };
        for request in requests {
            let lease = leases.get_mut(&request.key)?;
            lease.left -= request.cost;
            decision.outcomes.push(PermitOutcome {
                remaining: lease.outcome.remaining.saturating_add(lease.left),
                reset_after: lease
                    .outcome
                    .reset_after
                    .saturating_sub(now.saturating_sub(lease.taken)),
                ..lease.outcome
            });
        }
        Some(decision)
    }

    /// Returns the permits that a call of the server should take ahead. Only the first of parallel calls
    /// for one key takes a lease.
    pub(super) fn ahead(&self, requests: &PermitRequests) -> PermitsAhead {
        if !self.are_enabled() {
            return requests.iter().map(|_| 0).collect();
        }
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        let LeaseTable { leases, unused } = &mut *state;
        let more = |request: &PermitRequest| {
            let cost = u32::try_from(request.cost).unwrap_or(u32::MAX);
            let more = self.permits.saturating_sub(cost);
            let is_live = |lease: &Lease| lease.ends > now && (lease.is_pending || lease.left > 0);
            let before = leases.get(&request.key);
            let no_room = before.is_none() && leases.len() >= MAX_KEYS;
            if cost == 0 || more == 0 || no_room || before.is_some_and(is_live) {
                return 0;
            }
            let pending = Lease {
                left: 0,
                ends: now.saturating_add(LEASE_TIME),
                is_pending: true,
                taken: now,
                allowance: request.allowance,
                overflow: request.overflow,
                outcome: PermitOutcome::default(),
            };
            if let Some(old) = leases.insert(request.key, pending) {
                unused.extend(old.give_back(request.key));
            }
            more
        };
        requests.iter().map(more).collect()
    }

    /// Adds the permits that the server gave ahead.
    pub(super) fn add(&self, requests: &PermitRequests, decision: &Decision, notes: &[ScriptNote]) {
        if !self.are_enabled() {
            return;
        }
        let now = self.clock.monotonic();
        let leases = &mut self.state.lock().leases;
        for ((request, outcome), note) in requests.iter().zip(&decision.outcomes).zip(notes) {
            let left = note.ahead;
            if left == 0 {
                continue;
            }
            let before = leases.get(&request.key).map_or(0, |lease| lease.left);
            // A lease reports its own permits as remaining too, so they are subtracted here.
            let remaining = outcome.remaining.saturating_sub(left);
            let lease = Lease {
                left: before.saturating_add(left),
                ends: now.saturating_add(LEASE_TIME),
                is_pending: false,
                taken: now,
                allowance: request.allowance,
                overflow: request.overflow,
                outcome: PermitOutcome { remaining, ..*outcome },
            };
            leases.insert(request.key, lease);
        }
    }

    /// Removes the leases of these keys.
    pub(super) fn forget(&self, keys: &[CounterKey]) {
        let leases = &mut self.state.lock().leases;
        for key in keys {
            leases.remove(key);
        }
    }

    /// Removes expired leases and returns their permits.
    pub(super) fn expired(&self) -> Vec<Settlement> {
        let now = self.clock.monotonic();
        let mut unused = std::mem::take(&mut self.state.lock().unused);
        let mut after = Bound::Unbounded;
        loop {
            let mut state = self.state.lock();
            let leases = &mut state.leases;
            let checked: Vec<CounterKey> = leases
                .range((after, Bound::Unbounded))
                .take(CHECKED)
                .map(|(key, _)| *key)
                .collect();
            for key in &checked {
                if leases.get(key).is_some_and(|lease| lease.ends <= now)
                    && let Some(lease) = leases.remove(key)
                {
                    unused.extend(lease.give_back(*key));
                }
            }
            drop(state);
            match checked.last() {
                Some(last) if checked.len() == CHECKED => after = Bound::Excluded(*last),
                _ => return unused,
            }
        }
    }
}

impl Lease {
    fn give_back(self, key: CounterKey) -> Option<Settlement> {
        let Self { left, allowance, overflow, outcome, .. } = self;
        (left > 0).then(|| Settlement {
            key,
            overflow,
            allowance,
            window: outcome.window,
            permits: i64::try_from(left).map_or(i64::MIN, |left| -left),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::kind::Rate;

    fn requests(cost: u64) -> PermitRequests {
        let request = PermitRequest {
            key: CounterKey(7),
            overflow: CounterKey(1),
            allowance: Rate::per_second(1).burst(100).into(),
            cost,
            enforced: true,
        };
        std::iter::once(request).collect()
    }

    fn decision(remaining: u64) -> Decision {
        let outcome =
            PermitOutcome { allows: true, remaining, capacity: 100, ..PermitOutcome::default() };
        Decision { passes: true, outcomes: std::iter::once(outcome).collect() }
    }

    fn ahead(permits: u64) -> [ScriptNote; 1] {
        [ScriptNote { ahead: permits, ..ScriptNote::default() }]
    }

    #[test]
    fn one_of_parallel_requests_takes_a_lease() {
        let leases = Leases::new(10);
        assert_eq!(leases.decide(&requests(1)), None);
        assert_eq!(leases.ahead(&requests(1)).as_slice(), [9]);
        assert_eq!(leases.ahead(&requests(1)).as_slice(), [0], "another request takes a lease");
        leases.add(&requests(1), &decision(99), &ahead(9));
        for left in (0..9).rev() {
            let decision = leases.decide(&requests(1)).unwrap();
            assert_eq!(decision.outcomes[0].remaining, 90 + left);
        }
        assert_eq!(leases.decide(&requests(1)), None);
        assert_eq!(leases.ahead(&requests(1)).as_slice(), [9]);
    }

    #[test]
    fn a_cost_beyond_the_lease_needs_the_server() {
        let leases = Leases::new(10);
        assert_eq!(leases.ahead(&requests(10)).as_slice(), [0]);
        assert_eq!(leases.ahead(&requests(4)).as_slice(), [6]);
        leases.add(&requests(4), &decision(96), &ahead(6));
        assert_eq!(leases.decide(&requests(7)), None);
        assert!(leases.decide(&requests(6)).is_some());
        assert_eq!(leases.decide(&requests(0)), None, "a cost of 0 reads the server's counter");
    }
}
