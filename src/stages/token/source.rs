use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    file::TokenFile,
    value::{Token, TokenError, TokenFault},
};
use crate::{
    clock::SharedClock,
    secret::{Scrubber, Secret},
};

/// The source of the upstream's token. Clones share it.
///
/// ```
/// use tower_inference::{hf::{TokenFault, TokenSource}, secret::Secret};
///
/// assert!(TokenSource::value(Secret::new("hf_example")).is_ok());
/// let error = TokenSource::value(Secret::new("Bearer hf_example")).unwrap_err();
/// assert_eq!(error.fault, TokenFault::Scheme);
/// let error = TokenSource::env("NO_SUCH_TOKEN").unwrap_err();
/// assert_eq!(error.fault, TokenFault::NoVariable);
/// assert!(error.to_string().contains("NO_SUCH_TOKEN"));
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
    /// Returns an error for an empty token and for one with quotes around it, with `Bearer` in front,
    /// or with something other than visible ASCII. [`TokenFault`] lists the reasons.
    pub fn value(token: Secret) -> Result<Self, TokenError> {
        Ok(Self::fixed(token)?)
    }

    /// Reads the token once from the environment variable `name`.
    ///
    /// # Errors
    ///
    /// Returns [`TokenFault::NoVariable`] when the variable is missing and the errors of
    /// [`TokenSource::value`].
    #[expect(clippy::disallowed_methods, reason = "the caller names the variable")]
    pub fn env(name: &str) -> Result<Self, TokenError> {
        let value = std::env::var_os(name).ok_or(TokenFault::NoVariable);
        let text = value.and_then(|value| value.into_string().map_err(|_| TokenFault::Malformed));
        let source = text.and_then(|text| Self::fixed(Secret::new(text)));
        source.map_err(|fault| fault.at(shown(name)))
    }

    /// Reads the token from the file at `path` now and after each change of the file.
    ///
    /// Blank space at the end and a byte-order mark are ignored. At most once a second a request checks the file with one
    /// `stat`. It reads the file when modification time, length or inode differ. Symbolic links are
    /// followed, because Kubernetes swaps them. When the file is gone or has no valid token, the last
    /// good token stays in use and each change of this state is one WARN event.
    ///
    /// # Errors
    ///
    /// Returns [`TokenFault::Unreadable`], [`TokenFault::NotAFile`], [`TokenFault::TooLarge`] and the
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

    fn fixed(token: Secret) -> Result<Self, TokenFault> {
        let kind = SourceKind::Fixed(Arc::new(Token::new(token.expose())?));
        Ok(Self { kind, scrubber: Scrubber::new([token]) })
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
fn shown(name: &str) -> Option<Box<str>> {
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(is_name).then(|| name.into())
}
