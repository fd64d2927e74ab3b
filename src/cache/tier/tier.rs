use std::{fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;

/// Future of a [`Tier`].
pub type TierFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A store for a [`SecondTier`](super::SecondTier): a server that replicas share, or a disk.
///
/// `examples/disk-tier` implements one with foyer.
///
/// ```
/// use bytes::Bytes;
/// use std::{collections::BTreeMap, future::ready, sync::{Arc, Mutex}, time::Duration};
/// use tower_inference::cache::{Tier, TierFuture};
///
/// /// A store for tests. It never evicts.
/// #[derive(Clone, Debug, Default)]
/// struct Map(Arc<Mutex<BTreeMap<[u8; 32], Bytes>>>);
///
/// impl Tier for Map {
///     fn get(&self, key: [u8; 32]) -> TierFuture<Option<Bytes>> {
///         Box::pin(ready(self.0.lock().unwrap().get(&key).cloned()))
///     }
///
///     fn put(&self, key: [u8; 32], value: Bytes, _ttl: Duration) -> TierFuture<bool> {
///         self.0.lock().unwrap().insert(key, value);
///         Box::pin(ready(true))
///     }
///
///     fn remove(&self, key: [u8; 32]) -> TierFuture<bool> {
///         self.0.lock().unwrap().remove(&key);
///         Box::pin(ready(true))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let map = Map::default();
/// assert!(map.put([7; 32], Bytes::from_static(b"sealed"), Duration::from_secs(60)).await);
/// assert_eq!(map.get([7; 32]).await.unwrap(), "sealed");
/// # }
/// ```
///
/// # Values
///
/// A tier stores bytes. A key is a keyed hash and reveals nothing. A value is versioned and
/// authenticated before it reaches the tier, and it is verified when it comes back. A tier may
/// therefore lose, mix up, shorten or corrupt its values, and others may write to it. All of that
/// causes misses only.
///
/// # Requirements
///
/// - A tier never fails a request. It returns `None` for an unavailable value, `false` for a failed
///   write and [`LeaseResult::Granted`] if it cannot lease.
/// - [`get`](Self::get) returns soon, because each miss in memory waits for it. Bound the wait for a
///   server. Do not wait for a server that is known to be unavailable.
/// - Its values are bounded, and so are its pending writes. It never receives a value of more than
///   [`max_value_bytes`](Self::max_value_bytes).
/// - [`put`](Self::put), [`remove`](Self::remove) and [`release`](Self::release) take effect when they
///   are called, in the order of the calls. Their futures only report the result. They are dropped
///   at the end of a body, where nothing can wait.
///
/// The futures are boxed, so that the cache has no type parameter for its tier and a program can
/// choose the tier when it runs. A request that waits for the tier polls them.
pub trait Tier: fmt::Debug + Send + Sync + 'static {
    /// Returns the value of a key.
    fn get(&self, key: [u8; 32]) -> TierFuture<Option<Bytes>>;

    /// Stores or replaces a value for at most `ttl`. Returns `true` once it is stored.
    fn put(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool>;

    /// Stores a value if the key has none. Returns `true` if it was stored, as soon as
    /// [`get`](Self::get) would return. Defaults to [`put`](Self::put), which is correct if only this
    /// process writes.
    fn put_new(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.put(key, value, ttl)
    }

    /// Removes the value of a key. Returns `true` once it is removed.
    fn remove(&self, key: [u8; 32]) -> TierFuture<bool>;

    /// Leases the upstream call for a key. `holder` is a random number of the replica, which has the
    /// lease until its [release](Self::release) and for at most `ttl`. By default each lease is
    /// granted.
    fn lease(&self, key: [u8; 32], holder: [u8; 16], ttl: Duration) -> TierFuture<LeaseResult> {
        let _unused = (key, holder, ttl);
        Box::pin(std::future::ready(LeaseResult::Granted))
    }

    /// Releases a lease if `holder` still has it.
    fn release(&self, key: [u8; 32], holder: [u8; 16]) {
        let _unused = (key, holder);
    }

    /// Returns the maximum length of a value, in bytes. Defaults to 1 MiB. The cache neither writes nor
    /// accepts longer values.
    fn max_value_bytes(&self) -> usize {
        1 << 20
    }
}

/// Result of [`Tier::lease`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LeaseResult {
    /// The replica has the lease, or the tier cannot tell.
    Granted,
    /// Another replica has the lease.
    Taken,
}
