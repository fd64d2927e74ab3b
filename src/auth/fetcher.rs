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
    shared_future::{BoxFuture, FetchSlot, WaitPermit, WaitPermits, InProgress, Waiter},
    key_set::Keys,
    nanos,
    source::{KeySource, KeySnapshot},
};
use crate::lock::Lock;

/// The wait after a failure, doubled with each one that follows, up to the longest.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// What a fetch ends with, for those who wait. The keys themselves are swapped in by then.
pub(super) type FetchResult = Result<(), KeysError>;

/// Asks the server for the keys, once.
pub(super) type FetchKeys = Box<dyn Fn() -> BoxFuture<Result<Keys, KeysError>> + Send + Sync>;

/// How old, how often, how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct FetchBounds {
    pub(super) max_age: Duration,
    pub(super) max_stale_age: Duration,
    pub(super) cool_down: Duration,
    pub(super) max_waiting: usize,
    /// From what age a fetch that nobody waits for is no longer worth going on with.
    pub(super) abandon_after: Duration,
}

pub(super) struct KeyFetcher {
    fetch: FetchKeys,
    bounds: FetchBounds,
    /// The server, for logs.
    host: Box<str>,
    /// When the next fetch may start that no unverified token asks for, in nanoseconds.
    due: AtomicU64,
    wait_permits: WaitPermits,
    state: Lock<FetchState>,
}

#[derive(Default)]
struct FetchState {
    slot: FetchSlot<FetchResult>,
    started_at: Duration,
    failures: u32,
    /// Why the last fetch brought nothing.
    last_error: Option<KeysError>,
    /// When a fetch was last started for a token that no key verified.
    last_unverified_fetch: Option<Duration>,
}

/// Why a request asks for a fetch.
#[derive(Clone, Copy)]
pub(super) enum FetchReason {
    /// There are no keys.
    NoKeys,
    /// They are due.
    KeysAged,
    /// None of them verifies the token: its key is not there, or was renewed under the same name.
    NotVerified,
}

/// What the request then does.
pub(super) enum FetchDecision {
    Wait(Waiter<FetchResult>),
    /// There are others than it saw.
    KeysChanged,
    /// Goes on with what there is.
    Proceed,
    /// Comes back later.
    Unavailable(KeysUnavailable),
}

/// Why there are no keys.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct KeysUnavailable {
    /// How long until they may be asked for again.
    pub(super) retry_after: Duration,
    /// How the last fetch failed, if one has.
    pub(super) reason: Option<KeysError>,
}

impl KeyFetcher {
    pub(super) fn new(fetch: FetchKeys, bounds: FetchBounds, host: Box<str>) -> Self {
        Self {
            fetch,
            bounds,
            host,
            due: AtomicU64::new(0),
            wait_permits: WaitPermits::default(),
            state: Lock::default(),
        }
    }

    /// Whether these keys may be used, and whether someone should ask for newer ones.
    pub(super) fn usable_and_due(&self, snapshot: &KeySnapshot, now: Duration) -> (bool, bool) {
        let age = now.saturating_sub(snapshot.fetched_at);
        (age < self.bounds.max_stale_age, self.is_due(now))
    }

