use std::{fmt, path::Path, sync::Arc, time::Duration};

use arc_swap::Guard;

use super::{
    error::{KeysError, KeysFault, KeysUnavailable},
    fetch::{FetchDecision, FetchReason, KeyFetcher},
    file::KeyFile,
    key_set::Keys,
    store::{KeySnapshot, KeyStore, Load},
};
use crate::{clock::SharedClock, fetch::random};

/// Keeps [`KeySource::keep_fresh`] from fetching without a pause.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// A source of verification keys: a fixed set, a file or a server.
///
/// `KeySource::from` takes a fixed set of [`Keys`]. [`file`](Self::file) reads a file.
/// [`RemoteKeys`](super::RemoteKeys) fetches the keys from a server. Clones share their keys.
///
/// Requests read the keys without waiting for each other. A new set replaces the whole previous
/// set. An unusable set never replaces a usable one. A request, [`refresh`](Self::refresh) or
/// [`keep_fresh`](Self::keep_fresh) reads the file or fetches the keys.
#[derive(Clone)]
pub struct KeySource {
    clock: SharedClock,
    origin: KeyOrigin,
}

#[derive(Clone)]
enum KeyOrigin {
    Fixed(Arc<KeyStore>),
    File(Arc<KeyFile>),
    Server(Arc<KeyFetcher>),
}

impl KeySource {
    /// Reads the keys from a JWK Set file.
    ///
    /// Requests check the file at most once a second and use a changed file from then on. A change
    /// that cannot be used is logged once. The last usable keys then stay in use without limit.
    ///
    /// The request's thread reads the file, so the file belongs on a local disk. The file may have
    /// at most 512 KiB.
    ///
    /// # Errors
    ///
    /// Returns [`KeysFault::Unreadable`], [`KeysFault::NotAFile`], [`KeysFault::TooLarge`],
    /// [`KeysFault::Malformed`] or [`KeysFault::NoUsableKey`] if the file cannot be used now.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, KeysError> {
        Ok(Self::new(KeyOrigin::File(Arc::new(KeyFile::open(path.as_ref())?))))
    }

    pub(super) fn server(fetcher: KeyFetcher) -> Self {
        Self::new(KeyOrigin::Server(Arc::new(fetcher)))
    }

    fn new(origin: KeyOrigin) -> Self {
        Self { clock: SharedClock::default(), origin }
    }

    /// Sets the clock that measures the age of the keys. Defaults to the system clock.
    ///
    /// Set the clock before the source is cloned. The clones share times that two clocks would read
    /// differently.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    pub(crate) const fn shared_clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Returns true if there are usable keys. A readiness probe can call it. It never fetches keys.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.current(self.clock.monotonic()).snapshot().is_some()
    }

    /// Returns the time since the keys were last fetched. A fetch that finds the same keys counts.
    ///
    /// Returns `None` before the first fetch, for a fixed set and for a file.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        let KeyOrigin::Server(fetcher) = &self.origin else { return None };
        Some(self.clock.monotonic().saturating_sub(fetcher.store().loaded_at()?))
    }

    /// Returns the host or the file of the keys.
    pub(crate) fn name(&self) -> &str {
        self.store().name()
    }

    /// Returns how many fetches failed, or how often the file became unusable.
    pub(crate) fn failures(&self) -> u64 {
        match &self.origin {
            KeyOrigin::Fixed(_) => 0,
            KeyOrigin::File(file) => file.failures(),
            KeyOrigin::Server(fetcher) => fetcher.failures(),
        }
    }

    /// Fetches the keys now or joins the current fetch.
    ///
    /// Call it at startup so that the first request does not wait. A fixed set and a file return at
    /// once.
    ///
    /// # Errors
    ///
    /// Returns the [`KeysError`] of the fetch. The previous keys stay in use.
    pub async fn refresh(&self) -> Result<(), KeysError> {
        let KeyOrigin::Server(fetcher) = &self.origin else { return Ok(()) };
        let waiter = fetcher.fetch_now(&self.clock, self.clock.monotonic());
        let failed = |fault: KeysFault| fault.at(self.store().name());
        let waiter = waiter.ok_or_else(|| failed(KeysFault::Busy))?;
        waiter.await.unwrap_or_else(|| Err(failed(KeysFault::Panicked)))
    }

    /// Fetches the keys before they age, again and again. Never returns for fetched keys. Returns at
    /// once for a fixed set and for a file.
    ///
    /// Spawn it if even the first request after a quiet time must meet fresh keys. Dropping the future
    /// or aborting its task stops it. It fetches first if there are no keys. Then it sleeps for a
    /// random 75 to 90 percent of the time until the keys age, so that replicas do not fetch together.
    /// After a failure it sleeps for 1 second. Each further failure doubles this up to 30 seconds.
    ///
    /// ```
    /// # use tower_inference::auth::KeySource;
    /// # async fn serve() {}
    /// # async fn run(keys: KeySource) {
    /// let fresh = tokio::spawn({
    ///     let keys = keys.clone();
    ///     async move { keys.keep_fresh().await }
    /// });
    /// serve().await;
    /// fresh.abort();
    /// # }
    /// # let keys = KeySource::file("tests/data/jwks.json").unwrap();
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(keys));
    /// ```
    pub async fn keep_fresh(&self) {
        let KeyOrigin::Server(fetcher) = &self.origin else { return };
        loop {
            // The log has the error.
            let ready = self.is_ready() || self.refresh().await.is_ok();
            let seen = fetcher.store().load_number();
            let pause = fetcher.pause_ahead(self.clock.monotonic(), 0.75 + 0.15 * random());
            tokio::time::sleep(pause.max(SHORTEST_PAUSE)).await;
            // A request may have fetched in the meantime.
            if ready && fetcher.store().load_number() == seen {
                let _logged = self.refresh().await;
            }
        }
    }

    /// Requests a fetch. `seen` is the load number of the keys that the request read.
    pub(crate) fn request_fetch(
        &self,
        reason: FetchReason,
        seen: u64,
        now: Duration,
    ) -> FetchDecision {
        match &self.origin {
            KeyOrigin::Server(fetcher) => fetcher.request_fetch(&self.clock, reason, seen, now),
            KeyOrigin::Fixed(_) | KeyOrigin::File(_) => FetchDecision::Proceed,
        }
    }

    pub(crate) fn unavailable(&self, now: Duration) -> KeysUnavailable {
        match &self.origin {
            KeyOrigin::Server(fetcher) => fetcher.unavailable(now),
            KeyOrigin::Fixed(_) | KeyOrigin::File(_) => KeysUnavailable::default(),
        }
    }

    /// Returns the keys at `now` on the source's monotonic clock. Never waits.
    pub(crate) fn current(&self, now: Duration) -> CurrentKeys {
        if let KeyOrigin::File(file) = &self.origin {
            file.reload_if_due(now);
        }
        let snapshot = self.store().load();
        let (usable, due) = match (&self.origin, &*snapshot) {
            (_, None) => (false, false),
            (KeyOrigin::Server(fetcher), Some(snapshot)) => {
                (fetcher.is_usable(snapshot, now), fetcher.is_due(now))
            }
            (KeyOrigin::Fixed(_) | KeyOrigin::File(_), Some(_)) => (true, false),
        };
        CurrentKeys { snapshot, usable, due }
    }

    fn store(&self) -> &KeyStore {
        match &self.origin {
            KeyOrigin::Fixed(store) => store,
            KeyOrigin::File(file) => file.store(),
            KeyOrigin::Server(fetcher) => fetcher.store(),
        }
    }
}

