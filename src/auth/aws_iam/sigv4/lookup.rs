//! A user's store of signing credentials.

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use super::{
    credential::{KnownCredential, SigningCredential},
    presented::CredentialScope,
};
use crate::{
    auth::lookup::{FAILURE_TTL, Found, LookupBounds, LookupCache},
    clock::SharedClock,
    once_a_minute::OnceAMinute,
    printable::Printable,
};

/// A store of signing credentials of your own, such as a database or a vault.
///
/// ```
/// use std::error::Error;
/// use tower_inference::{
///     auth::aws_iam::{
///         CredentialStore, SigningCredential, SigningCredentials, SigningKey, SigningScope,
///     },
///     secret::Secret,
/// };
///
/// struct Vault;
///
/// impl CredentialStore for Vault {
///     async fn find(
///         &self,
///         access_key_id: &str,
///         scope: &SigningScope,
///     ) -> Result<Option<SigningCredential>, Box<dyn Error + Send + Sync>> {
///         // Ask your vault for the key of the day here. The secret stays there.
///         let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
///         let key = SigningKey::derive(&secret, scope.date(), scope.region(), scope.service());
///         Ok(Some(SigningCredential::derived(access_key_id, key)?.tenant("acme")))
///     }
/// }
///
/// let credentials = SigningCredentials::store(Vault);
/// # let _ = credentials;
/// ```
pub trait CredentialStore: Send + Sync + 'static {
    /// Returns the credential of an access key id, or `None` if there is none.
    ///
    /// A credential has the secret or the key that was derived for `scope`. The client chooses the id
    /// among those of [`SigningCredential::new`].
    ///
    /// # Errors
    ///
    /// The request is rejected with `identity-provider-unavailable` and the error is logged.
    fn find(
        &self,
        access_key_id: &str,
        scope: &SigningScope,
    ) -> impl Future<Output = Result<Option<SigningCredential>, Box<dyn Error + Send + Sync>>> + Send;
}

/// The day, region and service of a signing key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SigningScope(CredentialScope<'static>);

impl SigningScope {
    /// Returns the day, such as `20150830`.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.0.date
    }

    /// Returns the region that [`SigV4::new`](super::SigV4::new) was given.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.0.region
    }

    /// Returns the service, such as `execute-api`.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.0.service
    }
}

/// A [`CredentialStore`] with its bounds.
///
/// Concurrent requests of one access key share one question. A failure is remembered for one second.
#[derive(Clone)]
pub struct CredentialLookup {
    store: Arc<dyn ErasedStore>,
    ttl: Duration,
    unknown_ttl: Duration,
    timeout: Duration,
    bounds: LookupBounds,
}

impl CredentialLookup {
    /// Asks `store` with the default bounds.
    pub fn new(store: impl CredentialStore) -> Self {
        Self {
            store: Arc::new(store),
            ttl: Duration::from_secs(5 * 60),
            unknown_ttl: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            bounds: LookupBounds {
                max_cache_bytes: 8 << 20,
                max_waiting: 1_024,
                setter: "CredentialLookup::max_waiting",
            },
        }
    }

    /// Sets how long a credential is used again. Defaults to 5 minutes. A withdrawn credential is
    /// accepted for this time.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets how long an unknown access key is remembered. Defaults to 10 seconds.
    #[must_use]
    pub const fn unknown_ttl(mut self, ttl: Duration) -> Self {
        self.unknown_ttl = ttl;
        self
    }

    /// Sets the maximum time of a question. Defaults to 5 seconds.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the maximum memory for results in bytes. Defaults to 8 MiB.
    #[must_use]
    pub const fn max_cache_bytes(mut self, bytes: u64) -> Self {
        self.bounds.max_cache_bytes = bytes;
        self
    }

    /// Sets the maximum number of requests that wait at the same time. Defaults to 1,024. Further
    /// requests are rejected with `identity-provider-unavailable`.
    #[must_use]
    pub const fn max_waiting(mut self, requests: usize) -> Self {
        self.bounds.max_waiting = requests;
        self
    }

    /// Opens the store. `name` is its name in identities.
    pub(super) fn open(self, name: &str) -> Arc<OpenStore> {
        let results = Arc::new(LookupCache::new(self.bounds));
        let log = OnceAMinute::default();
        Arc::new(OpenStore { settings: self, name: name.into(), results, log })
    }
}

