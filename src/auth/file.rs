//! Keys in a file, looked at in the course of requests.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use super::{MAX_BYTES, error::KeysError, key_set::Keys, nanos, source::KeyStore};
use crate::{lock::Lock, printable::Printable};

const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct KeyFile {
    path: PathBuf,
    /// When to look again, in nanoseconds; the maximum while someone does.
    next_reload: AtomicU64,
    last_read: Lock<LastRead>,
}

struct LastRead {
    /// The content itself: times of files are too coarse, and lengths repeat.
    content: Vec<u8>,
    failing: bool,
}

impl KeyFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn open(path: &Path) -> Result<(Self, Keys), KeysError> {
        let content = read(path)?;
        let keys = Keys::from_jwks(&content)?;
        let last_read = Lock::new(LastRead { content, failing: false });
        Ok((Self { path: path.to_owned(), next_reload: AtomicU64::new(0), last_read }, keys))
    }

    /// Takes what has changed, if it is time to look and nobody else does.
    pub(super) fn reload_if_due(&self, now: Duration, store: &KeyStore) {
        let next_reload = self.next_reload.load(SeqCst);
        if nanos(now) < next_reload || self.next_reload.compare_exchange(next_reload, u64::MAX, SeqCst, SeqCst).is_err()
        {
            return;
        }
        self.reload(now, store);
        self.next_reload.store(nanos(now.saturating_add(RELOAD_INTERVAL)), SeqCst);
    }

    fn reload(&self, now: Duration, store: &KeyStore) {
        let mut last_read = self.last_read.lock();
        let path = Printable(self.path.display());
        let taken = read(&self.path).and_then(|content| {
            if content == last_read.content {
                return Ok(());
            }
            let keys = Keys::read(&content)?;
            let count = keys.count();
            let changed = store.accept(keys, now)?;
            last_read.content = content;
            if changed {
                tracing::info!(keys = count, file = %path, "the keys have changed");
            }
            Ok(())
        });
        let failing = taken.is_err();
        if failing != std::mem::replace(&mut last_read.failing, failing) {
            match taken {
                Ok(()) => tracing::info!(file = %path, "the keys can be read again"),
                Err(reason) => {
                    tracing::warn!(file = %path, %reason, "the keys cannot be read; the last stay");
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeysError> {
    let unreadable = |_| KeysError::Unreadable;
    // Asked before it is opened: a pipe would keep us until somebody writes.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(KeysError::Unreadable);
    }
    let file = File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() > MAX_BYTES { Err(KeysError::TooLarge) } else { Ok(content) }
}
