//! A method of your own.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, header::AUTHORIZATION};

use super::{
    credential::Credential,
    failure::Failure,
    lookup::{FAILURE_TTL, Found, LookupBounds, LookupCache},
    method::{AuthMethod, Facts, Places, Verdict, Waited},
};
use crate::{
    clock::SharedClock,
    context::RequestHead,
    identity::Identity,
    once_a_minute::OnceAMinute,
    rejection::{Refusal, Rejection},
    secret::Secret,
};

/// Verifies credentials of your own kind, as a Lambda authorizer of API Gateway does.
///
/// ```
/// use http::{HeaderName, Request, Response};
/// use std::convert::Infallible;
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_inference::{
///     auth::{AuthLayer, Authenticator, CustomAuth},
///     context::RequestHead,
///     identity::{Identity, Proof},
///     rejection::{Refusal, Rejection},
///     secret::Secret,
/// };
///
/// struct Sessions;
///
/// impl Authenticator for Sessions {
///     fn credential(&self, head: &RequestHead<'_>) -> Option<Secret> {
///         let session = head.headers().get("x-session")?;
///         session.to_str().ok().map(Secret::new)
///     }
///
///     fn headers(&self) -> Vec<HeaderName> {
///         vec![HeaderName::from_static("x-session")]
///     }
///
///     async fn authenticate(&self, session: Secret) -> Result<Identity, Rejection> {
///         // Ask your database here.
///         match session.expose() {
///             "s-123" => Ok(Identity::new(Proof::Other("session"), "sessions", "user-7")),
///             _ => Err(Rejection::new(Refusal::InvalidToken)),
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let layer = AuthLayer::new(CustomAuth::new(Sessions));
/// let service = layer.layer(service_fn(|_: Request<()>| async {
///     Ok::<_, Infallible>(Response::new(()))
/// }));
/// let status = async |session: &str| {
///     let request = Request::builder().header("x-session", session).body(()).unwrap();
///     service.clone().oneshot(request).await.unwrap().status()
/// };
/// assert_eq!(status("s-123").await, 200);
/// assert_eq!(status("s-999").await, 401);
/// # }
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Returns the credential of a request, or `None` if the request has none of this kind.
    ///
    /// The result of [`authenticate`](Self::authenticate) is used again for an equal credential. A
    /// decision that depends on more of the request needs that in the credential too. This runs on
    /// each request.
    fn credential(&self, head: &RequestHead<'_>) -> Option<Secret>;

    /// Returns the headers that hold the credential. Defaults to none. They are read once.
    ///
    /// The layer marks them as sensitive and removes them from each request that it lets in, so that no
    /// inner service and no upstream sees them. `authorization` stays; `HfTokenLayer` replaces it. A
    /// request with several values of one is rejected.
    ///
    /// Name `authorization` if the credential is there. Otherwise a request with `authorization` and
    /// this credential has two and is rejected.
    fn headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// Verifies a credential. The rejection of an invalid one is the response.
    ///
    /// A refusal of `invalid-token` or `forbidden` fits most cases. Use `identity-provider-unavailable`
    /// if the credential could not be checked.
    fn authenticate(
        &self,
        credential: Secret,
    ) -> impl Future<Output = Result<Identity, Rejection>> + Send;
}

/// An [`Authenticator`] with its bounds.
///
/// Identical credentials share one call of the authenticator. An identity is used again for
/// [`ttl`](Self::ttl) and never after its [expiry](Identity::expires_at). A rejection is used again for
/// a second. A call that takes longer than [`timeout`](Self::timeout) is cancelled and the request is
/// rejected with `identity-provider-unavailable`.
pub struct CustomAuth {
    authenticator: Arc<dyn ErasedAuthenticator>,
    headers: Vec<HeaderName>,
    ttl: Duration,
    timeout: Duration,
    bounds: LookupBounds,
    clock: SharedClock,
}

impl CustomAuth {
    /// Accepts the credentials that `authenticator` verifies.
    pub fn new(authenticator: impl Authenticator) -> Self {
        Self {
            headers: authenticator.headers(),
            authenticator: Arc::new(authenticator),
            ttl: Duration::from_secs(5 * 60),
            timeout: Duration::from_secs(5),
            bounds: LookupBounds {
                max_cache_bytes: 8 << 20,
                max_waiting: 1_024,
                setter: "CustomAuth::max_waiting",
            },
            clock: SharedClock::default(),
        }
    }

    /// Sets how long an identity is used again. Defaults to 5 minutes, as in API Gateway.
    ///
    /// A revoked credential is accepted for this time. Zero asks for each request; requests that wait
    /// at the same time still share a call.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets the maximum time of a call. Defaults to 5 seconds.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the maximum memory for results in bytes. Defaults to 8 MiB, which holds about 10,000
    /// identities without claims.
    #[must_use]
    pub const fn max_cache_bytes(mut self, bytes: u64) -> Self {
        self.bounds.max_cache_bytes = bytes;
        self
    }

    /// Sets the maximum number of requests that wait for a call at the same time. Defaults to 1,024.
    ///
    /// Further requests are rejected with `identity-provider-unavailable`.
    #[must_use]
    pub const fn max_waiting(mut self, requests: usize) -> Self {
        self.bounds.max_waiting = requests;
        self
    }

    /// Sets the clock that measures the time to live. Defaults to the system clock.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }
}

impl fmt::Debug for CustomAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomAuth")
            .field("ttl", &self.ttl)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl From<CustomAuth> for Credential {
    fn from(settings: CustomAuth) -> Self {
        let results = Arc::new(LookupCache::new(settings.bounds));
        Self::other(CustomMethod { settings, results, log: Arc::default() })
    }
}

/// An authenticator whose type is hidden.
trait ErasedAuthenticator: Send + Sync {
    fn credential(&self, head: &RequestHead<'_>) -> Option<Secret>;

    fn authenticate(self: Arc<Self>, credential: Secret) -> Answer;
}

type Answer = Pin<Box<dyn Future<Output = Result<Identity, Rejection>> + Send>>;

impl<A: Authenticator> ErasedAuthenticator for A {
    fn credential(&self, head: &RequestHead<'_>) -> Option<Secret> {
        Authenticator::credential(self, head)
    }

    fn authenticate(self: Arc<Self>, credential: Secret) -> Answer {
        Box::pin(async move { Authenticator::authenticate(&*self, credential).await })
    }
}

type AuthResult = Result<Arc<Identity>, Rejection>;

struct CustomMethod {
    settings: CustomAuth,
    results: Arc<LookupCache<AuthResult>>,
    log: Arc<OnceAMinute>,
}

impl CustomMethod {
    /// Returns the call of the authenticator within its deadline.
    fn call(&self, credential: Secret) -> impl Future<Output = Found<AuthResult>> + Send + use<> {
        let authenticator = Arc::clone(&self.settings.authenticator);
        let (ttl, timeout) = (self.settings.ttl, self.settings.timeout);
        let (clock, log) = (self.settings.clock.clone(), Arc::clone(&self.log));
        async move {
            let call = authenticator.authenticate(credential);
            match tokio::time::timeout(timeout, call).await {
                Ok(Ok(identity)) => {
                    let expiry = identity.expires_at();
                    let left = expiry.map(|at| at.duration_since(clock.wall()).unwrap_or_default());
                    match left {
                        Some(Duration::ZERO) => {
                            Found { value: Err(expired()), ttl: Some(FAILURE_TTL) }
                        }
                        left => Found {
                            value: Ok(Arc::new(identity)),
                            ttl: Some(left.map_or(ttl, |left| left.min(ttl))),
                        },
                    }
                }
                Ok(Err(rejection)) => Found { value: Err(rejection), ttl: Some(FAILURE_TTL) },
                Err(_elapsed) => {
                    // Clients choose the credentials, so the lines are bounded.
                    if log.is_due(clock.monotonic()) {
                        tracing::warn!(
                            ?timeout,
                            "the authenticator did not respond in time; further calls of this minute \
                             are logged at debug"
                        );
                    } else {
                        tracing::debug!(?timeout, "the authenticator did not respond in time");
                    }
                    Found { value: Err(unavailable()), ttl: Some(FAILURE_TTL) }
                }
            }
        }
    }
}

impl AuthMethod for CustomMethod {
    fn recognises(&self, head: &RequestHead<'_>) -> Places {
        match self.settings.authenticator.credential(head) {
            Some(_) if self.settings.headers.contains(&AUTHORIZATION) => Places::AUTHORIZATION,
            Some(_) => Places::OTHER,
            None => Places::NONE,
        }
    }

    fn verify(&self, head: &RequestHead<'_>, _waited: bool) -> Verdict {
        let Some(credential) = self.settings.authenticator.credential(head) else {
            return Verdict::Missing;
        };
        let is_repeated = |name| head.headers().get_all(name).iter().nth(1).is_some();
        if self.settings.headers.iter().any(is_repeated) {
            return Verdict::Reject(Failure::second_credential());
        }
        let digest = self.results.digest(credential.expose().as_bytes());
        let clock = self.settings.clock.clone();
        if let Some(result) = self.results.get(&digest, clock.monotonic()) {
            return match unexpired(result, &clock) {
                Ok(identity) => Verdict::Allow(identity),
                Err(rejection) => Verdict::Reject(failure(rejection)),
            };
        }
        let call = self.call(credential);
        match self.results.look_up(digest, clock.clone(), call, memory) {
            None => Verdict::Reject(unavailable().into()),
            Some(result) => Verdict::Wait(Box::pin(async move {
                match unexpired(result.await, &clock) {
                    Ok(identity) => Waited::Allow(identity),
                    Err(rejection) => Waited::Reject(failure(rejection)),
                }
            })),
        }
    }

    fn hint(&self) -> &str {
        "a credential that this service accepts"
    }

    fn judges_authorization(&self) -> bool {
        self.settings.headers.contains(&AUTHORIZATION)
    }

    fn facts(&self) -> Facts {
        Facts::ALL
    }

    fn conceal(&self, headers: &mut HeaderMap) {
        for name in &self.settings.headers {
            if let Some(value) = headers.get_mut(name) {
                value.set_sensitive(true);
            }
        }
    }

    fn remove_credential_from_headers(&self, headers: &mut HeaderMap) {
        // `authorization` may hold a credential of another kind.
        for name in self.settings.headers.iter().filter(|name| **name != AUTHORIZATION) {
            headers.remove(name);
        }
    }
}

impl fmt::Debug for CustomMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.settings, f)
    }
}

/// Rejects an identity that has expired since its look-up. The wall clock may have been set.
fn unexpired(result: AuthResult, clock: &SharedClock) -> AuthResult {
    result.and_then(|identity| match identity.expires_at() {
        Some(expiry) if expiry <= clock.wall() => Err(expired()),
        _ => Ok(identity),
    })
}

fn memory(result: &AuthResult) -> usize {
    result.as_ref().map_or(512, |identity| identity.memory())
}

/// A 401 needs a challenge (RFC 9110 section 15.5.2).
fn failure(rejection: Rejection) -> Failure {
    match rejection.refusal() {
        Refusal::InvalidToken | Refusal::ExpiredToken => {
            Failure::bearer(rejection, Some("invalid_token"))
        }
        Refusal::MissingCredentials | Refusal::InvalidApiKey | Refusal::InvalidSignature => {
            Failure::bearer(rejection, None)
        }
        _ => rejection.into(),
    }
}

fn expired() -> Rejection {
    Rejection::new(Refusal::ExpiredToken).with_detail("the credential has expired")
}

fn unavailable() -> Rejection {
    Rejection::new(Refusal::IdentityProviderUnavailable)
        .with_detail("the credential cannot be checked now; retry later")
        .with_retry_after(FAILURE_TTL)
}
