//! Keys from a file. Requests reload it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;

use super::{
    error::{KeysError, KeysFault},
    key_set::{Keys, MAX_SET_BYTES},
    store::{KeyStore, Load},
};
use crate::{fetch::Deadline, lock::Lock, printable::Printable};

const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct KeyFile {
    path: PathBuf,
    store: KeyStore,
    next_reload: Deadline,
    last_read: Lock<LastRead>,
}

struct LastRead {
    /// The content shows a change. Timestamps of files are too coarse and a length may repeat.
    content: Bytes,
    failed: bool,
    failures: u64,
}

impl KeyFile {
    pub(super) fn open(path: &Path) -> Result<Self, KeysError> {
        let content = read(path)?;
        let store = KeyStore::new(Printable(path.display()).to_string());
        let keys = Keys::parse(content.clone());
        keys.and_then(|keys| store.replace(keys, Load::without_age(Duration::ZERO)))
            .map_err(|fault| fault.at(path.display()))?;
        let last_read = Lock::new(LastRead { content, failed: false, failures: 0 });
        Ok(Self { path: path.to_owned(), store, next_reload: Deadline::default(), last_read })
    }

    pub(super) const fn store(&self) -> &KeyStore {
        &self.store
    }

    /// Returns how often the file became unusable.
    pub(super) fn failures(&self) -> u64 {
        self.last_read.lock().failures
    }

    /// Reloads the file unless it was reloaded within the interval or another thread reloads it.
    pub(super) fn reload_if_due(&self, now: Duration) {
        if self.next_reload.claim(now) {
            self.reload(now);
            self.next_reload.set(now.saturating_add(RELOAD_INTERVAL));
        }
    }

    fn reload(&self, now: Duration) {
        let mut last_read = self.last_read.lock();
        let file = self.store.name();
        let reloaded = read(&self.path).and_then(|content| {
            if content == last_read.content {
                return Ok(());
            }
            let placed = |fault: KeysFault| fault.at(self.path.display());
            let keys = Keys::parse(content.clone()).map_err(placed)?;
            let count = keys.count();
            let changed = self.store.replace(keys, Load::without_age(now)).map_err(placed)?;
            last_read.content = content;
            if changed {
                tracing::info!(keys = count, %file, "keys changed");
            }
            Ok(())
        });
        let failed = reloaded.is_err();
        if failed != std::mem::replace(&mut last_read.failed, failed) {
            match reloaded {
                Ok(()) => tracing::info!(%file, "the key file is usable again"),
                Err(KeysError { fault: reason, .. }) => {
                    last_read.failures += 1;
                    tracing::warn!(%file, %reason, "cannot use the key file; the last keys stay in use");
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<Bytes, KeysError> {
    let unreadable = |error: io::Error| KeysFault::Unreadable(error.kind()).at(path.display());
    // Checked before the file is opened. Opening a pipe blocks until another process writes to it.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(KeysFault::NotAFile.at(path.display()));
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(MAX_SET_BYTES as u64 + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() > MAX_SET_BYTES {
        return Err(KeysFault::TooLarge.at(path.display()));
    }
    Ok(content.into())
}
