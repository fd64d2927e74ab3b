//! API keys from a store of the user.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, UNIX_EPOCH},
};

use tokio::sync::Notify;
use tower_inference::{
    auth::{
        ApiKey, ApiKeyDigest, ApiKeyLookup, ApiKeyRecord, ApiKeyStore, ApiKeyStoreError, ApiKeys,
        AuthLayer,
    },
    clock::FakeClock,
    rejection::Refusal,
};

use super::{
    api_keys::{KEY, allocations, try_key},
    fake_clock,
    issuer::NOW,
    seconds,
};

/// A table that counts its look-ups.
#[derive(Clone, Default)]
struct FakeStore(Arc<State>);

#[derive(Default)]
struct State {
    records: Mutex<BTreeMap<String, ApiKeyRecord>>,
    calls: AtomicUsize,
    mode: Mutex<Mode>,
    release: Notify,
}

#[derive(Clone, Copy, Default)]
enum Mode {
    #[default]
    Works,
    Fails,
    Hangs,
    /// Waits until the test releases the look-up.
    Waits,
}

impl FakeStore {
    fn with(record: ApiKeyRecord) -> Self {
        let store = Self::default();
        store.insert(KEY, record);
        store
    }

    fn insert(&self, key: &str, record: ApiKeyRecord) {
        let digest = ApiKey::new(key).unwrap().digest().to_string();
        self.0.records.lock().unwrap().insert(digest, record);
    }

    fn clear(&self) {
        self.0.records.lock().unwrap().clear();
    }

    fn set(&self, mode: Mode) {
        *self.0.mode.lock().unwrap() = mode;
    }

    fn calls(&self) -> usize {
        self.0.calls.load(SeqCst)
    }

    fn lookup(&self) -> ApiKeyLookup {
        ApiKeyLookup::new(self.clone())
    }
}

impl ApiKeyStore for FakeStore {
    async fn find(&self, digest: ApiKeyDigest) -> Result<Option<ApiKeyRecord>, ApiKeyStoreError> {
        self.0.calls.fetch_add(1, SeqCst);
        let mode = *self.0.mode.lock().unwrap();
        match mode {
            Mode::Works => {}
            Mode::Fails => return Err("the database is away".into()),
            Mode::Hangs => pending().await,
            Mode::Waits => self.0.release.notified().await,
        }
        Ok(self.0.records.lock().unwrap().get(&digest.to_string()).cloned())
    }
}

fn layer(lookup: impl Into<ApiKeyLookup>) -> (AuthLayer, FakeClock) {
    let clock = fake_clock();
    (AuthLayer::new(ApiKeys::store(lookup).clock(clock.shared())), clock)
}

#[tokio::test]
async fn a_record_is_used_again_until_it_ages() {
    let store = FakeStore::with(ApiKeyRecord::new("acme").tenant("t").plan("gold"));
    let (layer, clock) = layer(store.clone());
    let identity = try_key(&layer, KEY).await.identity.unwrap();
    assert_eq!((identity.tenant(), identity.plan()), (Some("t"), Some("gold")));
    let id = ApiKey::new(KEY).unwrap().digest().public_id();
    assert_eq!(identity.credential_id(), Some(&*id));
    // The key is deleted.
    store.clear();
    clock.advance(Duration::from_millis(59_999));
    assert!(try_key(&layer, KEY).await.passed());
    assert_eq!(store.calls(), 1);
    clock.advance(Duration::from_millis(1));
    let outcome = try_key(&layer, KEY).await;
    assert_eq!((outcome.refusal(), store.calls()), (Some(Refusal::InvalidApiKey), 2));
}

#[tokio::test]
async fn a_record_expires_within_its_time_to_live() {
    let expiry = UNIX_EPOCH + seconds(NOW + 5);
    let store = FakeStore::with(ApiKeyRecord::new("acme").expires_at(expiry));
    let (layer, clock) = layer(store.clone());
    assert!(try_key(&layer, KEY).await.passed());
    clock.advance(seconds(5));
    assert!(!try_key(&layer, KEY).await.passed());
    clock.set_wall(UNIX_EPOCH + seconds(NOW));
    assert!(!try_key(&layer, KEY).await.passed());
    assert_eq!(store.calls(), 1);
}

