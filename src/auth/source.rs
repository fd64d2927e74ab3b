use std::{fmt, path::Path, sync::Arc, time::Duration};

use arc_swap::{ArcSwapOption, Guard};

use super::{
    error::KeysError,
    file::KeyFile,
    key_set::{Keys, SkippedKeys},
    fetcher::{KeysUnavailable, FetchDecision, FetchReason, KeyFetcher},
};
use crate::{clock::SharedClock, lock::Lock, printable::Printable};

/// Where the keys come from: a set, a file, or (see [`RemoteKeys`]) a server. Clones share them.
///
/// The keys are a snapshot that is swapped as a whole, so readers never wait for each other. A set
/// that cannot be used never replaces one that can. There is no background task: what is read or
/// fetched_at is so in the course of a request, or of [`KeySource::refresh`].
///
/// [`RemoteKeys`]: super::RemoteKeys
#[derive(Clone)]
pub struct KeySource {
    pub(super) clock: SharedClock,
    pub(super) shared: Arc<KeyStore>,
}

/// What the clones of a source share.
pub(super) struct KeyStore {
    current: ArcSwapOption<KeySnapshot>,
    /// The keys that were skipped last, so that they are reported once.
    skipped: Lock<SkippedKeys>,
    pub(super) origin: SourceKind,
}

pub(super) enum SourceKind {
    Fixed,
    File(KeyFile),
    Remote(KeyFetcher),
}

/// The keys as they were at one time.
pub(super) struct KeySnapshot {
    pub(super) keys: Keys,
    /// Counts the changes of the keys, so that what was verified with others can be told.
    pub(super) generation: u64,
    /// Counts the fetches, from one.
    pub(super) fetch_number: u64,
    /// When they were fetched_at, on the source's clock.
    pub(super) fetched_at: Duration,
}

impl KeySource {
    /// The keys of a JWKS file, read now and looked at again by requests, once a second at most. A
    /// changed file is taken within that second; one that cannot be used is reported once, and the
    /// last good keys stay, however long.
    ///
    /// The file is read on the thread of the request: it belongs on a local disk. At most 150,000
    /// bytes of it are read.
    ///
    /// # Errors
    ///
    /// [`KeysError`] when the file cannot be used now.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, KeysError> {
        let (file, keys) = KeyFile::open(path.as_ref())?;
        let source = Self::new(SourceKind::File(file));
        source.shared.accept(keys, Duration::ZERO)?;
        Ok(source)
    }

    pub(super) fn new(origin: SourceKind) -> Self {
        let shared = KeyStore { current: ArcSwapOption::empty(), skipped: Lock::default(), origin };
        Self { clock: SharedClock::default(), shared: Arc::new(shared) }
    }

    /// Reads the ages of the keys from `clock`. Set it before the source is cloned: what one clock
    /// wrote down another cannot read.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Whether there are keys that may be used: what a readiness probe asks. Asks nobody.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.current(self.clock.monotonic()).snapshot().is_some()
    }

    /// Fetches the keys now, or joins those who do: drive it at the start, so that the first request
    /// does not wait. Without effect for a set or a file.
    ///
    /// # Errors
    ///
    /// [`KeysError`] when no keys could be had. Those from before stay.
    pub async fn refresh(&self) -> Result<(), KeysError> {
        let Some(remote) = self.remote() else {
            return Ok(());
        };
        let waiter = remote.fetch_now(self, self.clock.monotonic()).ok_or(KeysError::Busy)?;
        waiter.await.unwrap_or(Err(KeysError::Panicked))
    }

    /// Asks for a fetch on behalf of a request that saw the keys of number `seen`.
    pub(super) fn request_fetch(&self, reason: FetchReason, seen: u64, now: Duration) -> FetchDecision {
        self.remote().map_or(FetchDecision::Proceed, |remote| remote.request_fetch(self, reason, seen, now))
    }

    /// Why there are no keys, and for how long.
    pub(super) fn unavailable(&self, now: Duration) -> KeysUnavailable {
        self.remote().map_or_else(KeysUnavailable::default, |remote| remote.unavailable(now))
    }

    pub(super) fn remote(&self) -> Option<&KeyFetcher> {
        match &self.shared.origin {
            SourceKind::Remote(remote) => Some(remote),
            SourceKind::Fixed | SourceKind::File(_) => None,
        }
    }

    /// The keys at `now`, of the source's clock. Waits for nobody.
    pub(super) fn current(&self, now: Duration) -> CurrentKeys {
        if let SourceKind::File(file) = &self.shared.origin {
            file.reload_if_due(now, &self.shared);
        }
        let snapshot = self.shared.current.load();
        let (usable, due) = match (&self.shared.origin, &*snapshot) {
            (_, None) => (false, false),
            (SourceKind::Remote(remote), Some(snapshot)) => remote.usable_and_due(snapshot, now),
            (_, Some(_)) => (true, false),
        };
        CurrentKeys { snapshot, usable, due }
    }
}