    fn is_due(&self, now: Duration) -> bool {
        nanos(now) >= self.due.load(SeqCst)
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Why there are no keys, and how long until they may be asked for again.
    pub(super) fn unavailable(&self, now: Duration) -> KeysUnavailable {
        let reason = self.state.lock().last_error;
        KeysUnavailable { retry_after: self.retry_after(now), reason }
    }

    fn retry_after(&self, now: Duration) -> Duration {
        Duration::from_nanos(self.due.load(SeqCst)).saturating_sub(now)
    }

    /// Starts a fetch, or finds out that none is to be started. `seen` is the serial number of the
    /// keys that the request saw.
    pub(super) fn request_fetch(&self, source: &KeySource, reason: FetchReason, seen: u64, now: Duration) -> FetchDecision {
        let Some(permit) = self.wait_permits.acquire(self.bounds.max_waiting) else {
            return match reason {
                FetchReason::KeysAged => FetchDecision::Proceed,
                FetchReason::NoKeys | FetchReason::NotVerified => {
                    let reason = Some(KeysError::Busy);
                    FetchDecision::Unavailable(KeysUnavailable { retry_after: FIRST_RETRY_DELAY, reason })
                }
            };
        };
        // Declared before the lock, so that it is dropped after it.
        let _given_up;
        let mut state = self.state.lock();
        // Between its look at the keys and this lock, a fetch may have ended.
        if source.shared.fetch_number() != seen {
            return FetchDecision::KeysChanged;
        }
        _given_up = match self.join_fetch(&mut state, now) {
            Ok(in_progress) => {
                drop(state);
                return match reason {
                    // One request waits for newer keys, and it is another.
                    FetchReason::KeysAged if !in_progress.has_no_waiters() => FetchDecision::Proceed,
                    FetchReason::NoKeys | FetchReason::KeysAged | FetchReason::NotVerified => FetchDecision::Wait(in_progress.wait(permit)),
                };
            }
            Err(abandoned) => abandoned,
        };
        match reason {
            FetchReason::NoKeys if !self.is_due(now) => {
                let reason = state.last_error;
                return FetchDecision::Unavailable(KeysUnavailable { retry_after: self.retry_after(now), reason });
            }
            FetchReason::KeysAged if !self.is_due(now) => return FetchDecision::Proceed,
            FetchReason::NotVerified => {
                let last = state.last_unverified_fetch;
                if last.is_some_and(|last| now.saturating_sub(last) < self.bounds.cool_down) {
                    return FetchDecision::Proceed;
                }
                // Taken before the fetch, so that one that fails counts.
                state.last_unverified_fetch = Some(now);
            }
            FetchReason::NoKeys | FetchReason::KeysAged => {}
        }
        FetchDecision::Wait(self.start_fetch(source, &mut state, permit, now))
    }

    /// Starts a fetch whatever the pauses say, or joins one. `None` when too many wait.
    pub(super) fn fetch_now(
        &self,
        source: &KeySource,
        now: Duration,
    ) -> Option<Waiter<FetchResult>> {
        let permit = self.wait_permits.acquire(self.bounds.max_waiting)?;
        let _given_up;
        let mut state = self.state.lock();
        _given_up = match self.join_fetch(&mut state, now) {
            Ok(in_progress) => {
                drop(state);
                return Some(in_progress.wait(permit));
            }
            Err(abandoned) => abandoned,
        };
        Some(self.start_fetch(source, &mut state, permit, now))
    }

    /// The fetch that is under way. One that those who waited have left is gone on with while its
    /// answer can still be in time; after that it is given up, and counts for nothing: whoever hangs
    /// up must not keep the others from keys.
    fn join_fetch(
        &self,
        state: &mut FetchState,
        now: Duration,
    ) -> Result<InProgress<FetchResult>, FetchSlot<FetchResult>> {
        let Some(in_progress) = state.slot.in_progress() else { return Err(FetchSlot::default()) };
        let age = now.saturating_sub(state.started_at);
        if age < self.bounds.abandon_after || !in_progress.has_no_waiters() {
            return Ok(in_progress);
        }
        state.last_unverified_fetch = None;
        self.due.store(0, SeqCst);
        Err(state.slot.abandon())
    }

    /// Starts the fetch, which swaps in what it brings: once, whoever polls it to its end.
    fn start_fetch(
        &self,
        source: &KeySource,
        state: &mut FetchState,
        permit: WaitPermit,
        now: Duration,
    ) -> Waiter<FetchResult> {
        // Should the client panic, the next one waits as if it had failed.
        self.delay_next_fetch(source, state.failures.saturating_add(1), now);
        state.started_at = now;
        let fetch = (self.fetch)();
        // Weak, because the source keeps the in_progress.
        let (shared, clock) = (Arc::downgrade(&source.shared), source.clock.clone());
        let in_progress = Box::pin(async move {
            let fetched = fetch.await;
            let Some(shared) = shared.upgrade() else { return Ok(()) };
            let source = KeySource { shared, clock };
            source.remote().map_or(Ok(()), |remote| remote.complete(&source, fetched))
        });
        state.slot.start(in_progress, permit)
    }

    /// Sets when to ask next, after `failures` in a row: not before the keys are of age.
    fn delay_next_fetch(&self, source: &KeySource, failures: u32, now: Duration) {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let retry_after = FIRST_RETRY_DELAY.saturating_mul(doubled).min(MAX_RETRY_DELAY);
        let of_age = source
            .shared
            .fetched_at()
            .map_or(Duration::ZERO, |at| at.saturating_add(self.bounds.max_age));
        self.due.store(nanos(now.saturating_add(retry_after).max(of_age)), SeqCst);
    }

    /// Takes what a fetch brought.
    fn complete(&self, source: &KeySource, fetched: Result<Keys, KeysError>) -> FetchResult {
        let now = source.clock.monotonic();
        let fetched = fetched.and_then(|keys| {
            let count = keys.count();
            source.shared.accept(keys, now).map(|changed| (count, changed))
        });
        let mut state = self.state.lock();
        match fetched {
            Ok((count, changed)) => {
                self.due.store(nanos(now.saturating_add(self.bounds.max_age)), SeqCst);
                state.failures = 0;
                let recovered = state.last_error.take();
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
                self.delay_next_fetch(source, state.failures, now);
                let before = state.last_error.replace(reason);
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
    use crate::auth::source::SourceKind;

    const SECOND: Duration = Duration::from_secs(1);

    /// Keys of number one, fetched at zero, due after a minute, from a server that is away.
    fn source() -> KeySource {
        let fetch = Box::new(|| Box::pin(async { Err(KeysError::Unreachable) }) as BoxFuture<_>);
        let bounds = FetchBounds {
            max_age: SECOND * 60,
            max_stale_age: SECOND * 3_600,
            cool_down: SECOND * 30,
            max_waiting: 2,
            abandon_after: SECOND * 3,
        };
        let source = KeySource::new(SourceKind::Remote(KeyFetcher::new(fetch, bounds, "host".into())));
        let key =
            r#"{"kty":"OKP","crv":"Ed25519","x":"TAo6xk3SGOoph6-GLFvz3PwbcPWC3eB3X-d9LG1dBqI"}"#;
        let keys = Keys::from_jwks(format!(r#"{{"keys":[{key}]}}"#)).unwrap();
        source.shared.accept(keys, Duration::ZERO).unwrap();
        source
    }

    #[test]
    fn a_fetch_that_was_left_is_gone_on_with_and_then_given_up() {
        let source = source();
        let SourceKind::Remote(remote) = &source.shared.origin else { panic!() };
        for reason in [FetchReason::KeysAged, FetchReason::NotVerified] {
            let (call, now) = (|now| source.request_fetch(reason, 1, now), SECOND * 60);
            let started_at = || remote.state.lock().started_at;
            // It starts one and leaves: the next goes on with the same one, and leaves as well.
            assert!(matches!(call(now), FetchDecision::Wait(_)));
            assert!(matches!(call(now + SECOND * 2), FetchDecision::Wait(_)));
            assert_eq!(started_at(), now);
            // No answer can be in time any more: a new one, whatever pauses and cool-downs say.
            let waiting = call(now + SECOND * 3);
            assert!(matches!(waiting, FetchDecision::Wait(_)));
            assert_eq!(started_at(), now + SECOND * 3);
            // As long as someone waits, it is never given up.
            assert!(matches!(call(now + SECOND * 9), FetchDecision::Proceed | FetchDecision::Wait(_)));
            assert_eq!(started_at(), now + SECOND * 3);
            drop(remote.state.lock().slot.abandon());
            remote.due.store(0, SeqCst);
        }
    }

    #[test]
    fn one_who_saw_other_keys_looks_again() {
        let source = source();
        for reason in [FetchReason::NoKeys, FetchReason::KeysAged, FetchReason::NotVerified] {
            assert!(matches!(source.request_fetch(reason, 0, SECOND * 60), FetchDecision::KeysChanged));
        }
    }

    #[test]
    fn one_too_many_goes_on_if_it_can() {
        let source = source();
        let call = |reason| source.request_fetch(reason, 1, SECOND * 60);
        let (one, two) = (call(FetchReason::NotVerified), call(FetchReason::NotVerified));
        assert!(matches!((&one, &two), (FetchDecision::Wait(_), FetchDecision::Wait(_))));
        assert!(matches!(call(FetchReason::KeysAged), FetchDecision::Proceed));
        for reason in [FetchReason::NoKeys, FetchReason::NotVerified] {
            let FetchDecision::Unavailable(unavailable) = call(reason) else { panic!() };
            assert_eq!(unavailable, KeysUnavailable { retry_after: SECOND, reason: Some(KeysError::Busy) });
        }
    }
}
