use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    file::TokenFile,
    value::{Token, TokenError},
};
use crate::{
    clock::SharedClock,
    secret::{Scrubber, Secret},
};

/// The source of the upstream's token. Clones share it.
///
/// ```
/// use tower_inference::{hf::{TokenError, TokenSource}, secret::Secret};
///
/// assert!(TokenSource::value(Secret::new("hf_example")).is_ok());
/// assert_eq!(TokenSource::value(Secret::new("")).unwrap_err(), TokenError::Empty);
/// assert_eq!(
///     TokenSource::env("NO_SUCH_TOKEN").unwrap_err(),
///     TokenError::NoVariable("NO_SUCH_TOKEN".to_owned()),
/// );
/// ```
#[derive(Clone, Debug)]
pub struct TokenSource {
    kind: SourceKind,
    // Removes the current token and the ones that it replaced.
    scrubber: Scrubber,
}

#[derive(Clone, Debug)]
enum SourceKind {
    Fixed(Arc<Token>),
    File(Arc<TokenFile>),
}

impl TokenSource {
    /// Uses `token` as it is.
    ///
    /// # Errors
    ///
    /// Returns [`TokenError::Empty`] for an empty token and [`TokenError::Malformed`] for a token with
    /// something other than visible ASCII.
    pub fn value(token: Secret) -> Result<Self, TokenError> {
        let kind = SourceKind::Fixed(Arc::new(Token::new(token.expose())?));
        Ok(Self { kind, scrubber: Scrubber::new([token]) })
    }

    /// Reads the token once from the environment variable `name`.
    ///
    /// # Errors
    ///
    /// Returns [`TokenError::NoVariable`] when the variable is missing and the errors of
    /// [`TokenSource::value`].
    #[expect(clippy::disallowed_methods, reason = "the caller names the variable")]
    pub fn env(name: &str) -> Result<Self, TokenError> {
        let value = std::env::var_os(name).ok_or_else(|| TokenError::NoVariable(shown(name)))?;
        Self::value(Secret::new(value.into_string().map_err(|_| TokenError::Malformed)?))
    }

    /// Reads the token from the file at `path` now and after each change of the file.
    ///
    /// Blank space at the end is ignored. At most once a second a request checks the file with one
    /// `stat`. It reads the file when modification time, length or inode differ. Symbolic links are
    /// followed, because Kubernetes swaps them. When the file is gone or has no valid token, the last
    /// good token stays in use and each change of this state is one WARN event.
    ///
    /// # Errors
    ///
    /// Returns [`TokenError::Unreadable`], [`TokenError::NotAFile`], [`TokenError::TooLarge`] and the
    /// errors of [`TokenSource::value`].
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, TokenError> {
        let file = TokenFile::open(path.into(), SharedClock::default())?;
        let scrubber = file.scrubber();
        Ok(Self { kind: SourceKind::File(Arc::new(file)), scrubber })
    }

    /// Sets the clock that decides when to check the file. Defaults to the system's clock.
    #[must_use]
    pub fn clock(self, clock: SharedClock) -> Self {
        let kind = match self.kind {
            SourceKind::File(file) => SourceKind::File(Arc::new(file.with_clock(clock))),
            fixed @ SourceKind::Fixed(_) => fixed,
        };
        Self { kind, ..self }
    }

    /// Returns the time since the token was read from its file. Returns `None` without a file.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        match &self.kind {
            SourceKind::Fixed(_) => None,
            SourceKind::File(file) => Some(file.age()),
        }
    }

    /// Returns the token to send now.
    pub(crate) fn current(&self) -> Arc<Token> {
        match &self.kind {
            SourceKind::Fixed(token) => Arc::clone(token),
            SourceKind::File(file) => file.current(),
        }
    }

    pub(crate) const fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }
}

/// Returns the name of a variable, or nothing when it may be a token that was passed by mistake.
///
/// By convention a name has no lower-case letters (POSIX.1-2024, section 8.1). Tokens have some.
fn shown(name: &str) -> String {
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if name.bytes().all(is_name) { name.to_owned() } else { String::new() }
}
