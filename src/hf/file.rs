use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use super::token::{Token, TokenError};
use crate::{clock::SharedClock, lock::Lock, printable::Printable, secret::Scrubber};

const LOOK_EVERY: Duration = Duration::from_secs(1);
const MAX_BYTES: u64 = 16 * 1_024;

/// A file that holds a token, and the last good one that it held.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    clock: SharedClock,
    // Monotonic milliseconds.
    next_look: AtomicU64,
    token: ArcSwap<Token>,
    scrubber: Scrubber,
    seen: Lock<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    // Of what was read last, good or bad; `None` when there was nothing to read.
    stamp: Option<Stamp>,
    // What is wrong with it.
    trouble: Option<TokenError>,
}

impl TokenFile {
    pub(super) fn open(path: PathBuf, clock: SharedClock) -> Result<Self, TokenError> {
        let (stamp, token) = read(&path)?;
        let token = token?;
        let scrubber = Scrubber::new([token.secret()]);
        let seen = Seen { stamp: Some(stamp), trouble: None };
        Ok(Self::new(path, clock, Arc::new(token), scrubber, seen))
    }

    fn new(
        path: PathBuf,
        clock: SharedClock,
        token: Arc<Token>,
        scrubber: Scrubber,
        seen: Seen,
    ) -> Self {
        let next_look = AtomicU64::new(millis(clock.monotonic() + LOOK_EVERY));
        let (token, seen) = (ArcSwap::new(token), Lock::new(seen));
        Self { path, clock, next_look, token, scrubber, seen }
    }

    pub(super) fn with_clock(&self, clock: SharedClock) -> Self {
        let seen = self.seen.lock().clone();
        Self::new(self.path.clone(), clock, self.token.load_full(), self.scrubber(), seen)
    }

    pub(super) fn scrubber(&self) -> Scrubber {
        self.scrubber.clone()
    }

    pub(super) fn current(&self) -> Arc<Token> {
        let now = self.clock.monotonic();
        let due = self.next_look.load(Relaxed);
        // Of those who find it due, one looks; the others go on with the token there is.
        if millis(now) >= due
            && self
                .next_look
                .compare_exchange(due, millis(now + LOOK_EVERY), Relaxed, Relaxed)
                .is_ok()
        {
            self.look();
        }
        self.token.load_full()
    }

    fn look(&self) {
        let stamp = stat(&self.path).map(|metadata| Stamp::of(&metadata));
        if let Ok(stamp) = &stamp
            && self.seen.lock().stamp.as_ref() == Some(stamp)
        {
            return;
        }
        let (stamp, token) = match stamp.and_then(|_changed| read(&self.path)) {
            Ok((stamp, token)) => (Some(stamp), token),
            Err(error) => (None, Err(error)),
        };
        let trouble = match token {
            Ok(token) => {
                // First, so that no request carries a token that is not looked for.
                self.scrubber.rotate(token.secret());
                self.token.store(Arc::new(token));
                None
            }
            Err(error) => Some(error),
        };
        let before =
            std::mem::replace(&mut *self.seen.lock(), Seen { stamp, trouble: trouble.clone() });
        let path = Printable(self.path.display());
        match (before.trouble, trouble) {
            (before, Some(trouble)) if before.as_ref() != Some(&trouble) => {
                tracing::warn!(%path, error = %trouble, "the last good token stays in use");
            }
            (Some(_), None) => tracing::info!(%path, "the token's file is good again"),
            _ => {}
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    // Device, inode, and time of the last change to it: a file that is replaced, or rewritten
    // within one tick of the modification time.
    #[cfg(unix)]
    inode: (u64, u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn stat(path: &Path) -> Result<Metadata, TokenError> {
    let metadata = fs::metadata(path).map_err(unreadable)?;
    // To open a pipe would wait for its writer.
    if metadata.is_file() { Ok(metadata) } else { Err(TokenError::NotAFile) }
}

/// Reads the file, and says of what state of it that was. The inner error is of the content.
fn read(path: &Path) -> Result<(Stamp, Result<Token, TokenError>), TokenError> {
    stat(path)?;
    let file = File::open(path).map_err(unreadable)?;
    // Of the file that is open, whatever the path leads to by now.
    let stamp = Stamp::of(&file.metadata().map_err(unreadable)?);
    // Room for all at once: a buffer that grows leaves its old content behind unwiped.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 32));
    file.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_BYTES {
        return Ok((stamp, Err(TokenError::TooLarge)));
    }
    let token = str::from_utf8(content.trim_ascii_end()).map_err(|_| TokenError::Malformed);
    Ok((stamp, token.and_then(Token::new)))
}

fn unreadable(error: io::Error) -> TokenError {
    TokenError::Unreadable(error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_did_not_change_is_not_read_again() {
        let path = std::env::temp_dir().join(format!("tower-inference-{}", std::process::id()));
        fs::write(&path, "token").unwrap();
        let file = TokenFile::open(path.clone(), SharedClock::default()).unwrap();
        let before = file.token.load_full();
        file.look();
        assert!(Arc::ptr_eq(&before, &file.token.load_full()));
        fs::write(&path, "other").unwrap();
        file.look();
        assert!(!Arc::ptr_eq(&before, &file.token.load_full()));
        fs::remove_file(path).unwrap();
    }
}
