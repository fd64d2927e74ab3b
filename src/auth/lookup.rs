//! Results of asynchronous look-ups: introspection, a user's own method, a store of keys.
//!
//! A look-up is shared by all requests with its credential. Its result is used until its time to live
//! has passed. A result for a failure has a time to live too. Otherwise all waiting requests would
//! repeat the failing look-up one after another.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use aws_lc_rs::{
    hmac::{self, HMAC_SHA256},
    rand,
};
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};

use crate::{clock::SharedClock, once_a_minute::OnceAMinute};

/// The bytes of an entry in the table, beside its result.
const ENTRY_OVERHEAD: u64 = 192;

/// How long a failure is remembered, so that waiting requests do not repeat it one by one.
pub(super) const FAILURE_TTL: Duration = Duration::from_secs(1);

/// A keyed digest that names a credential in memory. The credential cannot be read from it.
pub(super) type CredentialDigest = [u8; 32];

/// The bounds of a cache of results.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookupBounds {
    pub(super) max_cache_bytes: u64,
    /// The requests that wait for a look-up at the same time.
    pub(super) max_waiting: usize,
    /// The setter of `max_waiting`, for the log.
    pub(super) setter: &'static str,
}

/// A result and how long it is used.
pub(super) struct Found<T> {
    pub(super) value: T,
    /// Zero is for the requests that wait for it now. `None` is for the one that made the look-up.
    pub(super) ttl: Option<Duration>,
}

pub(super) struct LookupCache<T> {
    results: Cache<CredentialDigest, Stored<T>, ResultWeighter>,
    key: hmac::Key,
    waiting: AtomicUsize,
    max_waiting: usize,
    setter: &'static str,
    busy: OnceAMinute,
    /// The number of look-ups that have ended.
    ended: AtomicU64,
}

#[derive(Clone)]
struct Stored<T> {
    value: T,
    until: Duration,
    /// The number of the look-up.
    number: u64,
    memory: usize,
}

impl<T: Clone + Send + Sync + 'static> LookupCache<T> {
    pub(super) fn new(bounds: LookupBounds) -> Self {
        let capacity = usize::try_from(bounds.max_cache_bytes / 512).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(capacity.clamp(32, 1 << 20))
            .weight_capacity(bounds.max_cache_bytes)
            .shards(4)
            .build();
        let results = match options {
            Ok(options) => {
                Cache::with_options(options, ResultWeighter, Default::default(), Default::default())
            }
            // Unreachable, because both required capacities are set.
            Err(_) => Cache::with_weighter(32, bounds.max_cache_bytes, ResultWeighter),
        };
        let mut secret = [0; 32];
        // Without randomness of the system nothing can be verified. The key then only hides less.
        let _unavailable = rand::fill(&mut secret);
        Self {
            results,
            key: hmac::Key::new(HMAC_SHA256, &secret),
            waiting: AtomicUsize::new(0),
            max_waiting: bounds.max_waiting,
            setter: bounds.setter,
            busy: OnceAMinute::default(),
            ended: AtomicU64::new(0),
        }
    }

    pub(super) fn digest(&self, credential: &[u8]) -> CredentialDigest {
        let mut digest = [0; 32];
        digest.copy_from_slice(hmac::sign(&self.key, credential).as_ref());
        digest
    }

    /// Returns a result that is still in use.
    pub(super) fn get(&self, digest: &CredentialDigest, now: Duration) -> Option<T> {
        let stored = self.results.get(digest)?;
        (now < stored.until).then_some(stored.value)
    }

    /// Looks the credential up, or waits for the same look-up of another request. If that request
    /// leaves, a waiting one starts its own look-up. Returns `None` if too many requests wait.
    ///
    /// `memory` tells the bytes of the result.
    pub(super) fn look_up<F>(
        self: &Arc<Self>,
        digest: CredentialDigest,
        clock: SharedClock,
        look_up: F,
        memory: fn(&T) -> usize,
    ) -> Option<impl Future<Output = T> + Send + use<T, F>>
    where
        F: Future<Output = Found<T>> + Send,
    {
        let Some(permit) = WaitPermit::of(self) else {
            if self.busy.is_due(clock.monotonic()) {
                let (setter, bound) = (self.setter, self.max_waiting);
                tracing::warn!(setter, bound, "too many requests wait for a look-up");
            }
            return None;
        };
        let ended_before = self.ended.load(SeqCst);
        Some(async move {
            let results = &permit.0.results;
            loop {
                match results.get_value_or_guard_async(&digest).await {
                    // A result that arrived during the wait counts whatever its time to live.
                    Ok(stored) if stored.number > ended_before => return stored.value,
                    Ok(stored) if clock.monotonic() < stored.until => return stored.value,
                    Ok(_) => {
                        let now = clock.monotonic();
                        results.remove_if(&digest, |stored| now >= stored.until);
                    }
                    Err(guard) => {
                        let Found { value, ttl } = look_up.await;
                        // Dropping the guard lets the next request make its own look-up.
                        let Some(ttl) = ttl else { return value };
                        let memory = memory(&value);
                        let until = clock.monotonic().saturating_add(ttl);
                        let number = permit.0.ended.fetch_add(1, SeqCst) + 1;
                        let stored = Stored { value: value.clone(), until, number, memory };
                        let _full = guard.insert(stored);
                        return value;
                    }
                }
            }
        })
    }
}

