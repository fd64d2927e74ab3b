use std::time::Duration;

use super::RedisError;
use crate::{
    secret::Secret,
    throttle::{MemoryStore, Store},
};

/// A store in Redis or Valkey, single or a cluster.
#[derive(Clone, Debug)]
pub struct RedisStore {
    addresses: Vec<Secret>,
    cluster: bool,
    secret: Secret,
    namespace: Box<str>,
    lease: u32,
    wait: Duration,
    when_away: WhenAway,
}

/// What is decided while the shared store is away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WhenAway {
    /// Each replica enforces its share of every limit: the whole, divided by so many replicas.
    Local {
        /// How many replicas there are.
        replicas: u32,
    },
    /// Requests are refused with 503.
    Refuse,
}

impl RedisStore {
    /// One server: `redis://…`, or `rediss://…` for TLS, with user and password of its ACL. `secret`
    /// hashes all keys: the same for all replicas, and nobody else's.
    ///
    /// # Errors
    ///
    /// When the address cannot be read.
    pub fn single(address: Secret, secret: Secret) -> Result<Self, RedisError> {
        Self::new(vec![address], false, secret)
    }

    /// A cluster, by some of its nodes.
    ///
    /// # Errors
    ///
    /// When an address cannot be read, or there is none.
    pub fn cluster(
        addresses: impl IntoIterator<Item = Secret>,
        secret: Secret,
    ) -> Result<Self, RedisError> {
        Self::new(addresses.into_iter().collect(), true, secret)
    }

    /// Sets the name that begins all keys: `tower-inference` by default.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<Box<str>>) -> Self {
        self.namespace = name.into();
        self
    }

    /// Sets how many permits a replica takes at once: 1 by default. The overshoot is at most this
    /// many, times the replicas.
    #[must_use]
    pub const fn lease(mut self, permits: u32) -> Self {
        self.lease = permits;
        self
    }

    /// Sets how long a decision may wait for the server: 5 ms by default.
    #[must_use]
    pub const fn wait(mut self, time: Duration) -> Self {
        self.wait = time;
        self
    }

    /// Sets what is decided while the server is away. [`WhenAway::Refuse`] by default.
    #[must_use]
    pub const fn when_away(mut self, choice: WhenAway) -> Self {
        self.when_away = choice;
        self
    }

    fn new(addresses: Vec<Secret>, cluster: bool, secret: Secret) -> Result<Self, RedisError> {
        if addresses.is_empty() {
            return Err(RedisError::Address);
        }
        Ok(Self {
            addresses,
            cluster,
            secret,
            namespace: "tower-inference".into(),
            lease: 1,
            wait: Duration::from_millis(5),
            when_away: WhenAway::Refuse,
        })
    }
}

impl From<RedisStore> for Store {
    // To come.
    fn from(_settings: RedisStore) -> Self {
        MemoryStore::new().into()
    }
}
