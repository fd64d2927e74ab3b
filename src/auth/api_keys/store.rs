use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    digest::ApiKeyDigest,
    entry::{KeyEntry, Now},
    record::ApiKeyRecord,
};
use crate::{
    auth::lookup::{CredentialDigest, FAILURE_TTL, Found, LookupBounds, LookupCache},
    clock::SharedClock,
    printable::Printable,
};

/// Finds API keys by their digest, such as in a database.
///
/// ```
/// use std::collections::BTreeMap;
/// use tower_inference::auth::{
///     ApiKeyDigest, ApiKeyLookup, ApiKeyRecord, ApiKeyStore, ApiKeyStoreError, ApiKeys, AuthLayer,
/// };
///
/// struct Database(BTreeMap<String, ApiKeyRecord>);
///
/// impl ApiKeyStore for Database {
///     async fn find(&self, key: ApiKeyDigest) -> Result<Option<ApiKeyRecord>, ApiKeyStoreError> {
///         // SELECT ... FROM api_keys WHERE digest = $1
///         Ok(self.0.get(&key.to_string()).cloned())
///     }
/// }
///
/// let lookup = ApiKeyLookup::new(Database(BTreeMap::new()));
/// let layer = AuthLayer::new(ApiKeys::store(lookup));
/// # let _ = layer;
/// ```
pub trait ApiKeyStore: Send + Sync + 'static {
    /// Returns the record of a key, or `None` for an unknown key.
    ///
    /// A disabled or expired key may also be returned as its record, so that the log names it. An error
    /// rejects the requests that wait for it with `identity-provider-unavailable`.
    fn find(
        &self,
        digest: ApiKeyDigest,
    ) -> impl Future<Output = Result<Option<ApiKeyRecord>, ApiKeyStoreError>> + Send;
}

/// An error of an [`ApiKeyStore`]. It is logged for the operator, so it must not have a secret.
pub type ApiKeyStoreError = Box<dyn Error + Send + Sync>;

/// An [`ApiKeyStore`] with its bounds.
///
/// Requests with one key share one look-up. Its result is used again for [`ttl`](Self::ttl), or for
/// [`unknown_ttl`](Self::unknown_ttl) if the key is unknown. A failure is used again for a second.
/// When the store fails, known keys are accepted until their result ages, and then they are rejected.
pub struct ApiKeyLookup {
    store: Arc<dyn ErasedStore>,
    ttl: Duration,
    unknown_ttl: Duration,
    timeout: Duration,
    bounds: LookupBounds,
}

impl ApiKeyLookup {
    /// Looks keys up in `store`.
    pub fn new(store: impl ApiKeyStore) -> Self {
        Self {
            store: Arc::new(store),
            ttl: Duration::from_secs(60),
            unknown_ttl: Duration::from_secs(10),
            timeout: Duration::from_millis(1_500),
            bounds: LookupBounds {
                max_cache_bytes: 8 << 20,
                max_waiting: 1_024,
                setter: "ApiKeyLookup::max_waiting",
            },
        }
    }

    /// Sets how long the record of a key is used again. Defaults to 1 minute.
    ///
    /// A deleted or disabled key is accepted for this time.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets how long a key stays unknown. Defaults to 10 seconds.
    ///
    /// A key that was used before it was stored is rejected for this time.
    #[must_use]
    pub const fn unknown_ttl(mut self, ttl: Duration) -> Self {
        self.unknown_ttl = ttl;
        self
    }

    /// Sets the maximum time of a look-up. Defaults to 1.5 seconds.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the maximum memory for results in bytes. Defaults to 8 MiB, which holds about 8,000 keys.
    #[must_use]
    pub const fn max_cache_bytes(mut self, bytes: u64) -> Self {
        self.bounds.max_cache_bytes = bytes;
        self
    }

    /// Sets the maximum number of requests that wait for look-ups. Defaults to 1,024.
    ///
    /// Further requests are rejected with `identity-provider-unavailable`.
    #[must_use]
    pub const fn max_waiting(mut self, requests: usize) -> Self {
        self.bounds.max_waiting = requests;
        self
    }