/// Allows one request to wait. Dropping it returns the permit.
struct WaitPermit<T>(Arc<LookupCache<T>>);

impl<T> WaitPermit<T> {
    fn of(cache: &Arc<LookupCache<T>>) -> Option<Self> {
        let next = |used: usize| (used < cache.max_waiting).then_some(used + 1);
        cache.waiting.fetch_update(SeqCst, SeqCst, next).ok().map(|_| Self(Arc::clone(cache)))
    }
}

impl<T> Drop for WaitPermit<T> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

#[derive(Clone)]
struct ResultWeighter;

impl<T> Weighter<CredentialDigest, Stored<T>> for ResultWeighter {
    fn weight(&self, _digest: &CredentialDigest, stored: &Stored<T>) -> u64 {
        ENTRY_OVERHEAD.saturating_add(stored.memory as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn cache(max_waiting: usize) -> Arc<LookupCache<u32>> {
        Arc::new(LookupCache::new(LookupBounds {
            max_cache_bytes: 1 << 16,
            max_waiting,
            setter: "",
        }))
    }

    #[tokio::test]
    async fn requests_with_one_credential_share_a_look_up() {
        let (cache, calls) = (cache(10), Arc::new(AtomicU32::new(0)));
        let digest = cache.digest(b"one");
        let look_up = |ttl: Option<u64>| {
            let calls = Arc::clone(&calls);
            let look_up = async move {
                tokio::task::yield_now().await;
                Found { value: calls.fetch_add(1, SeqCst), ttl: ttl.map(Duration::from_secs) }
            };
            cache.look_up(digest, SharedClock::default(), look_up, |_| 0).unwrap()
        };
        let (one, two, three) =
            tokio::join!(look_up(Some(60)), look_up(Some(60)), look_up(Some(60)));
        assert_eq!((one, two, three), (0, 0, 0));
        assert_eq!(cache.get(&digest, Duration::ZERO), Some(0));
        assert_eq!(cache.get(&digest, Duration::MAX), None);
        assert_eq!(cache.waiting.load(SeqCst), 0);
    }

    #[tokio::test]
    async fn a_result_without_a_time_to_live_is_for_its_request_alone() {
        for (ttl, calls) in [(Some(Duration::ZERO), 1), (None, 3)] {
            let (cache, made, clock) = (cache(10), AtomicU32::new(0), SharedClock::default());
            let look_up = || {
                let found = async {
                    tokio::task::yield_now().await;
                    Found { value: made.fetch_add(1, SeqCst), ttl }
                };
                cache.look_up([0; 32], clock.clone(), found, |_| 0).unwrap()
            };
            tokio::join!(look_up(), look_up(), look_up());
            assert_eq!(made.load(SeqCst), calls);
            look_up().await;
            assert_eq!(made.load(SeqCst), calls + 1);
        }
    }

    #[tokio::test]
    async fn a_waiting_request_takes_over_from_one_that_leaves() {
        let cache = cache(10);
        let digest = cache.digest(b"one");
        let found = |value| async move { Found { value, ttl: Some(Duration::from_secs(60)) } };
        let never = cache.look_up(digest, SharedClock::default(), std::future::pending(), |_| 0);
        let mut never = Box::pin(never.unwrap());
        let other = cache.look_up(digest, SharedClock::default(), found(2), |_| 0).unwrap();
        let mut other = Box::pin(other);
        std::future::poll_fn(|cx| {
            assert!(never.as_mut().poll(cx).is_pending());
            assert!(other.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(never);
        assert_eq!(other.await, 2);
    }

    #[test]
    fn waiting_requests_are_bounded() {
        let cache = cache(2);
        let wait =
            || cache.look_up([0; 32], SharedClock::default(), std::future::pending(), |_: &u32| 0);
        let (one, two) = (wait(), wait());
        assert!(one.is_some() && two.is_some() && wait().is_none());
        drop(one);
        assert!(wait().is_some());
    }
}
