use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;

use super::backend::{RedisBackend, Settings};
use crate::{
    cache::tier::tier::{LeaseResult, Tier, TierFuture},
    redis_link::{Places, RedisError},
    secret::Secret,
};

/// A [`Tier`] in Redis or Valkey, which replicas share. The server is single or a cluster.
///
/// ```
/// use std::time::Duration;
/// use tower_inference::{
///     cache::{RedisCache, Tier},
///     secret::Secret,
/// };
///
/// # fn main() -> Result<(), tower_inference::cache::RedisError> {
/// let address = Secret::new("rediss://gateway:password@redis.internal:6379");
/// let redis = RedisCache::single(address)?.read_timeout(Duration::from_millis(3));
/// assert_eq!(redis.max_value_bytes(), 1 << 20);
/// # Ok(())
/// # }
/// ```
///
/// # Server
///
/// Redis 6.2 or Valkey 7.2 is the minimum. The cache uses `GETRANGE`, `SET` and `DEL`. Leases use a
/// script that deletes a lease only for its holder. An access list needs
/// `~namespace:* +get +getrange +set +del +evalsha +script|load`, and `+cluster|slots` for a cluster.
///
/// Keys are `{namespace}:v1:` and a keyed hash. Leases have `{namespace}:v1:lease:`. The braces are
/// not written, so that a cluster spreads the keys over all nodes. `v1` is the layout. Versions of
/// this crate with another layout share the server without conflict. Each key expires.
///
/// Let the server evict keys with `maxmemory-policy allkeys-lru`. A full server that does not evict is
/// unavailable. With `+info`, each new connection reads that policy by `INFO memory`. The log has a
/// warning if the policy refuses values, once until that changes. The counters of limits need the
/// opposite policy and therefore another server.
///
/// # Unavailable server
///
/// A read waits 5 ms by default ([`read_timeout`](Self::read_timeout)). A server is unavailable if it
/// is slower, unreachable, read-only or full, or if it forbids a command. The cache then finds nothing
/// there and does not wait. It tries to connect every 500 ms and checks all commands before it uses
/// the server again. The log has one line for each change.
///
/// # Bounds
///
/// A reply has at most 1 MiB more than the longest value, 32,768 values and 16 levels. A line of it
/// such as an error has at most 64 KiB. The connection is closed if a reply exceeds a bound or belongs
/// to no command. All concurrent replies have 128 MiB together.
///
/// A task of this value writes in the background, so that no request waits for a write. At most 1,024
/// values are queued. Together they have at most 16 times the
/// [longest value](Self::max_entry_bytes). Further values are not stored. Queued values are lost with the
/// last clone.
///
/// The first use starts the connection. Until it is there, the cache finds nothing and does not wait.
/// A connection needs a tokio runtime with its timer. Clones share the connection, and a setter
/// separates its value from them.
#[derive(Clone, Debug)]
pub struct RedisCache {
    places: Places,
    namespace: Box<str>,
    read_timeout: Duration,
    max_value_bytes: usize,
    backend: Arc<OnceLock<RedisBackend>>,
}

impl RedisCache {
    /// Creates a tier on a single server.
    ///
    /// The address is `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS.
    ///
    /// # Errors
    ///
    /// Returned when the address is invalid or insecure.
    pub fn single(address: Secret) -> Result<Self, RedisError> {
        Ok(Self::new(Places::single(address)?))
    }

    /// Creates a tier on a cluster, which some of its nodes describe.
    ///
    /// All addresses have the same user and password. All of them use TLS or none does.
    ///
    /// # Errors
    ///
    /// Returned when an address is invalid or insecure, or when there is none.
    pub fn cluster(addresses: impl IntoIterator<Item = Secret>) -> Result<Self, RedisError> {
        Ok(Self::new(Places::cluster(addresses.into_iter().collect())?))
    }

    /// Sets the trusted root certificates of `rediss://` servers, as PEM. Defaults to those of the
    /// system.
    ///
    /// # Errors
    ///
    /// Returned when a certificate is invalid or there is none.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self, RedisError> {
        self.places.trust(pem)?;
        Ok(self.disconnected())
    }

    /// Sets the name that begins all keys. Defaults to `tower-inference-cache`.
    ///
    /// In a cluster, a name with braces puts all keys on one node.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<Box<str>>) -> Self {
        self.namespace = name.into();
        self.disconnected()
    }

    /// Sets how long a read waits for the server. Defaults to 5 milliseconds.
    ///
    /// The time must suffice for the longest value. A link of 1 Gbit/s takes 9 ms for 1 MiB.
    #[must_use]
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self.disconnected()
    }

    /// Sets the maximum length of a value, in bytes. Defaults to 1 MiB.
    #[must_use]
    pub fn max_entry_bytes(mut self, bytes: usize) -> Self {
        self.max_value_bytes = bytes;
        self.disconnected()
    }

    fn new(places: Places) -> Self {
        Self {
            places,
            namespace: "tower-inference-cache".into(),
            read_timeout: Duration::from_millis(5),
            max_value_bytes: 1 << 20,
            backend: Arc::default(),
        }
    }

    /// Returns the same settings without the connection.
    fn disconnected(mut self) -> Self {
        self.backend = Arc::default();
        self
    }

    fn backend(&self) -> &RedisBackend {
        self.backend.get_or_init(|| {
            RedisBackend::new(Settings {
                places: self.places.clone(),
                namespace: self.namespace.clone(),
                read_timeout: self.read_timeout,
                max_value_bytes: self.max_value_bytes,
            })
        })
    }
}

impl Tier for RedisCache {
    fn get(&self, key: [u8; 32]) -> TierFuture<Option<Bytes>> {
        self.backend().get(key)
    }

    fn put(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.backend().put(key, value, ttl)
    }

    fn put_new(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.backend().put_new(key, value, ttl)
    }

    fn remove(&self, key: [u8; 32]) -> TierFuture<bool> {
        self.backend().remove(key)
    }

    fn lease(&self, key: [u8; 32], holder: [u8; 16], ttl: Duration) -> TierFuture<LeaseResult> {
        self.backend().lease(key, holder, ttl)
    }

    fn release(&self, key: [u8; 32], holder: [u8; 16]) {
        self.backend().release(key, holder);
    }

    fn max_value_bytes(&self) -> usize {
        self.max_value_bytes
    }
}