#[tokio::test]
async fn an_unknown_key_stays_unknown_for_a_while() {
    let store = FakeStore::default();
    let (layer, clock) = layer(store.lookup().unknown_ttl(seconds(3)));
    for _ in 0..3 {
        assert_eq!(try_key(&layer, KEY).await.refusal(), Some(Refusal::InvalidApiKey));
    }
    assert_eq!(store.calls(), 1);
    store.insert(KEY, ApiKeyRecord::new("acme"));
    clock.advance(seconds(3));
    assert!(try_key(&layer, KEY).await.passed());
}

#[tokio::test]
async fn requests_with_one_key_share_a_look_up() {
    let store = FakeStore::with(ApiKeyRecord::new("acme"));
    store.set(Mode::Waits);
    let (layer, _clock) = layer(store.clone());
    let release = async {
        tokio::task::yield_now().await;
        store.0.release.notify_waiters();
    };
    let key = || try_key(&layer, KEY);
    let (one, two, three, ()) = tokio::join!(key(), key(), key(), release);
    assert!(one.passed() && two.passed() && three.passed());
    assert_eq!(store.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_rejects_and_is_not_hammered() {
    for (mode, elapsed) in [(Mode::Fails, 0), (Mode::Hangs, 700)] {
        let store = FakeStore::with(ApiKeyRecord::new("acme"));
        store.set(mode);
        let (layer, clock) = layer(store.lookup().timeout(Duration::from_millis(700)));
        let start = tokio::time::Instant::now();
        let outcome = try_key(&layer, KEY).await;
        assert_eq!(start.elapsed(), Duration::from_millis(elapsed));
        assert_eq!(outcome.refusal(), Some(Refusal::IdentityProviderUnavailable));
        assert_eq!(
            (outcome.status.as_u16(), &outcome.headers["retry-after"]),
            (503, &"1".parse().unwrap())
        );
        assert!(!outcome.body.contains("database"), "{}", outcome.body);
        assert!(!try_key(&layer, KEY).await.passed());
        assert_eq!(store.calls(), 1);
        store.set(Mode::Works);
        clock.advance(seconds(1));
        assert!(try_key(&layer, KEY).await.passed());
    }
}

#[tokio::test]
async fn a_record_that_breaks_a_bound_is_a_failure_of_the_store() {
    let store = FakeStore::with(ApiKeyRecord::new("acme").scopes(["a b"]));
    let (layer, _clock) = layer(store);
    let outcome = try_key(&layer, KEY).await;
    assert_eq!(outcome.refusal(), Some(Refusal::IdentityProviderUnavailable));
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_are_bounded() {
    let store = FakeStore::default();
    store.set(Mode::Hangs);
    let (layer, _clock) = layer(store.lookup().max_waiting(1));
    let other = "another-key-of-nobody-0001";
    let (first, second) = tokio::join!(try_key(&layer, KEY), try_key(&layer, other));
    assert_eq!(store.calls(), 1);
    for outcome in [first, second] {
        assert_eq!(outcome.refusal(), Some(Refusal::IdentityProviderUnavailable));
    }
}

#[tokio::test]
async fn a_warm_key_of_a_store_allocates_nothing() {
    let (layer, _clock) = layer(FakeStore::with(ApiKeyRecord::new("acme")));
    assert!(try_key(&layer, KEY).await.passed());
    assert_eq!(allocations(&layer, ("x-api-key", KEY)), 0);
}

#[tokio::test]
async fn memory_for_results_is_bounded() {
    let store = FakeStore::default();
    let (layer, _clock) = layer(store.lookup().max_cache_bytes(16 << 10));
    for number in 0..1_000 {
        try_key(&layer, &format!("unknown-key-of-nobody-{number}")).await;
    }
    assert_eq!(store.calls(), 1_000);
    // Earlier results made room for later ones.
    for number in 0..1_000 {
        try_key(&layer, &format!("unknown-key-of-nobody-{number}")).await;
    }
    assert!(store.calls() > 1_800, "{}", store.calls());
}
