//! When keys are fetched: who waits, who goes on, and how often the server is asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use super::{
    error::KeysError,
    flight::{Boxed, Departure, Seat, Seats, UnderWay, Waiter},
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
    /// From what age a fetch that nobody waits for is no longer worth going on with.
    pub(super) patience: Duration,
}

pub(super) struct Remote {
    fetch: Fetch,
    bounds: Bounds,
    /// The server, for logs.
    host: Box<str>,
    /// When the next fetch may start that no unverified token asks for, in nanoseconds.
    due: AtomicU64,
    seats: Seats,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    departure: Departure<Fetched>,
    departed: Duration,
    failures: u32,
    /// Why the last fetch brought nothing.
    failing: Option<KeysError>,
    /// When a fetch was last started for a token that no key verified.
    asked_for_unknown: Option<Duration>,
}

/// Why a request asks for a fetch.
#[derive(Clone, Copy)]
pub(super) enum Need {
    /// There are no keys.
    Any,
    /// They are due.
    Newer,
    /// None of them verifies the token: its key is not there, or was renewed under the same name.
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
    Unavailable(Absence),
}

/// Why there are no keys.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Absence {
    /// How long until they may be asked for again.
    pub(super) pause: Duration,
    /// How the last fetch failed, if one has.
    pub(super) reason: Option<KeysError>,
}

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

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Why there are no keys, and how long until they may be asked for again.
    pub(super) fn absence(&self, now: Duration) -> Absence {
        let reason = self.state.lock().failing;
        Absence { pause: self.pause(now), reason }
    }

    fn pause(&self, now: Duration) -> Duration {
        Duration::from_nanos(self.due.load(SeqCst)).saturating_sub(now)
    }

    /// Starts a fetch, or finds out that none is to be started. `seen` is the serial number of the
    /// keys that the request saw.
    pub(super) fn call(&self, source: &KeySource, need: Need, seen: u64, now: Duration) -> Course {
        let Some(seat) = self.seats.take(self.bounds.max_waiting) else {
            return match need {
                Need::Newer => Course::GoOn,
                Need::Any | Need::Unknown => {
                    let reason = Some(KeysError::Busy);
                    Course::Unavailable(Absence { pause: FIRST_PAUSE, reason })
                }
            };
        };
        // Declared before the lock, so that it is dropped after it.
        let _given_up;
        let mut state = self.state.lock();
        // Between its look at the keys and this lock, a fetch may have ended.
        if source.shared.serial() != seen {
            return Course::LookAgain;
        }
        _given_up = match self.board(&mut state, now) {
            Ok(flight) => {
                drop(state);
                return match need {
                    // One request waits for newer keys, and it is another.
                    Need::Newer if !flight.is_deserted() => Course::GoOn,
                    Need::Any | Need::Newer | Need::Unknown => Course::Wait(flight.wait(seat)),
                };
            }
            Err(given_up) => given_up,
        };
        match need {
            Need::Any if !self.is_due(now) => {
                let reason = state.failing;
                return Course::Unavailable(Absence { pause: self.pause(now), reason });
            }
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
        Course::Wait(self.depart(source, &mut state, seat, now))
    }

    /// Starts a fetch whatever the pauses say, or joins one. `None` when too many wait.
    pub(super) fn fetch_at_once(
        &self,
        source: &KeySource,
        now: Duration,
    ) -> Option<Waiter<Fetched>> {
        let seat = self.seats.take(self.bounds.max_waiting)?;
        let _given_up;
        let mut state = self.state.lock();
        _given_up = match self.board(&mut state, now) {
            Ok(flight) => {
                drop(state);
                return Some(flight.wait(seat));
            }
            Err(given_up) => given_up,
        };
        Some(self.depart(source, &mut state, seat, now))
    }

    /// The fetch that is under way. One that those who waited have left is gone on with while its
    /// answer can still be in time; after that it is given up, and counts for nothing: whoever hangs
    /// up must not keep the others from keys.
    fn board(
        &self,
        state: &mut State,
        now: Duration,
    ) -> Result<UnderWay<Fetched>, Departure<Fetched>> {
        let Some(flight) = state.departure.under_way() else { return Err(Departure::default()) };
        let age = now.saturating_sub(state.departed);
        if age < self.bounds.patience || !flight.is_deserted() {
            return Ok(flight);
        }
        state.asked_for_unknown = None;
        self.due.store(0, SeqCst);
        Err(state.departure.give_up())
    }

    /// Starts the fetch, which swaps in what it brings: once, whoever polls it to its end.
    fn depart(
        &self,
        source: &KeySource,
        state: &mut State,
        seat: Seat,
        now: Duration,
    ) -> Waiter<Fetched> {
        // Should the client panic, the next one waits as if it had failed.
        self.postpone(source, state.failures.saturating_add(1), now);
        state.departed = now;
        let fetch = (self.fetch)();
        // Weak, because the source keeps the flight.
        let (shared, clock) = (Arc::downgrade(&source.shared), source.clock.clone());
        let flight = Box::pin(async move {
            let fetched = fetch.await;
            let Some(shared) = shared.upgrade() else { return Ok(()) };
            let source = KeySource { shared, clock };
            source.remote().map_or(Ok(()), |remote| remote.land(&source, fetched))
        });
        state.departure.start(flight, seat)
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
        let fetched = fetched.and_then(|keys| {
            let count = keys.count();
            source.shared.take(keys, now).map(|changed| (count, changed))
        });
        let mut state = self.state.lock();
        match fetched {
            Ok((count, changed)) => {
                self.due.store(nanos(now.saturating_add(self.bounds.max_age)), SeqCst);
                state.failures = 0;
                let recovered = state.failing.take();
                drop(state);
                if recovered.is_some() {
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
                let before = state.failing.replace(reason);
                drop(state);
                match before {
                    Some(before) if before == reason => {}
                    _ if reason.is_of_response() => {
                        tracing::warn!(host = %self.host, %reason, "the fetched keys cannot be used");
                    }
                    _ => tracing::warn!(host = %self.host, %reason, "the keys cannot be fetched"),
                }
                Err(reason)
            }
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
            patience: SECOND * 3,
        };
        let source = KeySource::new(Origin::Remote(Remote::new(fetch, bounds, "host".into())));
        let key =
            r#"{"kty":"OKP","crv":"Ed25519","x":"TAo6xk3SGOoph6-GLFvz3PwbcPWC3eB3X-d9LG1dBqI"}"#;
        let keys = Keys::from_jwks(format!(r#"{{"keys":[{key}]}}"#)).unwrap();
        source.shared.take(keys, Duration::ZERO).unwrap();
        source
    }

    #[test]
    fn a_fetch_that_was_left_is_gone_on_with_and_then_given_up() {
        let source = source();
        let Origin::Remote(remote) = &source.shared.origin else { panic!() };
        for need in [Need::Newer, Need::Unknown] {
            let (call, now) = (|now| source.call(need, 1, now), SECOND * 60);
            let departed = || remote.state.lock().departed;
            // It starts one and leaves: the next goes on with the same one, and leaves as well.
            assert!(matches!(call(now), Course::Wait(_)));
            assert!(matches!(call(now + SECOND * 2), Course::Wait(_)));
            assert_eq!(departed(), now);
            // No answer can be in time any more: a new one, whatever pauses and cool-downs say.
            let waiting = call(now + SECOND * 3);
            assert!(matches!(waiting, Course::Wait(_)));
            assert_eq!(departed(), now + SECOND * 3);
            // As long as someone waits, it is never given up.
            assert!(matches!(call(now + SECOND * 9), Course::GoOn | Course::Wait(_)));
            assert_eq!(departed(), now + SECOND * 3);
            drop(remote.state.lock().departure.give_up());
            remote.due.store(0, SeqCst);
        }
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
        for need in [Need::Any, Need::Unknown] {
            let Course::Unavailable(absence) = call(need) else { panic!() };
            assert_eq!(absence, Absence { pause: SECOND, reason: Some(KeysError::Busy) });
        }
    }
}
