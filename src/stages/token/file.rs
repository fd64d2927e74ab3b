use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    access::Refreshed,
    rejected::RejectedToken,
    value::{Token, TokenError, TokenFault, shown_path},
};
use crate::{
    clock::SharedClock,
    lock::Lock,
    lookalike::without_byte_order_mark,
    secret::Scrubber,
    secret_file::{FileFault, FileRules, SecretFile},
};

const RULES: FileRules = FileRules::new("token file", 16 * 1_024);

/// A file with a token and its last good token.
pub(super) struct TokenFile {
    file: Arc<SecretFile<FileToken, TokenFault>>,
    clock: SharedClock,
    scrubber: Scrubber,
    rejected: Lock<Option<RejectedToken>>,
}

struct FileToken {
    token: Arc<Token>,
    read_at: ReadAt,
}

/// When a token was read, in nanoseconds of the clock. The first request that sees a token sets it.
struct ReadAt(AtomicU64);

const UNSET: u64 = u64::MAX;

impl ReadAt {
    fn set_first(&self, now: Duration) {
        if self.0.load(Relaxed) == UNSET {
            let _earlier = self.0.compare_exchange(UNSET, nanos(now), Relaxed, Relaxed);
        }
    }

    fn set(&self, now: Duration) {
        self.0.store(nanos(now), Relaxed);
    }

    fn age(&self, now: Duration) -> Duration {
        self.set_first(now);
        now.saturating_sub(Duration::from_nanos(self.0.load(Relaxed)))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(UNSET - 1)
}

impl TokenFile {
    pub(super) fn open(path: PathBuf, rules: Rules) -> Result<Self, TokenError> {
        let rules = match rules {
            Rules::Strict => RULES,
            Rules::Writable => RULES.dangerous_writable(),
        };
        let scrubber = Scrubber::new([]);
        let known = scrubber.clone();
        let last = Lock::new(None::<Arc<Token>>);
        let parse = move |content: &[u8]| {
            let text = without_byte_order_mark(content).trim_ascii_end();
            let text = str::from_utf8(text).map_err(|_| TokenFault::Malformed)?;
            let mut last = last.lock();
            let same = last.as_ref().filter(|token| token.is(text));
            let token = match same {
                Some(token) => Arc::clone(token),
                None => {
                    let token = Arc::new(Token::new(text)?);
                    // First, so that no request carries a token that the scrubber does not know.
                    known.rotate(token.secret());
                    *last = Some(Arc::clone(&token));
                    token
                }
            };
            Ok(FileToken { token, read_at: ReadAt(AtomicU64::new(UNSET)) })
        };
        let file = SecretFile::open(&path, rules, parse)
            .map_err(|fault: TokenFault| fault.at(shown_path(&path)))?;
        let clock = SharedClock::default();
        file.last().read_at.set(clock.monotonic());
        Ok(Self { file: Arc::new(file), clock, scrubber, rejected: Lock::new(None) })
    }

    pub(super) fn with_clock(&self, clock: SharedClock) -> Self {
        self.file.check_next_time();
        // The two clocks may differ.
        self.file.last().read_at.set(clock.monotonic());
        Self {
            file: Arc::clone(&self.file),
            clock,
            scrubber: self.scrubber.clone(),
            rejected: Lock::new(None),
        }
    }

    pub(super) const fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }

    /// Returns the time since the current token was read.
    pub(super) fn age(&self) -> Duration {
        self.file.last().read_at.age(self.clock.monotonic())
    }

    pub(super) fn failures(&self) -> u64 {
        self.file.failures()
    }

    pub(super) fn current(&self) -> Arc<Token> {
        let now = self.clock.monotonic();
        let current = self.file.current(now);
        current.read_at.set_first(now);
        Arc::clone(&current.token)
    }

    /// Reads the file at once, because the upstream rejected its token.
    pub(super) fn refresh(&self, rejected: &Arc<Token>) -> Refreshed {
        let now = self.clock.monotonic();
        let changed = || {
            let current = self.file.last();
            current.read_at.set_first(now);
            !Arc::ptr_eq(&current.token, rejected)
        };
        if changed() {
            return Refreshed::Changed;
        }
        // One request reads. Others wait here for its result.
        let mut last = self.rejected.lock();
        if last.as_ref().is_some_and(|known| known.cools_down(rejected, now)) {
            return Refreshed::Unchanged;
        }
        self.file.check();
        if changed() {
            return Refreshed::Changed;
        }
        last.insert(RejectedToken::new(Arc::clone(rejected))).looked(None, now);
        Refreshed::Unchanged
    }
}

/// The users who may write the file of a token.
#[derive(Clone, Copy)]
pub(super) enum Rules {
    /// Only its owner.
    Strict,
    /// Its group and others too.
    Writable,
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl From<FileFault> for TokenFault {
    fn from(fault: FileFault) -> Self {
        match fault {
            FileFault::Unreadable(kind) => Self::Unreadable(kind),
            FileFault::NotAFile => Self::NotAFile,
            FileFault::TooLarge { .. } => Self::TooLarge,
            FileFault::Writable { mode } => Self::Writable { mode },
        }
    }
}