impl<S: CredentialStore> From<S> for CredentialLookup {
    fn from(store: S) -> Self {
        Self::new(store)
    }
}

impl fmt::Debug for CredentialLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialLookup")
            .field("ttl", &self.ttl)
            .field("unknown_ttl", &self.unknown_ttl)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

pub(super) type Answer = Result<Option<Arc<KnownCredential>>, StoreFailed>;

/// The user's store failed or too many requests wait for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreFailed;

/// A credential, or the future that finds it.
pub(super) enum Lookup {
    Known(Answer),
    Asked(Pin<Box<dyn Future<Output = Answer> + Send>>),
}

/// A user's store and what it has returned.
pub(super) struct OpenStore {
    settings: CredentialLookup,
    name: Box<str>,
    results: Arc<LookupCache<Answer>>,
    log: OnceAMinute,
}

impl OpenStore {
    pub(super) fn find(
        self: &Arc<Self>,
        access_key_id: &str,
        scope: &CredentialScope<'static>,
        clock: &SharedClock,
    ) -> Lookup {
        // A derived key belongs to its day. Region and service are settings.
        let digest = self.results.digest(format!("{}/{access_key_id}", scope.date).as_bytes());
        if let Some(answer) = self.results.get(&digest, clock.monotonic()) {
            return Lookup::Known(answer);
        }
        let scope = SigningScope(scope.clone());
        let ask = Arc::clone(self).ask(access_key_id.into(), scope, clock.clone());
        let memory = |answer: &Answer| match answer {
            Ok(Some(known)) => known.memory(),
            Ok(None) | Err(StoreFailed) => 0,
        };
        match self.results.look_up(digest, clock.clone(), ask, memory) {
            Some(asked) => Lookup::Asked(Box::pin(asked)),
            None => Lookup::Known(Err(StoreFailed)),
        }
    }

    async fn ask(
        self: Arc<Self>,
        access_key_id: Box<str>,
        scope: SigningScope,
        clock: SharedClock,
    ) -> Found<Answer> {
        let Self { settings, .. } = &*self;
        let question = Arc::clone(&settings.store).find(access_key_id.clone(), scope);
        let failed = |reason: &dyn fmt::Display| self.failed(reason, clock.monotonic());
        match tokio::time::timeout(settings.timeout, question).await {
            Ok(Ok(Some(credential))) if credential.access_key_id() == &*access_key_id => {
                let known = KnownCredential::new(credential, &self.name);
                Found { value: Ok(Some(Arc::new(known))), ttl: Some(settings.ttl) }
            }
            Ok(Ok(Some(_other))) => failed(&"it returned another access key id"),
            Ok(Ok(None)) => Found { value: Ok(None), ttl: Some(settings.unknown_ttl) },
            Ok(Err(error)) => failed(&error),
            Err(_elapsed) => {
                let timeout = settings.timeout;
                failed(&format_args!(
                    "it did not respond within {timeout:?}; CredentialLookup::timeout sets this bound"
                ))
            }
        }
    }

    /// Tells the operator. Clients choose the ids that the store is asked for, so the lines are bounded.
    fn failed(&self, reason: &dyn fmt::Display, now: Duration) -> Found<Answer> {
        let reason = Printable(reason);
        if self.log.is_due(now) {
            tracing::warn!(
                %reason,
                "the credential store failed; further failures of this minute are logged at debug"
            );
        } else {
            tracing::debug!(%reason, "the credential store failed");
        }
        Found { value: Err(StoreFailed), ttl: Some(FAILURE_TTL) }
    }
}

type Question = Pin<
    Box<
        dyn Future<Output = Result<Option<SigningCredential>, Box<dyn Error + Send + Sync>>> + Send,
    >,
>;

/// A store whose type is hidden.
trait ErasedStore: Send + Sync {
    fn find(self: Arc<Self>, access_key_id: Box<str>, scope: SigningScope) -> Question;
}

impl<S: CredentialStore> ErasedStore for S {
    fn find(self: Arc<Self>, access_key_id: Box<str>, scope: SigningScope) -> Question {
        Box::pin(async move { CredentialStore::find(&*self, &access_key_id, &scope).await })
    }
}
