//! Cool-downs: the times in which an upstream gets no attempt, or none while another one is left.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use crate::lock::Lock;

/// The longest cool-down. Longer ones have no end that the clock can tell.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The cool-downs of one group of targets.
#[derive(Default)]
pub(super) struct Health {
    // Mirrors whether a cool-down is set, so that the pass path does not lock.
    is_cooling: AtomicBool,
    cooling: Lock<Cooling>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cooling {
    hard: Option<Instant>,
    soft: Option<Instant>,
}

/// How firmly a cool-down holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Firmness {
    /// The upstream named the time. There is no attempt before it.
    Hard,
    /// There is an attempt if no other target is left.
    Soft,
}

impl Health {
    /// Starts a cool-down. The shorter of two wins.
    pub(super) fn cool(&self, firmness: Firmness, now: Instant, until: Instant) {
        let mut cooling = self.cooling.lock();
        let own = match firmness {
            Firmness::Hard => &mut cooling.hard,
            Firmness::Soft => &mut cooling.soft,
        };
        *own = Some(own.filter(|running| *running > now).map_or(until, |other| other.min(until)));
        self.is_cooling.store(true, Relaxed);
    }

    /// Returns the end of a cool-down.
    pub(super) fn until(&self, firmness: Firmness, now: Instant) -> Option<Instant> {
        if !self.is_cooling.load(Relaxed) {
            return None;
        }
        let cooling = *self.cooling.lock();
        let until = match firmness {
            Firmness::Hard => cooling.hard,
            Firmness::Soft => cooling.soft,
        };
        until.filter(|until| *until > now)
    }

    /// Ends a soft cool-down after a response, and forgets a hard one that is over.
    pub(super) fn recover(&self, now: Instant) {
        if !self.is_cooling.load(Relaxed) {
            return;
        }
        let mut cooling = self.cooling.lock();
        cooling.soft = None;
        cooling.hard = cooling.hard.filter(|until| *until > now);
        self.is_cooling.store(cooling.hard.is_some(), Relaxed);
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cooling.lock().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_shorter_of_two_cool_downs_wins() {
        let (health, now) = (Health::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        health.cool(Firmness::Hard, now, after(30));
        health.cool(Firmness::Hard, now, after(5));
        health.cool(Firmness::Hard, now, after(20));
        assert_eq!(health.until(Firmness::Hard, now), Some(after(5)));
        assert_eq!(health.until(Firmness::Soft, now), None);
        // One that has ended is none.
        assert_eq!(health.until(Firmness::Hard, after(5)), None);
        health.cool(Firmness::Hard, after(6), after(60));
        assert_eq!(health.until(Firmness::Hard, after(6)), Some(after(60)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_ends_a_soft_cool_down_alone() {
        let (health, now) = (Health::default(), Instant::now());
        let until = now + Duration::from_secs(5);
        health.cool(Firmness::Soft, now, until);
        health.cool(Firmness::Hard, now, until);
        health.recover(now);
        assert_eq!(health.until(Firmness::Soft, now), None);
        assert_eq!(health.until(Firmness::Hard, now), Some(until));
        // The pass path does not lock for one that is over.
        assert!(health.is_cooling.load(Relaxed));
        health.recover(until);
        assert!(!health.is_cooling.load(Relaxed));
    }
}
