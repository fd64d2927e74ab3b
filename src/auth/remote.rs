//! When keys are fetched: who waits, who goes on, and how often the server is asked.

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use super::{
    error::KeysError,
    flight::{Boxed, Departure, Seats, Waiter},
    keys::Keys,
    nanos,
    source::{KeySource, Snapshot},
};
use crate::lock::Lock;

/// The wait after a failure, doubled with each one that follows, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a fetch ends with, for those who wait. The keys themselves are swapped in by then.
pub(super) type Fetched = Result<(), KeysError>;

/// Asks the server for the keys, once.
pub(super) type Fetch = Box<dyn Fn() -> Boxed<Result<Keys, KeysError>> + Send + Sync>;

/// How old, how often, how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) max_age: Duration,
    pub(super) stale_limit: Duration,
    pub(super) cool_down: Duration,
    pub(super) max_waiting: usize,
}

pub(super) struct Remote {
    fetch: Fetch,
    bounds: Bounds,
    /// The server, for logs.
    host: Box<str>,
    /// When the next fetch may start that no unknown key asks for, in nanoseconds.
    due: AtomicU64,
    seats: Seats,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    departure: Departure<Fetched>,
    failures: u32,
    failing: bool,
    /// When a fetch was last started for a key that was not there.
    asked_for_unknown: Option<Duration>,
}

/// Why a request asks for a fetch.
#[derive(Clone, Copy)]
pub(super) enum Need {
    /// There are no keys.
    Any,
    /// They are due.
    Newer,
    /// The token names one that is not among them.
    Unknown,
}

/// What the request then does.
pub(super) enum Course {
    Wait(Waiter<Fetched>),
    /// There are others than it saw.
    LookAgain,
    /// Goes on with what there is.
    GoOn,
    /// Comes back later.
    Unavailable(Duration),
}

/// Goes with a fetch, and notices when it ends before its time.
struct Aboard(Option<KeySource>);

impl Remote {
    pub(super) fn new(fetch: Fetch, bounds: Bounds, host: Box<str>) -> Self {
        Self {
            fetch,
            bounds,
            host,
            due: AtomicU64::new(0),
            seats: Seats::default(),
            state: Lock::default(),
        }
    }

    /// Whether these keys may be used, and whether someone should ask for newer ones.
    pub(super) fn standing(&self, snapshot: &Snapshot, now: Duration) -> (bool, bool) {
        let age = now.saturating_sub(snapshot.fetched);
        (age < self.bounds.stale_limit, self.is_due(now))
    }

    fn is_due(&self, now: Duration) -> bool {
        nanos(now) >= self.due.load(SeqCst)
    }

    /// How long until keys may be asked for again.
    pub(super) fn pause(&self, now: Duration) -> Duration {
        Duration::from_nanos(self.due.load(SeqCst)).saturating_sub(now)
    }

    /// Starts a fetch, or finds out that none is to be started. `seen` is the serial number of the
    /// keys that the request saw.
    pub(super) fn call(&self, source: &KeySource, need: Need, seen: u64, now: Duration) -> Course {
        let Some(seat) = self.seats.take(self.bounds.max_waiting) else {
            return match need {
                Need::Newer => Course::GoOn,
                Need::Any | Need::Unknown => Course::Unavailable(FIRST_PAUSE),
            };
        };
        let mut state = self.state.lock();
        // Between its look at the keys and this lock, a fetch may have ended.
        if source.shared.serial() != seen {
            return Course::LookAgain;
        }
        if let Some(flight) = state.departure.under_way() {
            drop(state);
            return match need {
                // One request waits for newer keys, and it is another.
                Need::Newer => Course::GoOn,
                Need::Any | Need::Unknown => Course::Wait(flight.wait(seat)),
            };
        }
        match need {
            Need::Any if !self.is_due(now) => return Course::Unavailable(self.pause(now)),
            Need::Newer if !self.is_due(now) => return Course::GoOn,
            Need::Unknown => {
                let last = state.asked_for_unknown;
                if last.is_some_and(|last| now.saturating_sub(last) < self.bounds.cool_down) {
                    return Course::GoOn;
                }
                // Taken before the fetch, so that one that fails counts.
                state.asked_for_unknown = Some(now);
            }
            Need::Any | Need::Newer => {}
        }
        let flight = self.depart(source, &state, now);
        Course::Wait(state.departure.start(flight, seat))
    }

    /// Starts a fetch whatever the pauses say, or joins one. `None` when too many wait.
    pub(super) fn fetch_at_once(
        &self,
        source: &KeySource,
        now: Duration,
    ) -> Option<Waiter<Fetched>> {
        let seat = self.seats.take(self.bounds.max_waiting)?;
        let mut state = self.state.lock();
        if let Some(flight) = state.departure.under_way() {
            drop(state);
            return Some(flight.wait(seat));
        }
        let flight = self.depart(source, &state, now);
        Some(state.departure.start(flight, seat))
    }

