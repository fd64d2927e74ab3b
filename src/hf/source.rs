use std::{path::PathBuf, sync::Arc};

use super::{
    file::TokenFile,
    token::{Token, TokenError},
};
use crate::{
    clock::SharedClock,
    secret::{Scrubber, Secret},
};

/// Where the token comes from. Clones share it.
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
    kind: Kind,
    // Of the token, and of those that it has replaced.
    scrubber: Scrubber,
}

#[derive(Clone, Debug)]
enum Kind {
    Fixed(Arc<Token>),
    File(Arc<TokenFile>),
}

impl TokenSource {
    /// This very token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Empty`], and [`TokenError::Malformed`] unless it is visible ASCII throughout.
    pub fn value(token: Secret) -> Result<Self, TokenError> {
        let kind = Kind::Fixed(Arc::new(Token::new(token.expose())?));
        Ok(Self { kind, scrubber: Scrubber::new([token]) })
    }

    /// The token in the environment's variable `name`, read now and never again.
    ///
    /// # Errors
    ///
    /// As [`TokenSource::value`], and [`TokenError::NoVariable`].
    #[expect(clippy::disallowed_methods, reason = "the caller names the variable")]
    pub fn env(name: &str) -> Result<Self, TokenError> {
        let value = std::env::var_os(name).ok_or_else(|| TokenError::NoVariable(shown(name)))?;
        Self::value(Secret::new(value.into_string().map_err(|_| TokenError::Malformed)?))
    }

    /// The token in the file at `path`, without the blank space at its end; read now, and again
    /// whenever the file has changed.
    ///
    /// Looked at once a second at most, by the request that comes then: one `stat`, and when
    /// modification time, length or inode differ (through symbolic links, as Kubernetes swaps
    /// them), one read. A file that vanished, or holds no token, leaves the last good token in
    /// place, with one WARN for each change of its state.
    ///
    /// # Errors
    ///
    /// As [`TokenSource::value`], and [`TokenError::Unreadable`], [`TokenError::NotAFile`] and
    /// [`TokenError::TooLarge`].
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, TokenError> {
        let file = TokenFile::open(path.into(), SharedClock::default())?;
        let scrubber = file.scrubber();
        Ok(Self { kind: Kind::File(Arc::new(file)), scrubber })
    }

    /// The clock that says when a second has passed. The system's by default.
    #[must_use]
    pub fn clock(self, clock: SharedClock) -> Self {
        let kind = match self.kind {
            Kind::File(file) => Kind::File(Arc::new(file.with_clock(clock))),
            fixed @ Kind::Fixed(_) => fixed,
        };
        Self { kind, ..self }
    }

    /// The token to send now. There always is one: without, there is no source.
    pub(super) fn current(&self) -> Arc<Token> {
        match &self.kind {
            Kind::Fixed(token) => Arc::clone(token),
            Kind::File(file) => file.current(),
        }
    }

    pub(super) const fn scrubber(&self) -> &Scrubber {
        &self.scrubber
    }
}

/// The name of a variable, unless it looks like the token that should have been in the variable.
/// Names have no lower-case letters by convention (POSIX.1-2024, section 8.1); tokens have some.
fn shown(name: &str) -> String {
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if name.bytes().all(is_name) { name.to_owned() } else { String::new() }
}
