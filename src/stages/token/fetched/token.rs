use std::time::Duration;

use crate::secret::Secret;

/// A token that a function has fetched for [`TokenSource::fetch`](crate::hf::TokenSource::fetch).
///
/// ```
/// use std::time::Duration;
/// use tower_inference::{hf::FetchedToken, secret::Secret};
///
/// let token = FetchedToken::new(Secret::new("hf_example")).expires_in(Duration::from_secs(3_600));
/// assert!(!format!("{token:?}").contains("hf_example"));
/// ```
#[derive(Clone, Debug)]
pub struct FetchedToken {
    pub(super) secret: Secret,
    pub(super) lifetime: Option<Duration>,
}

impl FetchedToken {
    /// Creates a token without an expiry. Blank space around it is ignored.
    #[must_use]
    pub const fn new(secret: Secret) -> Self {
        Self { secret, lifetime: None }
    }

    /// Sets how long the token is valid, counted from the start of the fetch.
    ///
    /// The token is never sent after this time. The next fetch starts at a random time between 75 % and
    /// 90 % of it.
    #[must_use]
    pub const fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }
}