impl From<Keys> for KeySource {
    fn from(keys: Keys) -> Self {
        let store = KeyStore::new("the given set");
        // `Keys::from_jwks` has rejected a set without keys.
        let _replaced = store.replace(keys, Load::without_age(Duration::ZERO));
        Self::new(KeyOrigin::Fixed(Arc::new(store)))
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match &self.origin {
            KeyOrigin::Fixed(_) => "keys",
            KeyOrigin::File(_) => "file",
            KeyOrigin::Server(_) => "remote",
        };
        let snapshot = self.store().load();
        f.debug_struct("KeySource")
            .field("origin", &origin)
            .field("keys", &snapshot.as_ref().map(|snapshot| &snapshot.keys))
            .finish_non_exhaustive()
    }
}

/// The keys that a request reads.
pub(crate) struct CurrentKeys {
    snapshot: Guard<Option<Arc<KeySnapshot>>>,
    usable: bool,
    /// Whether the keys are old enough for a fetch that may start now.
    pub(crate) due: bool,
}

impl CurrentKeys {
    /// Returns `None` if there are no keys or they exceed `max_stale_age`.
    pub(crate) fn snapshot(&self) -> Option<&KeySnapshot> {
        self.snapshot.as_deref().filter(|_| self.usable)
    }

    /// Returns the load number of the keys even if they are too old. Returns zero without keys.
    pub(crate) fn load_number(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.load_number)
    }
}
