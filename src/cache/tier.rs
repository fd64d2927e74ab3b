use std::{fmt, future::Future, pin::Pin, time::Duration};

use bytes::Bytes;

/// What a [`Tier`] is yet to say.
pub type TierFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A second place for what is kept, which replicas share or which outlives the process: a server, a
/// disk (`examples/disk-tier` is one, by foyer). Given to a cache by a
/// [`SecondTier`](super::SecondTier).
///
/// ```
/// use bytes::Bytes;
/// use std::{collections::BTreeMap, future::ready, sync::{Arc, Mutex}, time::Duration};
/// use tower_inference::cache::{Tier, TierFuture};
///
/// /// For a test: it forgets nothing, and has no bound but that of one value.
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
/// let told = map.put([7; 32], Bytes::from_static(b"sealed"), Duration::from_secs(60));
/// assert!(told.await);
/// assert_eq!(map.get([7; 32]).await.unwrap(), "sealed");
/// # }
/// ```
///
/// # What it has to do with
///
/// Bytes alone. A key is a keyed hash and shows nothing. A value is versioned and authenticated
/// before it comes here, and checked when it comes back: a tier may forget, mix up, cut and spoil
/// what it holds, or be written to by others, and all that comes of it is a miss.
///
/// # What it has to keep to
///
/// - It never fails a request. What cannot be had is `None`, what cannot be done is `false`, and what
///   cannot be leased is won.
/// - It answers soon, or not at all: each request that finds nothing in memory waits for
///   [`get`](Self::get). Whoever asks a server bounds the wait, and does not wait for one that is
///   known to be away.
/// - What it keeps is bounded, and so is what it has been given and not yet kept. It never sees a
///   value longer than [`value_limit`](Self::value_limit).
/// - [`put`](Self::put), [`remove`](Self::remove) and [`release`](Self::release) begin when they are
///   called, in the order of the calls. Their futures only tell what became of it, and are dropped by
///   those who need not know: they are called where nobody can wait, at the end of a body.
///
/// The futures are boxed, so that a cache has no type parameter for its tier and a tier can be chosen
/// when the program runs. They are polled by whoever waits for the answer: a box costs nothing beside
/// what it waits for.
pub trait Tier: fmt::Debug + Send + Sync + 'static {
    /// What is kept under a key.
    fn get(&self, key: [u8; 32]) -> TierFuture<Option<Bytes>>;

    /// Keeps a value for at most so long, in place of what was there. `true` once it is there.
    fn put(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool>;

    /// Keeps a value where there is none, and answers as soon as [`get`](Self::get) does: `true`
    /// where it is there now. What [`put`](Self::put) does, the default, is right where only this
    /// process writes.
    fn put_new(&self, key: [u8; 32], value: Bytes, ttl: Duration) -> TierFuture<bool> {
        self.put(key, value, ttl)
    }

    /// Forgets what is kept under a key. `true` once nothing is there.
    fn remove(&self, key: [u8; 32]) -> TierFuture<bool>;

    /// Takes what only one can have: the turn to ask the upstream for what belongs under this key.
    /// `holder` is a random number of the one who asks, who then has it until it is
    /// [released](Self::release), and for at most so long.
    ///
    /// Without leases, the default, everyone wins.
    fn lease(&self, key: [u8; 32], holder: [u8; 16], ttl: Duration) -> TierFuture<Leased> {
        let _everyone = (key, holder, ttl);
        Box::pin(std::future::ready(Leased::Won))
    }

    /// Gives back what this holder has leased; nothing, if it is not theirs any more.
    fn release(&self, key: [u8; 32], holder: [u8; 16]) {
        let _nothing = (key, holder);
    }

    /// The longest value that it takes, in bytes: 1 MiB by default. What is longer is not kept here,
    /// and not believed.
    fn value_limit(&self) -> usize {
        1 << 20
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Leased {
    /// It is that of the one who asked; so it is where nobody can tell.
    Won,
    /// Another one has it.
    Taken,
}
