//! The last good value of a file.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};

use super::read::{Content, FileContent, FileFault, FileRules, read};
use crate::{file_version::FileVersion, lock::Lock, printable::Printable};

const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Reads of one metadata before it stands for the content. They span two seconds, because two writes
/// within one tick of the file system's clock leave the same metadata.
const SETTLED_READS: u32 = 3;

/// A file and its last good value.
///
/// `E` is the error of the owner. It is logged, so its text must not have a secret.
pub(crate) struct SecretFile<T, E> {
    path: PathBuf,
    rules: FileRules,
    parse: Box<Parse<T, E>>,
    value: ArcSwap<T>,
    /// Monotonic nanoseconds. `NEVER` while a request reads.
    next_check: AtomicU64,
    pub(super) state: Lock<FileState<E>>,
}

type Parse<T, E> = dyn Fn(&[u8]) -> Result<T, E> + Send + Sync;

const NEVER: u64 = u64::MAX;

pub(super) struct FileState<E> {
    /// Keys the hash of the content, so that nobody can choose two contents with one hash.
    hasher: RandomState,
    /// The hash of the last content, good or bad.
    content: Option<u64>,
    version: Option<FileVersion>,
    /// Consecutive reads with this version.
    pub(super) reads: u32,
    pub(super) error: Option<E>,
    /// How often the file became invalid.
    #[cfg(feature = "hf")]
    failures: u64,
    pub(super) warned: bool,
}

impl<T, E> SecretFile<T, E>
where
    E: From<FileFault> + PartialEq + fmt::Display,
{
    /// Reads the file. Fails where a later read would keep the last good value.
    pub(crate) fn open(
        path: impl Into<PathBuf>,
        rules: FileRules,
        parse: impl Fn(&[u8]) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let path = path.into();
        let mut state = FileState {
            hasher: RandomState::new(),
            content: None,
            version: None,
            reads: 0,
            error: None,
            #[cfg(feature = "hf")]
            failures: 0,
            warned: false,
        };
        let content = read(&path, rules, None)?;
        let value = match content {
            Content::Read(file) => {
                let value = parse(&file.bytes)?;
                state.note(&path, rules, &file);
                value
            }
            // Only with a known version.
            Content::Unchanged => return Err(FileFault::Unreadable(io::ErrorKind::Other).into()),
        };
        Ok(Self {
            path,
            rules,
            parse: Box::new(parse),
            value: ArcSwap::from_pointee(value),
            next_check: AtomicU64::new(0),
            state: Lock::new(state),
        })
    }

    /// Returns the current value. Re-reads the file first if that is due and no other thread does.
    ///
    /// `now` is the time on one monotonic clock.
    pub(crate) fn current(&self, now: Duration) -> Guard<Arc<T>> {
        let due = self.next_check.load(SeqCst);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(NEVER - 1);
        if nanos(now) >= due && self.next_check.compare_exchange(due, NEVER, SeqCst, SeqCst).is_ok()
        {
            self.check();
            self.next_check.store(nanos(now.saturating_add(CHECK_INTERVAL)), SeqCst);
        }
        self.value.load()
    }

    /// Returns the current value without a look at the file.
    #[cfg(feature = "hf")]
    pub(crate) fn last(&self) -> Guard<Arc<T>> {
        self.value.load()
    }

    /// Returns how often the file became invalid, or invalid for another reason.
    #[cfg(feature = "hf")]
    pub(crate) fn failures(&self) -> u64 {
        self.state.lock().failures
    }

    /// Lets the next request re-read the file whatever the time is.
    #[cfg(feature = "hf")]
    pub(crate) fn check_next_time(&self) {
        self.next_check.store(0, SeqCst);
    }

    /// Re-reads the file now.
    pub(crate) fn check(&self) {
        let mut state = self.state.lock();
        // A bad content is parsed again only after it changed.
        let error = match self.changed(&mut state) {
            Ok(None) => return,
            Ok(Some(value)) => {
                self.value.store(Arc::new(value));
                None
            }
            Err(error) => Some(error),
        };
        if state.error == error {
            return;
        }
        let (kind, path) = (self.rules.kind, Printable(self.path.display()));
        match &error {
            Some(error) => {
                #[cfg(feature = "hf")]
                {
                    state.failures += 1;
                }
                let error = Printable(error);
                tracing::warn!(%path, %error, "the {kind} is not valid; its last good content stays in use");
            }
            None => tracing::info!(%path, "the {kind} is valid again"),
        }
        state.error = error;
    }

    /// Returns the value of a new content and `None` for the content of the last read.
    fn changed(&self, state: &mut FileState<E>) -> Result<Option<T>, E> {
        let settled = state.version.filter(|_| state.reads >= SETTLED_READS);
        let file = match read(&self.path, self.rules, settled) {
            Ok(Content::Unchanged) => return Ok(None),
            Ok(Content::Read(file)) => file,
            Err(fault) => {
                // The content counts as new when it can be read again.
                (state.content, state.version) = (None, None);
                return Err(fault.into());
            }
        };
        if !state.note(&self.path, self.rules, &file) {
            return Ok(None);
        }
        (self.parse)(&file.bytes).map(Some)
    }
}

impl<E> FileState<E> {
    /// Notes a read. Returns whether the content is new.
    fn note(&mut self, path: &Path, rules: FileRules, file: &FileContent) -> bool {
        if file.readable_by_others && !self.warned {
            self.warned = true;
            let (kind, path) = (rules.kind, Printable(path.display()));
            tracing::warn!(
                %path,
                "every user of this machine can read the {kind}: run `chmod o-r` on it, or set \
                 `defaultMode: 0440` on the volume of Kubernetes"
            );
        }
        self.reads =
            if self.version == Some(file.version) { self.reads.saturating_add(1) } else { 1 };
        self.version = Some(file.version);
        let content = self.hasher.hash_one(&*file.bytes);
        self.content.replace(content) != Some(content)
    }
}

impl<T, E> fmt::Debug for SecretFile<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretFile")
            .field("path", &self.path)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