    pub(super) fn open(self, clock: SharedClock) -> OpenStore {
        let results = Arc::new(LookupCache::new(self.bounds));
        OpenStore { settings: Arc::new(self), results, clock }
    }
}

impl<S: ApiKeyStore> From<S> for ApiKeyLookup {
    fn from(store: S) -> Self {
        Self::new(store)
    }
}

impl fmt::Debug for ApiKeyLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyLookup")
            .field("ttl", &self.ttl)
            .field("unknown_ttl", &self.unknown_ttl)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A store whose type is hidden.
trait ErasedStore: Send + Sync {
    fn find(self: Arc<Self>, digest: ApiKeyDigest) -> FindFuture;
}

type FindFuture =
    Pin<Box<dyn Future<Output = Result<Option<ApiKeyRecord>, ApiKeyStoreError>> + Send>>;

impl<S: ApiKeyStore> ErasedStore for S {
    fn find(self: Arc<Self>, digest: ApiKeyDigest) -> FindFuture {
        Box::pin(async move { ApiKeyStore::find(&*self, digest).await })
    }
}

/// The result of a look-up.
#[derive(Clone)]
pub(super) enum StoreResult {
    Known(Arc<StoredKey>),
    Unknown,
    Unavailable(Unavailable),
}

/// Why a look-up has no result.
#[derive(Clone)]
pub(super) enum Unavailable {
    Timeout(Duration),
    /// The error of the store, or a fault of its record.
    Failed(Arc<str>),
    Busy,
}

pub(super) struct StoredKey {
    pub(super) entry: KeyEntry,
    pub(super) found: Now,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(timeout) => write!(
                f,
                "it did not respond within {timeout:?}; ApiKeyLookup::timeout sets this bound"
            ),
            Self::Failed(error) => Printable(error).fmt(f),
            Self::Busy => f.write_str(
                "too many requests wait for it; ApiKeyLookup::max_waiting sets this bound",
            ),
        }
    }
}

/// A store and the results of its look-ups.
pub(super) struct OpenStore {
    settings: Arc<ApiKeyLookup>,
    results: Arc<LookupCache<StoreResult>>,
    clock: SharedClock,
}

impl OpenStore {
    pub(super) fn name(&self, key: &[u8]) -> CredentialDigest {
        self.results.digest(key)
    }

    pub(super) fn get(&self, name: &CredentialDigest, now: Now) -> Option<StoreResult> {
        self.results.get(name, now.monotonic)
    }

    /// Looks a key up. `None` if too many requests wait.
    pub(super) fn look_up(
        &self,
        name: CredentialDigest,
        digest: ApiKeyDigest,
    ) -> Option<impl Future<Output = StoreResult> + Send + use<>> {
        let find = find(Arc::clone(&self.settings), digest, self.clock.clone());
        self.results.look_up(name, self.clock.clone(), find, memory)
    }
}

async fn find(
    settings: Arc<ApiKeyLookup>,
    digest: ApiKeyDigest,
    clock: SharedClock,
) -> Found<StoreResult> {
    let find = Arc::clone(&settings.store).find(digest);
    let failed = |text: String| StoreResult::Unavailable(Unavailable::Failed(text.into()));
    let value = match tokio::time::timeout(settings.timeout, find).await {
        Err(_elapsed) => StoreResult::Unavailable(Unavailable::Timeout(settings.timeout)),
        Ok(Err(error)) => failed(error.to_string()),
        Ok(Ok(None)) => StoreResult::Unknown,
        Ok(Ok(Some(record))) => match KeyEntry::new(record) {
            Ok(entry) => StoreResult::Known(Arc::new(StoredKey { entry, found: Now::of(&clock) })),
            Err(fault) => failed(fault.to_string()),
        },
    };
    let ttl = match value {
        StoreResult::Known(_) => settings.ttl,
        StoreResult::Unknown => settings.unknown_ttl,
        StoreResult::Unavailable(_) => FAILURE_TTL,
    };
    Found { value, ttl: Some(ttl) }
}

fn memory(result: &StoreResult) -> usize {
    match result {
        StoreResult::Known(key) => key.entry.memory() + size_of::<StoredKey>(),
        StoreResult::Unknown | StoreResult::Unavailable(_) => 0,
    }
}
