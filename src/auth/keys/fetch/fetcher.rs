//! Decides when keys are fetched and which requests wait for them.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use crate::{
    auth::keys::{
        error::{KeysError, KeysFault, KeysUnavailable},
        key_set::Keys,
        store::{KeySnapshot, KeyStore, Load, Validator},
    },
    clock::SharedClock,
    fetch::{BoxFuture, Deadline, FetchSlot, InProgress, WaitPermit, WaitPermits, Waiter},
    lock::Lock,
    owned_task::Task,
};

/// The delay after a failed fetch. Each further failure doubles it up to the maximum.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// The result that waiters receive. The store has the new keys by then.
pub(crate) type FetchResult = Result<(), KeysError>;

/// Fetches the keys once. Receives the validator of the present keys.
type FetchKeys =
    Box<dyn Fn(Option<Validator>) -> BoxFuture<Result<Fetched, KeysError>> + Send + Sync>;

/// The keys of one fetch.
pub(crate) struct Fetched {
    /// `None` if the present keys are still the server's.
    pub(crate) keys: Option<Keys>,
    pub(crate) lifetime: Duration,
    pub(crate) validator: Option<Validator>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchBounds {
    pub(crate) max_stale_age: Duration,
    pub(crate) cool_down: Duration,
    pub(crate) max_waiting: usize,
    /// The age at which a fetch without waiters is replaced by a new one.
    pub(crate) abandon_after: Duration,
}

pub(crate) struct KeyFetcher {
    fetch: FetchKeys,
    bounds: FetchBounds,
    store: KeyStore,
    /// The start of the next fetch. Fetches for unverified tokens ignore it.
    next_fetch: Deadline,
    wait_permits: WaitPermits,
    state: Lock<FetchState>,
    /// Polls a fetch for aged keys, so that no request waits for it. It ends with the fetch and with
    /// this value.
    task: Task,
}

#[derive(Default)]
struct FetchState {
    slot: FetchSlot<FetchResult>,
    started_at: Duration,
    /// Consecutive failures.
    failures: u32,
    all_failures: u64,
    /// The error of the last fetch. `None` after a success.
    last_error: Option<KeysError>,
    /// The start of the last fetch for an unverified token.
    last_unverified_fetch: Option<Duration>,
}

/// Why a request needs a fetch.
#[derive(Clone, Copy)]
pub(crate) enum FetchReason {
    /// The source has no usable keys.
    NoKeys,
    /// The keys exceed their lifetime. The request does not wait.
    KeysAged,
    /// No key verifies the token. Its key is new or was replaced under the same `kid`.
    NotVerified,
}

/// The next step of the request.
pub(crate) enum FetchDecision {
    /// Waits for the fetch.
    Wait(Waiter<FetchResult>),
    /// Starts over, because the keys changed since the request read them.
    KeysChanged,
    /// Uses the keys that it has.
    Proceed,
    /// Is rejected.
    Unavailable(KeysUnavailable),
}

impl KeyFetcher {
    pub(crate) fn new(
        fetch: impl Fn(Option<Validator>) -> BoxFuture<Result<Fetched, KeysError>>
        + Send
        + Sync
        + 'static,
        bounds: FetchBounds,
        host: &str,
    ) -> Self {
        Self {
            fetch: Box::new(fetch),
            bounds,
            store: KeyStore::new(host),
            next_fetch: Deadline::default(),
            wait_permits: WaitPermits::default(),
            state: Lock::default(),
            task: Task::default(),
        }
    }

    pub(crate) const fn store(&self) -> &KeyStore {
        &self.store
    }

    /// Returns how many fetches failed.
    pub(crate) fn failures(&self) -> u64 {
        self.state.lock().all_failures
    }

    /// Returns false if the keys exceed `max_stale_age`.
    pub(crate) fn is_usable(&self, snapshot: &KeySnapshot, now: Duration) -> bool {
        now.saturating_sub(snapshot.load.at) < self.bounds.max_stale_age
    }

    /// Returns true if the keys exceed their lifetime and the delay after a failure has passed.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.next_fetch.has_passed(now)
    }

