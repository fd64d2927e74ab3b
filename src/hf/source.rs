use std::{path::PathBuf, sync::Arc};

use super::{
    file::TokenFile,
    token::{Token, TokenError},
};
use crate::{clock::SharedClock, secret::Secret};

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
pub struct TokenSource(Kind);

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
        Token::new(token.expose()).map(Arc::new).map(Kind::Fixed).map(Self)
    }

    /// The token in the environment's variable `name`, read now and never again.
    ///
    /// # Errors
    ///
    /// As [`TokenSource::value`], and [`TokenError::NoVariable`].
    #[expect(clippy::disallowed_methods, reason = "the caller names the variable")]
    pub fn env(name: &str) -> Result<Self, TokenError> {
        let value =
            std::env::var_os(name).ok_or_else(|| TokenError::NoVariable(name.to_owned()))?;
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
        Ok(Self(Kind::File(Arc::new(file))))
    }

    /// The clock that says when a second has passed. The system's by default.
    #[must_use]
    pub fn clock(self, clock: SharedClock) -> Self {
        match self.0 {
            Kind::File(file) => Self(Kind::File(Arc::new(file.with_clock(clock)))),
            fixed @ Kind::Fixed(_) => Self(fixed),
        }
    }

    /// The token to send now. There always is one: without, there is no source.
    pub(super) fn current(&self) -> Arc<Token> {
        match &self.0 {
            Kind::Fixed(token) => Arc::clone(token),
            Kind::File(file) => file.current(),
        }
    }
}