    /// The fetch, which swaps in what it brings: once, whoever polls it to its end.
    fn depart(&self, source: &KeySource, state: &State, now: Duration) -> Boxed<Fetched> {
        // Should it be given up half-way, the next one waits as if it had failed.
        self.postpone(source, state.failures + 1, now);
        let fetch = (self.fetch)();
        let aboard = Aboard(Some(source.clone()));
        Box::pin(async move {
            let fetched = fetch.await;
            aboard.land(fetched)
        })
    }

    /// The first fetch was given up by those who waited, through no fault of the server: the next
    /// request may begin another at once, or whoever hangs up could keep all others out.
    fn give_up(&self, source: &KeySource) {
        if self.state.lock().failures == 0 && source.shared.fetched().is_none() {
            self.due.store(0, SeqCst);
        }
    }

    /// Sets when to ask next, after `failures` in a row: not before the keys are of age.
    fn postpone(&self, source: &KeySource, failures: u32, now: Duration) {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let pause = FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE);
        let of_age = source
            .shared
            .fetched()
            .map_or(Duration::ZERO, |at| at.saturating_add(self.bounds.max_age));
        self.due.store(nanos(now.saturating_add(pause).max(of_age)), SeqCst);
    }

    /// Takes what a fetch brought.
    fn land(&self, source: &KeySource, fetched: Result<Keys, KeysError>) -> Fetched {
        let now = source.clock.monotonic();
        let mut state = self.state.lock();
        match fetched {
            Ok(keys) => {
                let count = keys.count();
                let changed = source.shared.replace(keys, now);
                self.due.store(nanos(now.saturating_add(self.bounds.max_age)), SeqCst);
                state.failures = 0;
                let recovered = std::mem::take(&mut state.failing);
                drop(state);
                if recovered {
                    tracing::info!(host = %self.host, "the keys can be fetched again");
                }
                if changed {
                    tracing::info!(host = %self.host, keys = count, "the keys have changed");
                }
                Ok(())
            }
            Err(reason) => {
                state.failures = state.failures.saturating_add(1);
                self.postpone(source, state.failures, now);
                let already = std::mem::replace(&mut state.failing, true);
                drop(state);
                if !already {
                    tracing::warn!(host = %self.host, %reason, "the keys cannot be fetched");
                }
                Err(reason)
            }
        }
    }
}

// === impl Aboard ===

impl Aboard {
    fn land(mut self, fetched: Result<Keys, KeysError>) -> Fetched {
        match self.0.take() {
            Some(source) => source.remote().map_or(Ok(()), |remote| remote.land(&source, fetched)),
            None => Ok(()),
        }
    }
}

impl Drop for Aboard {
    fn drop(&mut self) {
        // A client that panics is at fault, and keeps its pause.
        if let Some(source) = self.0.take().filter(|_| !std::thread::panicking())
            && let Some(remote) = source.remote()
        {
            remote.give_up(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::source::Origin;

    const SECOND: Duration = Duration::from_secs(1);

    /// Keys of number one, fetched at zero, due after a minute, from a server that is away.
    fn source() -> KeySource {
        let fetch = Box::new(|| Box::pin(async { Err(KeysError::Unreachable) }) as Boxed<_>);
        let bounds = Bounds {
            max_age: SECOND * 60,
            stale_limit: SECOND * 3_600,
            cool_down: SECOND * 30,
            max_waiting: 2,
        };
        let source = KeySource::new(Origin::Remote(Remote::new(fetch, bounds, "host".into())));
        let key =
            r#"{"kty":"OKP","crv":"Ed25519","x":"TAo6xk3SGOoph6-GLFvz3PwbcPWC3eB3X-d9LG1dBqI"}"#;
        let keys = Keys::from_jwks(format!(r#"{{"keys":[{key}]}}"#)).unwrap();
        source.shared.replace(keys, Duration::ZERO);
        source
    }

    #[test]
    fn one_who_comes_late_to_a_fetch_that_was_given_up_begins_none() {
        let source = source();
        let call = |now| source.call(Need::Newer, 1, now);
        let now = SECOND * 60;
        assert!(matches!(call(now), Course::Wait(_)));
        // It saw that the keys were due before the other one began; the other one is gone again.
        assert!(matches!(call(now), Course::GoOn));
        assert!(matches!(call(now + SECOND), Course::Wait(_)));
    }

    #[test]
    fn one_who_saw_other_keys_looks_again() {
        let source = source();
        for need in [Need::Any, Need::Newer, Need::Unknown] {
            assert!(matches!(source.call(need, 0, SECOND * 60), Course::LookAgain));
        }
    }

    #[test]
    fn one_too_many_goes_on_if_it_can() {
        let source = source();
        let call = |need| source.call(need, 1, SECOND * 60);
        let (one, two) = (call(Need::Unknown), call(Need::Unknown));
        assert!(matches!((&one, &two), (Course::Wait(_), Course::Wait(_))));
        assert!(matches!(call(Need::Newer), Course::GoOn));
        assert!(matches!(call(Need::Any), Course::Unavailable(SECOND)));
        assert!(matches!(call(Need::Unknown), Course::Unavailable(SECOND)));
    }
}
