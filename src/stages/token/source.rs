use std::{error::Error, path::PathBuf, sync::Arc, time::Duration};

use super::{
    access::{Acquired, Owner, Refreshed, Unavailable},
    exchange::TokenExchange,
    fetched::{FetchSettings, FetchedSource, FetchedToken, TokenFetchFault},
    file::{Rules, TokenFile},
    value::{Token, TokenError, TokenFault},
};
use crate::{
    clock::SharedClock,
    fetch::BoxFuture,
    secret::{Scrubber, Secret},
};

/// The source of the upstream's token. Clones share it. A setter makes a source of its own, so call it
/// before the source is cloned.
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
pub struct TokenSource(SourceKind);

#[derive(Clone, Debug)]
enum SourceKind {
    Fixed(Arc<FixedToken>),
    File(Arc<TokenFile>),
    Fetched(Arc<FetchedSource>),
}

#[derive(Debug)]
struct FixedToken {
    token: Arc<Token>,
    scrubber: Scrubber,
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

    /// Reads the token from the file at `path` now and after each change of its content.
    ///
    /// Blank space at the end and a byte-order mark are ignored. At most once a second a request reads
    /// the file, and at once when the upstream rejects the token. Symbolic links are followed, because
    /// Kubernetes swaps them. When the file is gone or has no valid token, as a half-written one, the
    /// last good token stays in use and each change of this state is one WARN event.
    ///
    /// A file that every user of the machine can read is one WARN event.
    ///
    /// # Errors
    ///
    /// Returns [`TokenFault::Unreadable`], [`TokenFault::NotAFile`], [`TokenFault::TooLarge`],
    /// [`TokenFault::Writable`] and the errors of [`TokenSource::value`].
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, TokenError> {
        Self::open(path.into(), Rules::Strict)
    }

    /// Reads the token from a file as [`file`](Self::file) does, also from one that its group or others
    /// can write.
    ///
    /// Each of these users can replace the token, and so choose the account that sees the prompts.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`file`](Self::file) without [`TokenFault::Writable`].
    pub fn dangerous_writable_file(path: impl Into<PathBuf>) -> Result<Self, TokenError> {
        Self::open(path.into(), Rules::Writable)
    }

    fn open(path: PathBuf, rules: Rules) -> Result<Self, TokenError> {
        Ok(Self(SourceKind::File(Arc::new(TokenFile::open(path, rules)?))))
    }

