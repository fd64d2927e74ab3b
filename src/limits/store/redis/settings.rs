use std::time::Duration;

use crate::{
    redis_link::{Places, RedisError},
    secret::Secret,
};

/// A store in Redis or Valkey that replicas share: one server or a cluster.
///
/// ```
/// use tower_inference::{
///     limits::{Limit, OutagePolicy, Rate, RedisStore},
///     secret::Secret,
///     throttle::ThrottleLayer,
/// };
///
/// # fn main() -> Result<(), tower_inference::limits::RedisError> {
/// let address = Secret::new("rediss://gateway:password@redis.internal:6379");
/// let hashing = Secret::new("the same 32 random bytes for all replicas");
/// let store = RedisStore::single(address, hashing)?
///     .outage_policy(OutagePolicy::Local { replicas: 3 });
/// let limit = Limit::per_identity(Rate::per_second(10).burst(20));
/// let layer = ThrottleLayer::new(limit).store(store);
/// assert_eq!(layer.counts()[0].allowed, 0);
/// # Ok(())
/// # }
/// ```
///
/// # Requirements of the server
///
/// The server is Redis 6.2 or Valkey 7.2, or a later one. A user of its access list needs
/// `~{namespace}:* +eval +evalsha +script|load +time +get +set +del`. A cluster also needs
/// `+cluster|slots`, and the warning below needs `+info`.
///
/// Keys are `{namespace}:v1:` and a keyed hash, so the server knows neither callers nor limits. The
/// number in `v1` is the layout. Versions of this crate with different layouts can share a server and
/// count apart. The braces put all keys of a namespace into one slot of a cluster, and so on one node.
/// If one node is too slow, give each group of limits a namespace of its own.
///
/// Each key expires when it has no more effect: a quota an hour after its window, a debt one window
/// later, a reset after 32 days.
///
/// # Decisions
///
/// One script call decides on all rates and quotas of a request, by the server's clock. Each replica
/// counts its own requests in flight, without a call.
///
/// With a [`lease`](Self::lease) of `n`, a caller's first request takes up to `n` permits at once. The
/// replica then allows requests by itself. Unused permits go back after a second. Together, replicas
/// let at most `n` × replicas requests more pass than the limit allows in the same time. During that
/// second, one replica may reject requests while others hold permits. A request that costs `n` permits
/// or more always needs the server. [`Store::redis_counts`](crate::limits::Store::redis_counts) counts
/// both kinds of decision.
///
/// # Outages
///
/// A server is away if it cannot be reached or refuses to write. It is also away if it is slower than
/// the [`decision_timeout`](Self::decision_timeout). Then the [`outage_policy`](Self::outage_policy)
/// decides and no request waits. It also decides on the request whose timeout has passed, although the
/// server may have counted that one. The store retries every half second with all that a decision
/// needs. Each change of state is one line in the log. Counts of an outage are not merged. Afterwards,
/// callers have what they had on the server. After a failover, they have at least what the replica
/// knows.
///
/// # Lost counters
///
/// Counters need `maxmemory-policy noeviction` and a server without cached responses. A server that
/// evicts counters gives callers their quotas again. The store reads the policy of each new connection
/// with `INFO memory`, since managed servers refuse `CONFIG`. It warns of a server that evicts, once
/// until that changes. A server that does not report its policy is used without a warning. A full
/// server that does not evict is away.
///
/// A server never counts less than this replica has counted there. Each call carries the replica's
/// number for the keys that were counted last, 65,536 at least. It is valid in the window of a quota
/// and until a rate has refilled. A server that was flushed, restarted or has evicted a counter
/// therefore grants nothing again to callers that the replica knows.
/// [`RedisCounts::restored`](super::RedisCounts::restored) counts such cases. A
/// [reset](crate::throttle::ThrottleLayer::reset) still applies to all replicas.
///
/// # Settlements
///
/// A task of the store sends settlements of token budgets to the server in batches. Each is sent at
/// most once. If the connection breaks meanwhile, its fate is unknown and it counts as `unsettled`. Up
/// to 65,536 settlements wait for a server that is away. Dropping the store loses them.
///
/// # Bounds
///
/// A reply has at most 1 MiB, 32,768 values and 16 levels. A line of it such as an error has at most 64
/// KiB. A connection that sends anything else is closed before the reply is read, and the server is
/// away. At most 4,096 calls wait for a reply. Further calls wait for those.
///
/// # Caveats
///
/// - The store connects in the tokio runtime that creates it. Without one, it connects at the first
///   request, which waits as for a decision. Both need the runtime's timer.
/// - The time is the server's. Setting its clock ahead grants quotas again.
#[derive(Clone, Debug)]
pub struct RedisStore {
    pub(super) places: Places,
    pub(super) secret: Secret,
    pub(super) namespace: Box<str>,
    pub(super) lease: u32,
    pub(super) decision_timeout: Duration,
    pub(super) outage: OutagePolicy,
}