    pub(crate) fn unavailable(&self, now: Duration) -> KeysUnavailable {
        let cause = self.state.lock().last_error.clone();
        KeysUnavailable { retry_after: self.next_fetch.remaining(now), cause }
    }

    /// Starts a fetch or joins the current one if `reason` requires it. `seen` is the load number
    /// of the keys that the request read.
    pub(crate) fn request_fetch(
        self: &Arc<Self>,
        clock: &SharedClock,
        reason: FetchReason,
        seen: u64,
        now: Duration,
    ) -> FetchDecision {
        let Some(permit) = self.wait_permits.acquire(self.bounds.max_waiting) else {
            return match reason {
                FetchReason::KeysAged => FetchDecision::Proceed,
                FetchReason::NoKeys | FetchReason::NotVerified => {
                    let cause = Some(KeysFault::Busy.at(self.store.name()));
                    let retry_after = FIRST_RETRY_DELAY;
                    FetchDecision::Unavailable(KeysUnavailable { retry_after, cause })
                }
            };
        };
        // Declared before the lock, so that it is dropped after the lock.
        let _abandoned;
        let mut state = self.state.lock();
        // A fetch may have finished after the request read the keys.
        if self.store.load_number() != seen {
            return FetchDecision::KeysChanged;
        }
        _abandoned = match self.current_fetch(&mut state, now) {
            Ok(fetch) => {
                // The task or another request already polls the fetch.
                if matches!(reason, FetchReason::KeysAged) && !fetch.has_no_waiters() {
                    return FetchDecision::Proceed;
                }
                // Waits before the lock ends. Else another request could abandon the fetch, and both
                // fetches would replace the keys.
                let waiter = fetch.wait(permit);
                drop(state);
                return match reason {
                    FetchReason::KeysAged => self.poll_in_task(waiter),
                    FetchReason::NoKeys | FetchReason::NotVerified => FetchDecision::Wait(waiter),
                };
            }
            Err(abandoned) => abandoned,
        };
        match reason {
            FetchReason::NoKeys if !self.is_due(now) => {
                let cause = state.last_error.clone();
                let retry_after = self.next_fetch.remaining(now);
                return FetchDecision::Unavailable(KeysUnavailable { retry_after, cause });
            }
            FetchReason::KeysAged if !self.is_due(now) => return FetchDecision::Proceed,
            FetchReason::NotVerified => {
                let last = state.last_unverified_fetch;
                if last.is_some_and(|last| now.saturating_sub(last) < self.bounds.cool_down) {
                    return FetchDecision::Proceed;
                }
                // Set before the fetch, so that a failed fetch counts.
                state.last_unverified_fetch = Some(now);
            }
            FetchReason::NoKeys | FetchReason::KeysAged => {}
        }
        let waiter = self.start_fetch(clock, &mut state, permit, now);
        drop(state);
        match reason {
            FetchReason::KeysAged => self.poll_in_task(waiter),
            FetchReason::NoKeys | FetchReason::NotVerified => FetchDecision::Wait(waiter),
        }
    }

    /// Lets the task poll the fetch. The request waits for it outside of a runtime, where there are
    /// no tasks.
    ///
    /// The task is one more waiter. If its runtime ends then the next request continues the fetch.
    fn poll_in_task(&self, waiter: Waiter<FetchResult>) -> FetchDecision {
        if Handle::try_current().is_err() {
            return FetchDecision::Wait(waiter);
        }
        self.task.keep(|| async move {
            // The log has the result.
            let _result = waiter.await;
        });
        FetchDecision::Proceed
    }

    /// Starts a fetch without regard to delays or joins the current one. Returns `None` if too many
    /// requests wait.
    pub(crate) fn fetch_now(
        self: &Arc<Self>,
        clock: &SharedClock,
        now: Duration,
    ) -> Option<Waiter<FetchResult>> {
        let permit = self.wait_permits.acquire(self.bounds.max_waiting)?;
        let _abandoned;
        let mut state = self.state.lock();
        _abandoned = match self.current_fetch(&mut state, now) {
            Ok(fetch) => return Some(fetch.wait(permit)),
            Err(abandoned) => abandoned,
        };
        Some(self.start_fetch(clock, &mut state, permit, now))
    }

