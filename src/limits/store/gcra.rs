//! Runs governor's generic cell rate algorithm on our own state.

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
    num::NonZeroU32,
    time::Duration,
};

use governor::{RateLimiter, clock, middleware::NoOpMiddleware, nanos::Nanos, state::StateStore};

use super::permit::PermitOutcome;
use crate::limits::kind::{Allowance, Rate};

/// The theoretical arrival time in ns.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Tat(Cell<u64>);

impl Hash for Tat {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}

/// A store that reads and writes the one arrival time that it is called with.
struct BorrowedState;

impl StateStore for BorrowedState {
    type Key = Tat;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, tat: &Tat, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = f(Some(tat.0.get().into()))?;
        tat.0.set(next.into());
        Ok(outcome)
    }
}

/// A clock whose first reading is zero, which the limiter takes for its origin. All others are the
/// same.
struct FixedClock(Cell<Nanos>, Nanos);

impl clock::Clock for FixedClock {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        self.0.replace(self.1)
    }
}

/// Decides on a cost. Returns the outcome, and the arrival time after the permits are taken. A cost
/// beyond the capacity never passes.
pub(crate) fn decide(rate: Rate, tat: u64, now: u64, cost: u64) -> (PermitOutcome, u64) {
    let (Some(interval), Some(burst)) = (rate.interval(), NonZeroU32::new(rate.capacity())) else {
        let period = rate.permits().1;
        return (
            PermitOutcome { retry_after: period, reset_after: period, ..PermitOutcome::default() },
            tat,
        );
    };
    let capacity = u64::from(burst.get());
    let needed = u32::try_from(cost).unwrap_or(u32::MAX).clamp(1, burst.get());
    let fits = cost <= capacity;
    let cell = Tat(Cell::new(tat));
    let at = Nanos::new(now);
    let quota = governor::Quota::with_period(Duration::from_nanos(interval));
    let wait = quota.map_or(Duration::MAX, |quota| {
        let clock = FixedClock(Cell::new(Nanos::new(0)), at);
        let limiter: RateLimiter<Tat, BorrowedState, FixedClock, NoOpMiddleware<Nanos>> =
            RateLimiter::new(quota.allow_burst(burst), BorrowedState, clock);
        let needed = NonZeroU32::new(needed).unwrap_or(NonZeroU32::MIN);
        match limiter.check_key_n(&cell, needed) {
            Ok(Ok(())) => Duration::ZERO,
            Ok(Err(until)) => until.wait_time_from(at),
            // Impossible, since `needed` is at most the burst.
            Err(_) => Duration::MAX,
        }
    });
    let allows = fits && wait.is_zero();
    // A replica's share may hold less than the whole rate, so the client retries at the whole rate.
    let wait = if fits { wait } else { wait.max(Duration::from_nanos(interval)) };
    let next = if allows && cost > 0 { cell.0.get() } else { tat };
    let ahead = next.saturating_sub(now);
    let outcome = PermitOutcome {
        allows,
        remaining: capacity.saturating_sub(ahead.div_ceil(interval)),
        capacity,
        retry_after: wait,
        reset_after: Duration::from_nanos(ahead),
        window: 0,
    };
    (outcome, next)
}

/// Takes more permits as debt, or gives permits back. The allowance bounds the debt.
pub(crate) fn settle(allowance: Allowance, rate: Rate, tat: u64, now: u64, permits: i64) -> u64 {
    let Some(interval) = rate.interval() else { return tat };
    let change = permits.unsigned_abs().saturating_mul(interval);
    if permits < 0 {
        tat.saturating_sub(change).max(now)
    } else {
        tat.max(now).saturating_add(change).min(latest(allowance, rate, now))
    }
}

/// Returns the latest arrival time: the bucket is empty and the debt is at its bound.
pub(crate) fn latest(allowance: Allowance, rate: Rate, now: u64) -> u64 {
    // No sum overflows: a bucket fills in ten years, and a monotonic time is at most 2^62 ns.
    now.saturating_add(rate.fill()).saturating_add(allowance.max_debt())
}