impl From<Keys> for KeySource {
    fn from(keys: Keys) -> Self {
        let source = Self::new(SourceKind::Fixed);
        // Whoever made them has heard of it when there were none.
        let _usable = source.shared.accept(keys, Duration::ZERO);
        source
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match &self.shared.origin {
            SourceKind::Fixed => "keys",
            SourceKind::File(_) => "file",
            SourceKind::Remote(_) => "remote",
        };
        let snapshot = self.shared.current.load();
        f.debug_struct("KeySource")
            .field("origin", &origin)
            .field("keys", &snapshot.as_ref().map(|snapshot| &snapshot.keys))
            .finish_non_exhaustive()
    }
}

impl KeyStore {
    /// Takes a set that came in: reports what is skipped of it, if that is not what was skipped last,
    /// and swaps its keys in. Says whether they are others than before.
    pub(super) fn accept(&self, keys: Keys, now: Duration) -> Result<bool, KeysError> {
        let skipped = keys.skipped();
        let changed = {
            let mut last = self.skipped.lock();
            let changed = *last != *skipped;
            if changed {
                last.clone_from(skipped);
            }
            changed
        };
        if changed {
            match &self.origin {
                SourceKind::Fixed => skipped.warn("the given set", keys.count()),
                SourceKind::File(file) => {
                    skipped.warn(Printable(file.path().display()), keys.count());
                }
                SourceKind::Remote(remote) => skipped.warn(remote.host(), keys.count()),
            }
        }
        if keys.is_empty() { Err(KeysError::NoUsableKey) } else { Ok(self.replace(keys, now)) }
    }

    fn replace(&self, keys: Keys, now: Duration) -> bool {
        let before = self.current.load();
        let (generation, fetch_number, changed) = before.as_ref().map_or((1, 1, true), |before| {
            let changed = before.keys != keys;
            (before.generation + u64::from(changed), before.fetch_number + 1, changed)
        });
        self.current.store(Some(Arc::new(KeySnapshot { keys, generation, fetch_number, fetched_at: now })));
        changed
    }

    /// The number of the last fetch that brought keys, or zero.
    pub(super) fn fetch_number(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |snapshot| snapshot.fetch_number)
    }

    /// When the keys were fetched_at.
    pub(super) fn fetched_at(&self) -> Option<Duration> {
        self.current.load().as_ref().map(|snapshot| snapshot.fetched_at)
    }
}

/// The keys that a request finds.
pub(super) struct CurrentKeys {
    snapshot: Guard<Option<Arc<KeySnapshot>>>,
    usable: bool,
    /// They are of an age to be fetched_at again, and it is time to try.
    pub(super) due: bool,
}

impl CurrentKeys {
    /// `None` when there are none, or they are too old to be used.
    pub(super) fn snapshot(&self) -> Option<&KeySnapshot> {
        self.snapshot.as_deref().filter(|_| self.usable)
    }

    /// The number of the fetch that brought them, also when they are too old; zero for none.
    pub(super) fn fetch_number(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.fetch_number)
    }
}