    /// Returns how long to wait before keys are fetched ahead of need. `part` is a part of the time
    /// until they age, from 0 to 1.
    pub(crate) fn pause_ahead(&self, now: Duration, part: f64) -> Duration {
        match self.state.lock().failures {
            0 => self.next_fetch.remaining(now).mul_f64(part),
            // The delay after a failure is a minimum.
            failures => retry_delay(failures).mul_f64(2.0 - part),
        }
    }

    /// Returns the current fetch. A fetch without waiters continues while its response can still
    /// arrive in time. After that the fetcher abandons it and resets the delays. A client that
    /// disconnects therefore cannot keep other clients from the keys.
    ///
    /// The error is an abandoned fetch or an empty slot. The caller drops it outside of the lock.
    fn current_fetch(
        &self,
        state: &mut FetchState,
        now: Duration,
    ) -> Result<InProgress<FetchResult>, FetchSlot<FetchResult>> {
        let Some(fetch) = state.slot.in_progress() else { return Err(FetchSlot::default()) };
        let age = now.saturating_sub(state.started_at);
        if age < self.bounds.abandon_after || !fetch.has_no_waiters() {
            return Ok(fetch);
        }
        state.last_unverified_fetch = None;
        self.next_fetch.set(Duration::ZERO);
        Err(state.slot.abandon())
    }

    fn start_fetch(
        self: &Arc<Self>,
        clock: &SharedClock,
        state: &mut FetchState,
        permit: WaitPermit,
        now: Duration,
    ) -> Waiter<FetchResult> {
        // If the client panics then the next fetch waits as after a failure.
        self.delay_next_fetch(state.failures.saturating_add(1), now);
        state.started_at = now;
        let known = self.store.load().as_ref().and_then(|keys| keys.load.validator.clone());
        let fetch = (self.fetch)(known);
        // Weak, because the fetcher owns the slot that owns this future.
        let (fetcher, clock) = (Arc::downgrade(self), clock.clone());
        let future = Box::pin(async move {
            let fetched = fetch.await;
            fetcher.upgrade().map_or(Ok(()), |fetcher| fetcher.complete(&clock, fetched))
        });
        state.slot.start(future, permit)
    }

    /// Sets the start of the next fetch after `failures` consecutive failures. It is never before
    /// the keys age.
    fn delay_next_fetch(&self, failures: u32, now: Duration) {
        let delay = retry_delay(failures);
        let aged_at = self.store.load().as_ref().map(|keys| keys.load.aged_at());
        self.next_fetch.set(now.saturating_add(delay).max(aged_at.unwrap_or_default()));
    }

    /// Stores the fetched keys and logs a change of state.
    fn complete(&self, clock: &SharedClock, fetched: Result<Fetched, KeysError>) -> FetchResult {
        let now = clock.monotonic();
        let host = self.store.name();
        let stored = fetched.and_then(|Fetched { keys, lifetime, validator }| {
            let present = || self.store.load().as_ref().map(|snapshot| snapshot.keys.clone());
            // A server says that nothing changed only to a request that named the present keys.
            let keys = keys.or_else(present).ok_or_else(|| KeysFault::Status(304).at(host))?;
            let count = keys.count();
            let load = Load { at: now, lifetime, validator };
            let replaced = self.store.replace(keys, load).map_err(|fault| fault.at(host));
            replaced.map(|changed| (count, changed, lifetime))
        });
        let mut state = self.state.lock();
        match stored {
            Ok((count, changed, lifetime)) => {
                self.next_fetch.set(now.saturating_add(lifetime));
                state.failures = 0;
                let recovered = state.last_error.take().is_some();
                drop(state);
                if recovered {
                    tracing::info!(%host, "keys can be fetched again");
                }
                if changed {
                    tracing::info!(%host, keys = count, "keys changed");
                }
                Ok(())
            }
            Err(reason) => {
                state.failures = state.failures.saturating_add(1);
                state.all_failures += 1;
                self.delay_next_fetch(state.failures, now);
                let previous = state.last_error.replace(reason.clone());
                drop(state);
                if previous.as_ref() != Some(&reason) {
                    if reason.is_bad_response() {
                        tracing::warn!(%host, %reason, "cannot use the fetched keys");
                    } else {
                        tracing::warn!(%host, %reason, "cannot fetch keys");
                    }
                }
                Err(reason)
            }
        }
    }
}

