use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;

use super::{RedisError, backend::Shared};
use crate::{
    cache::{Leased, Tier, TierFuture},
    redis_link::Places,
    secret::Secret,
};

/// A tier in Redis or Valkey that replicas share: one server, or a cluster.
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
/// let redis = RedisCache::single(address)?.wait(Duration::from_millis(3));
/// assert_eq!(redis.value_limit(), 1 << 20);
/// # Ok(())
/// # }
/// ```
///
/// # What is asked of the server
///
/// `GETRANGE`, `SET`, `DEL`, and for leases a script that deletes what is still one's own. Keys are
/// `{namespace}:v1:` and a keyed hash, and for leases `{namespace}:v1:lease:` (the braces stand for
/// the name here, and are not written): in a cluster, they lie on all nodes. `v1` is the layout:
/// versions of this crate that write another one keep apart on the same server. Each key ends by
/// itself. Of a value, no more is read than may be there.
///
/// Redis 6.2 or Valkey 7.2 at least. A user of its access list needs
/// `~namespace:* +get +getrange +set +del +evalsha +script|load`, and for a cluster
/// `+cluster|slots`. Let the server evict keys (`maxmemory-policy allkeys-lru`): one that is full and
/// does not is away. With `+info`, a new connection is asked for that policy (`INFO memory`), and one
/// that refuses values when it is full is warned of, once until that changes. Counters of limits want the
/// opposite policy, and so another server.
///
/// # When the server is away
///
/// Reading waits 5 ms by default ([`wait`](Self::wait)); a server that is unreachable, read-only,
/// full, forbids, hangs or is slower than that is away. From then on nothing is found, and nobody
/// waits. The cache tries again each half second, and asks of the server all that it needs before it
/// is used again. Each change is one line in the log.
///
/// # Bounds
///
/// A reply has at most the longest value and 1 MiB, 32,768 values and 16 levels, and answers a command:
/// a connection that brings anything else is closed before the reply is read, and the server is away. As
/// many replies are waited for at once as have 128 MiB together.
///
/// What is written is told to the server by a task that this value owns, one after the other, so that
/// no request waits for it; up to 1,024 values that have sixteen times the
/// [limit](Self::max_value) together wait for that. What comes then is not kept. What waits when
/// the last clone is dropped is lost.
///
/// It connects at the first use; until it has, nothing is found, and nobody waits. That needs a tokio
/// runtime and its timer. Clones share the connection, until a setter is called on one.
#[derive(Clone, Debug)]
pub struct RedisCache {
    pub(super) places: Places,
    pub(super) namespace: Box<str>,
    pub(super) wait: Duration,
    pub(super) max_value: usize,
    shared: Arc<OnceLock<Shared>>,
}

impl RedisCache {
    /// One server: `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS.
    ///
    /// # Errors
    ///
    /// When the address cannot be read, or is insecure.
    pub fn single(address: Secret) -> Result<Self, RedisError> {
        Ok(Self::new(Places::single(address)?))
    }

    /// A cluster, by some of its nodes: addresses of one user and password, all with TLS or none.
    ///
    /// # Errors
    ///
    /// When an address cannot be read or is insecure, or there is none.
    pub fn cluster(addresses: impl IntoIterator<Item = Secret>) -> Result<Self, RedisError> {
        Ok(Self::new(Places::cluster(addresses.into_iter().collect())?))
    }

    /// Trusts these certificates (PEM) to sign those of `rediss://` servers: the system's by default.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or there are none.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self, RedisError> {
        self.places.trust(pem)?;
        Ok(self.anew())
    }

    /// Sets the name that begins all keys: `tower-inference-cache` by default. In a cluster, a name
    /// with braces puts all of them on one node.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<Box<str>>) -> Self {
        self.namespace = name.into();
        self.anew()
    }

    /// Sets how long reading may wait for the server: 5 ms by default. It has to be enough for a
    /// value as long as the limit: on a link of 1 Gbit/s, 1 MiB takes 9 ms.
    #[must_use]
    pub fn wait(mut self, time: Duration) -> Self {
        self.wait = time;
        self.anew()
    }

    /// Sets how long a value may be, in bytes: 1 MiB by default.
    #[must_use]
    pub fn max_value(mut self, bytes: usize) -> Self {
        self.max_value = bytes;
        self.anew()
    }

    fn new(places: Places) -> Self {
        Self {
            places,
            namespace: "tower-inference-cache".into(),
            wait: Duration::from_millis(5),
            max_value: 1 << 20,
            shared: Arc::default(),
        }
    }

    /// With a connection of its own.
    fn anew(mut self) -> Self {
        self.shared = Arc::default();
        self
    }

    fn shared(&self) -> &Shared {
        self.shared.get_or_init(|| Shared::new(self))
    }
}

impl Tier for RedisCache {
    fn get(&self, key: [u8; 32]) -> TierFuture<Option<Bytes>> {
        self.shared().get(key)
    }

    fn put(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.shared().put(key, value, ttl)
    }

    fn put_new(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.shared().put_new(key, value, ttl)
    }

    fn remove(&self, key: [u8; 32]) -> TierFuture<bool> {
        self.shared().remove(key)
    }

    fn lease(&self, key: [u8; 32], holder: [u8; 16], ttl: Duration) -> TierFuture<Leased> {
        self.shared().lease(key, holder, ttl)
    }

    fn release(&self, key: [u8; 32], holder: [u8; 16]) {
        self.shared().release(key, holder);
    }

    fn value_limit(&self) -> usize {
        self.max_value
    }
}