/// How requests are decided while the shared store is away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OutagePolicy {
    /// Each replica enforces its share of every limit: the whole divided by `replicas`, at least one.
    ///
    /// The counters are in memory, with room for a million keys. A request that costs more than a
    /// share is rejected until the server is back.
    Local {
        /// The number of replicas, from 1 to 100,000.
        replicas: u32,
    },
    /// Requests are rejected with 503 `throttle-unavailable`.
    Reject,
}

impl RedisStore {
    /// Uses one server at `redis://[user:password@]host[:port][/database]`, or at `rediss://` for TLS.
    ///
    /// `secret` hashes all keys. It must be the same for all replicas and known to no one else.
    ///
    /// # Errors
    ///
    /// Returned when the address is invalid or insecure.
    pub fn single(address: Secret, secret: Secret) -> Result<Self, RedisError> {
        Ok(Self::new(Places::single(address)?, secret))
    }

    /// Uses a cluster, found by the addresses of some of its nodes. All have the same user, password
    /// and TLS. `secret` is that of [`single`](Self::single).
    ///
    /// # Errors
    ///
    /// Returned when an address is invalid or insecure, or when there is none.
    pub fn cluster(
        addresses: impl IntoIterator<Item = Secret>,
        secret: Secret,
    ) -> Result<Self, RedisError> {
        Ok(Self::new(Places::cluster(addresses.into_iter().collect())?, secret))
    }

    /// Sets the certificates (PEM) that sign those of `rediss://` servers. Defaults to the system's.
    ///
    /// # Errors
    ///
    /// Returned when the certificates are invalid, or when there are none.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self, RedisError> {
        self.places.trust(pem)?;
        Ok(self)
    }

    /// Sets the name that starts all keys. Defaults to `tower-inference`. Stores with one name and one
    /// secret share their counters.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<Box<str>>) -> Self {
        self.namespace = name.into();
        self
    }

    /// Sets the number of permits that a replica takes at once. Defaults to 1. Zero and 1 disable
    /// leases.
    #[must_use]
    pub const fn lease(mut self, permits: u32) -> Self {
        self.lease = permits;
        self
    }

    /// Sets the time that a decision may wait for the server. Defaults to 5 ms.
    #[must_use]
    pub const fn decision_timeout(mut self, timeout: Duration) -> Self {
        self.decision_timeout = timeout;
        self
    }

    /// Sets what decides while the server is away. Defaults to [`OutagePolicy::Reject`].
    #[must_use]
    pub const fn outage_policy(mut self, policy: OutagePolicy) -> Self {
        self.outage = policy;
        self
    }

    fn new(places: Places, secret: Secret) -> Self {
        Self {
            places,
            secret,
            namespace: "tower-inference".into(),
            lease: 1,
            decision_timeout: Duration::from_millis(5),
            outage: OutagePolicy::Reject,
        }
    }
}