/// Returns the delay after `failures` consecutive failures.
fn retry_delay(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_RETRY_DELAY.saturating_mul(doubled).min(MAX_RETRY_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A fetcher whose server is unreachable. It has keys of load 1 from time zero. They age after
    /// a minute.
    fn fetcher() -> Arc<KeyFetcher> {
        let fetch =
            |_| Box::pin(async { Err(KeysFault::Unreachable(None).into()) }) as BoxFuture<_>;
        let bounds = FetchBounds {
            max_stale_age: SECOND * 3_600,
            cool_down: SECOND * 30,
            max_waiting: 2,
            abandon_after: SECOND * 3,
        };
        let fetcher = KeyFetcher::new(fetch, bounds, "host");
        let key =
            r#"{"kty":"OKP","crv":"Ed25519","x":"TAo6xk3SGOoph6-GLFvz3PwbcPWC3eB3X-d9LG1dBqI"}"#;
        let keys = Keys::from_jwks(format!(r#"{{"keys":[{key}]}}"#)).unwrap();
        let load = Load { at: Duration::ZERO, lifetime: SECOND * 60, validator: None };
        fetcher.store.replace(keys, load).unwrap();
        Arc::new(fetcher)
    }

    fn request(
        fetcher: &Arc<KeyFetcher>,
        reason: FetchReason,
        seen: u64,
        now: Duration,
    ) -> FetchDecision {
        fetcher.request_fetch(&SharedClock::default(), reason, seen, now)
    }

    #[test]
    fn fetch_without_waiters_continues_and_is_then_abandoned() {
        let fetcher = fetcher();
        for reason in [FetchReason::KeysAged, FetchReason::NotVerified] {
            let (request, now) = (|now| request(&fetcher, reason, 1, now), SECOND * 60);
            let started_at = || fetcher.state.lock().started_at;
            // The first waiter is dropped. The second one joins the same fetch and is dropped too.
            assert!(matches!(request(now), FetchDecision::Wait(_)));
            assert!(matches!(request(now + SECOND * 2), FetchDecision::Wait(_)));
            assert_eq!(started_at(), now);
            // The response can no longer arrive in time. A new fetch starts despite all delays.
            let waiting = request(now + SECOND * 3);
            assert!(matches!(waiting, FetchDecision::Wait(_)));
            assert_eq!(started_at(), now + SECOND * 3);
            // A fetch with a waiter is never abandoned.
            let joined = request(now + SECOND * 9);
            assert!(matches!(joined, FetchDecision::Proceed | FetchDecision::Wait(_)));
            assert_eq!(started_at(), now + SECOND * 3);
            drop(fetcher.state.lock().slot.abandon());
            fetcher.next_fetch.set(Duration::ZERO);
        }
    }

    #[test]
    fn request_that_read_older_keys_starts_over() {
        let fetcher = fetcher();
        for reason in [FetchReason::NoKeys, FetchReason::KeysAged, FetchReason::NotVerified] {
            let decision = request(&fetcher, reason, 0, SECOND * 60);
            assert!(matches!(decision, FetchDecision::KeysChanged));
        }
    }

    #[test]
    fn request_beyond_the_wait_limit_proceeds_only_with_usable_keys() {
        let fetcher = fetcher();
        let request = |reason| request(&fetcher, reason, 1, SECOND * 60);
        let waiting = (request(FetchReason::NotVerified), request(FetchReason::NotVerified));
        assert!(matches!(waiting, (FetchDecision::Wait(_), FetchDecision::Wait(_))));
        assert!(matches!(request(FetchReason::KeysAged), FetchDecision::Proceed));
        for reason in [FetchReason::NoKeys, FetchReason::NotVerified] {
            let FetchDecision::Unavailable(unavailable) = request(reason) else { panic!() };
            let (retry_after, cause) = (SECOND, Some(KeysFault::Busy.at("host")));
            assert_eq!(unavailable, KeysUnavailable { retry_after, cause });
        }
    }
}
