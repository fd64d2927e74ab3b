use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use super::value::{Token, TokenError, TokenFault};
use crate::{
    clock::SharedClock, file_version::FileVersion, lock::Lock, lookalike::without_byte_order_mark,
    printable::Printable, secret::Scrubber,
};

const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const MAX_BYTES: u64 = 16 * 1_024;

/// A file with a token and its last good token.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    clock: SharedClock,
    // Monotonic milliseconds.
    next_check: AtomicU64,
    token: ArcSwap<Token>,
    scrubber: Scrubber,
    state: Lock<FileState>,
}

#[derive(Clone, Debug)]
struct FileState {
    // Of the last content, good or bad. `None` when the file could not be read.
    version: Option<FileVersion>,
    error: Option<TokenFault>,
    // When the current token was read, on the monotonic clock.
    read_at: Duration,
}

impl TokenFile {
    pub(super) fn open(path: PathBuf, clock: SharedClock) -> Result<Self, TokenError> {
        let failed = |fault: TokenFault| fault.at(shown(&path));
        let (version, token) = read(&path).map_err(failed)?;
        let token = token.map_err(failed)?;
        let scrubber = Scrubber::new([token.secret()]);
        let state = FileState { version: Some(version), error: None, read_at: clock.monotonic() };
        Ok(Self::new(path, clock, Arc::new(token), scrubber, state))
    }

    fn new(
        path: PathBuf,
        clock: SharedClock,
        token: Arc<Token>,
        scrubber: Scrubber,
        state: FileState,
    ) -> Self {
        let next_check = AtomicU64::new(millis(clock.monotonic() + CHECK_INTERVAL));
        let (token, state) = (ArcSwap::new(token), Lock::new(state));
        Self { path, clock, next_check, token, scrubber, state }
    }

    pub(super) fn with_clock(&self, clock: SharedClock) -> Self {
        let mut state = self.state.lock().clone();
        state.read_at = clock.monotonic();
        Self::new(self.path.clone(), clock, self.token.load_full(), self.scrubber(), state)
    }

    pub(super) fn scrubber(&self) -> Scrubber {
        self.scrubber.clone()
    }

    /// Returns the time since the current token was read.
    pub(super) fn age(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.state.lock().read_at)
    }

    pub(super) fn current(&self) -> Arc<Token> {
        let now = self.clock.monotonic();
        let due = self.next_check.load(Relaxed);
        // One request checks the file. Concurrent requests use the current token.
        if millis(now) >= due
            && self
                .next_check
                .compare_exchange(due, millis(now + CHECK_INTERVAL), Relaxed, Relaxed)
                .is_ok()
        {
            self.check();
        }
        self.token.load_full()
    }

    fn check(&self) {
        let version = stat(&self.path).map(|metadata| FileVersion::of(&metadata));
        if let Ok(version) = &version
            && self.state.lock().version.as_ref() == Some(version)
        {
            return;
        }
        let (version, token) = match version.and_then(|_changed| read(&self.path)) {
            Ok((version, token)) => (Some(version), token),
            Err(error) => (None, Err(error)),
        };
        let error = match token {
            Ok(token) => {
                // First, so that no request carries a token that the scrubber does not know.
                self.scrubber.rotate(token.secret());
                self.token.store(Arc::new(token));
                None
            }
            Err(error) => Some(error),
        };
        let before = {
            let mut state = self.state.lock();
            let read_at = if error.is_none() { self.clock.monotonic() } else { state.read_at };
            std::mem::replace(&mut *state, FileState { version, error: error.clone(), read_at })
        };
        let path = Printable(self.path.display());
        match (before.error, error) {
            (before, Some(error)) if before.as_ref() != Some(&error) => {
                tracing::warn!(%path, %error, "the token's file is not valid; the last good token stays in use");
            }
            (Some(_), None) => tracing::info!(%path, "the token's file is valid again"),
            _ => {}
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn stat(path: &Path) -> Result<Metadata, TokenFault> {
    let metadata = fs::metadata(path).map_err(unreadable)?;
    // Opening a pipe would wait for its writer.
    if metadata.is_file() { Ok(metadata) } else { Err(TokenFault::NotAFile) }
}

/// Reads the file and its version. The inner result is about the content.
fn read(path: &Path) -> Result<(FileVersion, Result<Token, TokenFault>), TokenFault> {
    stat(path)?;
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file, because the path may lead to another one by now.
    let version = FileVersion::of(&file.metadata().map_err(unreadable)?);
    // Full capacity at once, because a growing buffer leaves unwiped copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 32));
    file.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_BYTES {
        return Ok((version, Err(TokenFault::TooLarge)));
    }
    let text = without_byte_order_mark(&content).trim_ascii_end();
    let token = str::from_utf8(text).map_err(|_| TokenFault::Malformed);
    Ok((version, token.and_then(Token::new)))
}

fn unreadable(error: io::Error) -> TokenFault {
    TokenFault::Unreadable(error.kind())
}

/// Returns a path, or nothing when it may be a token that was passed by mistake.
fn shown(path: &Path) -> Option<Box<str>> {
    const STARTS: [&str; 4] = ["hf_", "api_", "sk-", "eyJ"];
    let text = Printable(path.display()).to_string();
    let is_word = !text.contains(['/', '\\']);
    let is_long = text.len() >= 20 && !text.contains('.');
    let is_token = is_word && (is_long || STARTS.iter().any(|start| text.starts_with(start)));
    (!is_token).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_file_is_not_read_again() {
        let path = std::env::temp_dir().join(format!("tower-inference-{}", std::process::id()));
        fs::write(&path, "token").unwrap();
        let file = TokenFile::open(path.clone(), SharedClock::default()).unwrap();
        let before = file.token.load_full();
        file.check();
        assert!(Arc::ptr_eq(&before, &file.token.load_full()));
        fs::write(&path, "other").unwrap();
        file.check();
        assert!(!Arc::ptr_eq(&before, &file.token.load_full()));
        fs::remove_file(path).unwrap();
    }
}
