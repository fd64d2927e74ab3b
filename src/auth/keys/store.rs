//! The current keys of a source.

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwapOption, Guard};
use http::{HeaderValue, Uri};

use super::{
    error::KeysFault,
    key_set::{Keys, SkippedKeys},
};
use crate::lock::Lock;

/// Holds the current set. A swap replaces the whole set, so readers never wait.
pub(crate) struct KeyStore {
    current: ArcSwapOption<KeySnapshot>,
    /// The skipped keys of the last log line. Only a change is logged again.
    skipped: Lock<SkippedKeys>,
    /// Names the origin of the keys in the log.
    name: Box<str>,
}

/// A set and when it was loaded.
pub(crate) struct KeySnapshot {
    pub(crate) keys: Keys,
    /// Counts the changes of the keys. A cached token is valid for one generation.
    pub(crate) generation: u64,
    /// Counts the loads from one.
    pub(super) load_number: u64,
    pub(super) load: Load,
}

/// How a set was loaded.
pub(crate) struct Load {
    /// The time on the source's monotonic clock.
    pub(super) at: Duration,
    /// How long the set may be used without a fetch.
    pub(super) lifetime: Duration,
    /// Tells the server which set there is.
    pub(super) validator: Option<Validator>,
}

impl Load {
    /// A load of a set that does not age.
    pub(super) const fn without_age(at: Duration) -> Self {
        Self { at, lifetime: Duration::MAX, validator: None }
    }

    /// Returns when the set ages.
    pub(super) const fn aged_at(&self) -> Duration {
        self.at.saturating_add(self.lifetime)
    }
}

/// The entity tag of a set and its address (RFC 9110 section 8.8.3).
#[derive(Clone)]
pub(crate) struct Validator {
    pub(super) address: Uri,
    pub(super) tag: HeaderValue,
}

impl KeyStore {
    pub(super) fn new(name: impl Into<Box<str>>) -> Self {
        Self { current: ArcSwapOption::empty(), skipped: Lock::default(), name: name.into() }
    }

    pub(super) const fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn load(&self) -> Guard<Option<Arc<KeySnapshot>>> {
        self.current.load()
    }

    /// Replaces the keys. Returns true if they differ from the previous keys. A set without keys is
    /// an error and replaces nothing.
    pub(super) fn replace(&self, keys: Keys, load: Load) -> Result<bool, KeysFault> {
        self.log_skipped(&keys);
        if keys.is_empty() {
            return Err(keys.without_usable_key());
        }
        let previous = self.current.load();
        let (generation, load_number, changed) =
            previous.as_ref().map_or((1, 1, true), |previous| {
                let changed = previous.keys != keys;
                (previous.generation + u64::from(changed), previous.load_number + 1, changed)
            });
        let snapshot = KeySnapshot { keys, generation, load_number, load };
        self.current.store(Some(Arc::new(snapshot)));
        Ok(changed)
    }

    fn log_skipped(&self, keys: &Keys) {
        let skipped = keys.skipped();
        {
            let mut last = self.skipped.lock();
            if *last == *skipped {
                return;
            }
            last.clone_from(skipped);
        }
        skipped.warn(&self.name, keys.count());
    }

    /// Returns the number of the last load. Returns zero before the first load.
    pub(super) fn load_number(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |snapshot| snapshot.load_number)
    }

    pub(super) fn loaded_at(&self) -> Option<Duration> {
        self.current.load().as_ref().map(|snapshot| snapshot.load.at)
    }
}
