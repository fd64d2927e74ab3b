//! governor's generic cell rate algorithm over a cell that is lent to it.

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
    num::NonZeroU32,
    time::Duration,
};

use governor::{RateLimiter, clock, middleware::NoOpMiddleware, nanos::Nanos, state::StateStore};

use super::{allowance::Allowance, ask::Standing, rate::Rate};

/// The theoretical arrival time, in ns.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Tat(Cell<u64>);

impl Hash for Tat {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}

struct Lent;

impl StateStore for Lent {
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

/// Its first reading, the limiter's origin, is zero.
struct Frozen(Cell<Nanos>, Nanos);

impl clock::Clock for Frozen {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        self.0.replace(self.1)
    }
}

/// What a bucket says to so many permits, and its arrival time if they are taken. A cost beyond its
/// capacity never passes.
pub(super) fn decide(rate: Rate, tat: u64, now: u64, cost: u64) -> (Standing, u64) {
    let (Some(interval), Some(burst)) = (rate.interval(), NonZeroU32::new(rate.capacity())) else {
        let period = rate.permits().1;
        return (Standing { wait: period, reset: period, ..Standing::default() }, tat);
    };
    let most = u64::from(burst.get());
    let needed = u32::try_from(cost).unwrap_or(u32::MAX).clamp(1, burst.get());
    let fits = cost <= most;
    let cell = Tat(Cell::new(tat));
    let at = Nanos::new(now);
    let quota = governor::Quota::with_period(Duration::from_nanos(interval));
    let wait = quota.map_or(Duration::MAX, |quota| {
        let clock = Frozen(Cell::new(Nanos::new(0)), at);
        let limiter: RateLimiter<Tat, Lent, Frozen, NoOpMiddleware<Nanos>> =
            RateLimiter::new(quota.allow_burst(burst), Lent, clock);
        let needed = NonZeroU32::new(needed).unwrap_or(NonZeroU32::MIN);
        match limiter.check_key_n(&cell, needed) {
            Ok(Ok(())) => Duration::ZERO,
            Ok(Err(until)) => until.wait_time_from(at),
            // Never: no more than the burst is asked for.
            Err(_) => Duration::MAX,
        }
    });
    let allows = fits && wait.is_zero();
    // A share of the rate may hold less than the rate does: its caller comes back for the whole.
    let wait = if fits { wait } else { wait.max(Duration::from_nanos(interval)) };
    let next = if allows && cost > 0 { cell.0.get() } else { tat };
    let ahead = next.saturating_sub(now);
    let standing = Standing {
        allows,
        remaining: most.saturating_sub(ahead.div_ceil(interval)),
        most,
        wait,
        reset: Duration::from_nanos(ahead),
        window: 0,
    };
    (standing, next)
}

/// Takes more, or gives back, without asking. The allowance bounds the debt.
pub(super) fn settle(allowance: Allowance, rate: Rate, tat: u64, now: u64, permits: i64) -> u64 {
    let Some(interval) = rate.interval() else { return tat };
    let change = permits.unsigned_abs().saturating_mul(interval);
    if permits < 0 {
        tat.saturating_sub(change).max(now)
    } else {
        tat.max(now).saturating_add(change).min(latest(allowance, rate, now))
    }
}

/// The latest arrival time: a full bucket was taken, and all debt that there can be.
pub(super) fn latest(allowance: Allowance, rate: Rate, now: u64) -> u64 {
    // A bucket fills in ten years at most, and a monotonic time is at most 2^62 ns.
    now.saturating_add(rate.fill()).saturating_add(allowance.max_debt())
}
