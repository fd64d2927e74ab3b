use std::time::Duration;

use super::{RedisError, backend::Shared};
use crate::{redis_link::Places, secret::Secret, throttle::Store};

/// A store in Redis or Valkey that replicas share: one server, or a cluster.
///
/// ```
/// use tower_inference::{
///     secret::Secret,
///     throttle::{Limit, Rate, RedisStore, ThrottleLayer, WhenAway},
/// };
///
/// # fn main() -> Result<(), tower_inference::throttle::RedisError> {
/// let address = Secret::new("rediss://gateway:password@redis.internal:6379");
/// let hashing = Secret::new("the same 32 random bytes for all replicas");
/// let store = RedisStore::single(address, hashing)?.when_away(WhenAway::Local { replicas: 3 });
/// let limit = Limit::per_identity(Rate::per_second(10).burst(20));
/// let layer = ThrottleLayer::new(limit).store(store);
/// assert_eq!(layer.counts()[0].allowed, 0);
/// # Ok(())
/// # }
/// ```
///
/// # What is asked of the server
///
/// One script call decides all rates and quotas of a request, by the server's clock. A request in
/// flight is each replica's own to count, and costs no call. Keys are `{namespace}:v1:` and a keyed
/// hash: the server learns neither who calls nor what the limits are called. Each ends by itself, when
/// to forget it would change nothing (a quota an hour after its window, a debt one window later, a reset
/// after 32 days). `v1` is the layout: versions of this crate that write another one count apart on the
/// same server. The braces make all keys of a namespace lie in one slot, hence on one node
/// of a cluster: give each group of limits a namespace of its own where one node is not enough.
///
/// Redis 6.2 or Valkey 7.2 at least. A user of its access list needs
/// `~{namespace}:* +eval +evalsha +script|load +time +get +set +del`, for a cluster `+cluster|slots`,
/// and `+info` for the warning below.
///
/// # A server that forgets
///
/// Counters want `maxmemory-policy noeviction`, and a server of their own: one that evicts keys gives
/// callers their quotas anew, and cached responses are many. The store asks each new connection for its
/// policy (`INFO memory`, since managed servers refuse `CONFIG`) and warns of one that evicts, once
/// until that changes. A server that does not tell its policy is used without a warning. A full server
/// that does not evict is away.
///
/// Whatever the policy, no server counts less than what this replica has counted there itself, in the
/// window of a quota or until a rate has refilled: each call tells the server that number, for the keys
/// that were counted last (65,536 at least). So a server that was flushed, that started again empty or
/// that evicted a counter gives nothing anew to the callers that this replica knows.
/// [`RedisCounts::restored`](super::RedisCounts::restored) counts how often that was needed. A
/// [reset](crate::throttle::ThrottleLayer::reset) holds for all replicas all the same.
///
/// # Leases
///
/// With [`lease`](Self::lease)`(n)` the first request of a caller takes up to `n` permits at once, and
/// the replica gives them out by itself for up to a second; what is left then goes back. Of all
/// replicas together, at most `n` × replicas requests pass more than the limit allows in the same time:
/// those whose permits had been taken before. One replica may refuse while others still hold permits,
/// for that second. A request that takes `n` permits or more asks the server itself.
/// [`Store::redis_counts`] says how many did.
///
/// # When the server is away
///
/// A decision waits 5 ms by default ([`wait`](Self::wait)); a server that is unreachable, read-only,
/// full, forbids, hangs or is slower than that is away. From then on no request waits: what was chosen
/// by [`when_away`](Self::when_away) decides, also of the one whose wait ended: the server may have
/// counted it all the same. The store tries again each half second, and asks of the
/// server all that a decision needs before it counts there again. Each change is one line in the log.
/// Counters of the time in between are not brought together: after it, callers have what they had on
/// the server, and after a failover, what the replica knew.
///
/// # Settlements
///
/// What token budgets settle is told to the server soon after, by a task that the store owns: in
/// batches, at most once (where a connection breaks in between, nobody knows: `unsettled`), and later
/// if the server is away, up to 65,536 of them. What is queued when the store is dropped is lost.
///
/// # Bounds
///
/// A reply has at most 1 MiB, 32,768 values and 16 levels, and answers a command: a connection that
/// brings anything else is closed before the reply is read, and the server is away. At most 4,096
/// replies are waited for at once; further calls wait for those.
///
/// The store connects in the tokio runtime that it is made in, or else at the first request, which
/// waits for it as for a decision. Both need the runtime's timer. The time is the server's: whoever sets
/// its clock ahead gives quotas anew.
#[derive(Clone, Debug)]
pub struct RedisStore {
    pub(super) places: Places,
    pub(super) secret: Secret,
    pub(super) namespace: Box<str>,
    pub(super) lease: u32,
    pub(super) wait: Duration,
    pub(super) when_away: WhenAway,
}

/// What is decided while the shared store is away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WhenAway {
    /// Each replica enforces its share of every limit: the whole, divided by so many replicas, and at
    /// least one. Those in memory, with room for a million keys. A request that costs more than a share
    /// is refused until the server is back.
    Local {
        /// How many replicas there are.
        replicas: u32,
    },
    /// Requests are refused with 503, `throttle-unavailable`.
    Refuse,
}

impl RedisStore {
    /// One server: `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS. `secret`
    /// hashes all keys: the same for all replicas, and nobody else's.
    ///
    /// # Errors
    ///
    /// When the address cannot be read, or is insecure.
    pub fn single(address: Secret, secret: Secret) -> Result<Self, RedisError> {
        Ok(Self::new(Places::single(address)?, secret))
    }

    /// A cluster, by some of its nodes: addresses of one user and password, all with TLS or none.
    ///
    /// # Errors
    ///
    /// When an address cannot be read or is insecure, or there is none.
    pub fn cluster(
        addresses: impl IntoIterator<Item = Secret>,
        secret: Secret,
    ) -> Result<Self, RedisError> {
        Ok(Self::new(Places::cluster(addresses.into_iter().collect())?, secret))
    }

    /// Trusts these certificates (PEM) to sign those of `rediss://` servers: the system's by default.
    ///
    /// # Errors
    ///
    /// When they cannot be read, or there are none.
    pub fn root_certificates(mut self, pem: &[u8]) -> Result<Self, RedisError> {
        self.places.trust(pem)?;
        Ok(self)
    }

    /// Sets the name that begins all keys: `tower-inference` by default. Stores of one name and secret
    /// share their counters.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<Box<str>>) -> Self {
        self.namespace = name.into();
        self
    }

    /// Sets how many permits a replica takes at once: 1 by default, which is no lease.
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

    fn new(places: Places, secret: Secret) -> Self {
        Self {
            places,
            secret,
            namespace: "tower-inference".into(),
            lease: 1,
            wait: Duration::from_millis(5),
            when_away: WhenAway::Refuse,
        }
    }
}

impl From<RedisStore> for Store {
    fn from(settings: RedisStore) -> Self {
        Self::new(Shared::new(settings))
    }
}
