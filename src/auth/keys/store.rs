//! The current keys of a source.

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwapOption, Guard};

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
    /// The time of the load on the source's monotonic clock.
    pub(super) loaded_at: Duration,
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
    pub(super) fn replace(&self, keys: Keys, now: Duration) -> Result<bool, KeysFault> {
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
        let snapshot = KeySnapshot { keys, generation, load_number, loaded_at: now };
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
        self.current.load().as_ref().map(|snapshot| snapshot.loaded_at)
    }
}