    /// Fetches the token by calling `fetch`.
    ///
    /// The first request that needs the token starts the fetch, and concurrent requests wait for the
    /// same one. Later fetches run beside the requests, which use the present token. A fetch starts at a
    /// random time between 75 % and 90 % of the token's [lifetime](FetchedToken::expires_in), or in the
    /// last tenth of the [`refresh_interval`](Self::refresh_interval). After a failure the next fetch
    /// starts within 1 second. Each further failure doubles this delay up to 30 seconds. A task of this
    /// source polls the fetch, so it needs a tokio runtime.
    ///
    /// When a fetch fails, the last good token serves within the [`grace`](Self::grace). Without a
    /// usable token a request is rejected with 503 `upstream-token-unavailable` and `retry-after`. The
    /// beginning of the failures is one WARN event and their end one INFO event.
    ///
    /// The text of an error is logged in at most 200 characters without the tokens of this source. It
    /// must not contain another secret.
    ///
    /// ```
    /// use std::{convert::Infallible, time::Duration};
    /// use tower_inference::{hf::{FetchedToken, TokenSource}, secret::Secret};
    ///
    /// let source = TokenSource::fetch(|| async {
    ///     // Read your vault here.
    ///     let token = FetchedToken::new(Secret::new("hf_example"));
    ///     Ok::<_, Infallible>(token.expires_in(Duration::from_secs(3_600)))
    /// })
    /// .grace(Duration::from_secs(600));
    /// # let _ = source;
    /// ```
    pub fn fetch<F, Fut, E>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<FetchedToken, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let fetch = move || {
            let fetched = fetch();
            Box::pin(async move {
                // The text is made here, where a panic of the error's `Display` is a failed fetch.
                let fault = |error: E| TokenFetchFault::Function(error.into().to_string().into());
                fetched.await.map_err(fault)
            }) as BoxFuture<_>
        };
        Self::fetched(fetch)
    }

    /// Exchanges a token of the workload for an hourly one, so that no token is stored. See
    /// [`TokenExchange`].
    ///
    /// The rules are those of [`fetch`](Self::fetch). The log names the errors `invalid_request` and
    /// `invalid_grant` with what to check.
    #[must_use]
    pub fn exchange(exchange: TokenExchange) -> Self {
        let exchange = Arc::new(exchange);
        Self::fetched(move || {
            let exchange = Arc::clone(&exchange);
            Box::pin(async move {
                let fetched = exchange.fetch().await;
                fetched.map_err(|fault| TokenFetchFault::Source(fault.into()))
            })
        })
    }

    fn fetched(
        fetch: impl Fn() -> BoxFuture<Result<FetchedToken, TokenFetchFault>> + Send + Sync + 'static,
    ) -> Self {
        let source = FetchedSource::new(Arc::new(fetch), FetchSettings::default());
        Self(SourceKind::Fetched(Arc::new(source)))
    }

    /// Sets how often a token without an expiry is fetched. Defaults to 60 seconds.
    ///
    /// The minimum is 1 second. Has no effect on a source that fetches nothing.
    #[must_use]
    pub fn refresh_interval(self, interval: Duration) -> Self {
        let interval = interval.max(Duration::from_secs(1));
        self.change_fetch(|settings| settings.refresh_interval = interval)
    }

    /// Sets how long the last good token serves after a fetch was due, while fetches fail. Defaults to 1
    /// hour.
    ///
    /// A token never serves beyond its own expiry. Has no effect on a source that fetches nothing.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        self.change_fetch(|settings| settings.grace = grace)
    }

    /// Sets the time for one fetch. A request without a token waits as long. Defaults to 5 seconds.
    ///
    /// The maximum is 60 seconds. Has no effect on a source that fetches nothing.
    #[must_use]
    pub fn fetch_timeout(self, timeout: Duration) -> Self {
        let timeout = timeout.min(Duration::from_secs(60));
        self.change_fetch(|settings| settings.timeout = timeout)
    }

    /// Sets the clock that decides when to check the file or to fetch. Defaults to the system's clock.
    #[must_use]
    pub fn clock(self, clock: SharedClock) -> Self {
        match self.0 {
            SourceKind::File(file) => Self(SourceKind::File(Arc::new(file.with_clock(clock)))),
            other => Self(other).change_fetch(|settings| settings.clock = clock),
        }
    }

    fn change_fetch(self, change: impl FnOnce(&mut FetchSettings)) -> Self {
        match self.0 {
            SourceKind::Fetched(source) => {
                Self(SourceKind::Fetched(Arc::new(source.with_settings(change))))
            }
            other => Self(other),
        }
    }

    /// Returns the time since the current token was read from its file or fetched. Returns `None`
    /// without a token and for a fixed one.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        match &self.0 {
            SourceKind::Fixed(_) => None,
            SourceKind::File(file) => Some(file.age()),
            SourceKind::Fetched(source) => source.age(),
        }
    }

    /// Returns how many fetches failed, or how often the file became invalid.
    pub(crate) fn failures(&self) -> u64 {
        match &self.0 {
            SourceKind::Fixed(_) => 0,
            SourceKind::File(file) => file.failures(),
            SourceKind::Fetched(source) => source.failures(),
        }
    }

    /// Whether a request would get a token now. Starts no fetch.
    pub(crate) fn has_token(&self) -> bool {
        match &self.0 {
            SourceKind::Fixed(_) | SourceKind::File(_) => true,
            SourceKind::Fetched(source) => source.has_token(),
        }
    }

    fn fixed(token: Secret) -> Result<Self, TokenFault> {
        let fixed = FixedToken {
            token: Arc::new(Token::new(token.expose())?),
            scrubber: Scrubber::new([token]),
        };
        Ok(Self(SourceKind::Fixed(Arc::new(fixed))))
    }

    /// Returns the token to send now, or the wait for it.
    pub(crate) fn acquire(&self) -> Result<Acquired, Unavailable> {
        match &self.0 {
            SourceKind::Fixed(fixed) => Ok(Acquired::Token(Arc::clone(&fixed.token))),
            SourceKind::File(file) => Ok(Acquired::Token(file.current())),
            SourceKind::Fetched(source) => source.acquire(),
        }
    }

    /// Returns the token after a wait for it. Never waits again.
    pub(crate) fn acquire_at_once(&self) -> Result<Arc<Token>, Unavailable> {
        match &self.0 {
            SourceKind::Fixed(fixed) => Ok(Arc::clone(&fixed.token)),
            SourceKind::File(file) => Ok(file.current()),
            SourceKind::Fetched(source) => source.acquire_at_once(),
        }
    }

    /// Whether a request would get a token now. Starts the fetch of one that is missing.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.acquire(), Ok(Acquired::Token(_)))
    }

    /// Whether another token can follow one that the upstream rejected.
    pub(crate) const fn can_refresh(&self) -> bool {
        !matches!(self.0, SourceKind::Fixed(_))
    }

    /// Looks for the token that replaces `rejected`.
    pub(crate) fn refresh(&self, rejected: &Arc<Token>) -> Refreshed {
        match &self.0 {
            SourceKind::Fixed(_) => Refreshed::Unchanged,
            SourceKind::File(file) => file.refresh(rejected),
            SourceKind::Fetched(source) => source.refresh(rejected),
        }
    }

    /// Names the stage in the log of a source that fetches.
    pub(crate) fn set_owner(&self, owner: &Owner) {
        if let SourceKind::Fetched(source) = &self.0 {
            source.set_owner(owner.clone());
        }
    }

    /// Removes the current token and the ones that it replaced.
    pub(crate) fn scrubber(&self) -> &Scrubber {
        match &self.0 {
            SourceKind::Fixed(fixed) => &fixed.scrubber,
            SourceKind::File(file) => file.scrubber(),
            SourceKind::Fetched(source) => source.scrubber(),
        }
    }
}

/// Returns the name of a variable, or nothing when it may be a token that was passed by mistake.
///
/// By convention a name has no lower-case letters (POSIX.1-2024, section 8.1). Tokens have some.
fn shown(name: &str) -> Option<Box<str>> {
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.bytes().all(is_name).then(|| name.into())
}
