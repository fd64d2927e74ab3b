use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body;
use tower_service::Service;

use super::{
    endpoint::{Endpoint, HttpPost, MAX_RESPONSE_BYTES, basic, bearer},
    error::IntrospectionError,
    method::{CacheTimes, OpaqueTokens},
    requirements::Requirements,
};
use crate::{
    address_reach::Reach,
    auth::{failure::is_challenge_byte, lookup::LookupBounds, token::ClaimMapping},
    clock::SharedClock,
    fetch::{BoxFuture, ExchangeLimits, absolute, check_transport, exchange},
    secret::Secret,
};

/// RFC 7519 section 4.1.4 allows a leeway of "a few minutes".
const MAX_LEEWAY: Duration = Duration::from_secs(5 * 60);

/// Bounds the calls for one token.
const SHORTEST_TTL: Duration = Duration::from_secs(1);

/// The requirements for opaque tokens of one issuer and its introspection endpoint (RFC 7662).
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use std::convert::Infallible;
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_inference::{
///     auth::{AuthLayer, Introspection, IntrospectionError},
///     context::RequestContext,
///     secret::Secret,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), IntrospectionError> {
/// // Your HTTP client. This one stands in for the issuer.
/// let client = service_fn(|_: Request<Full<Bytes>>| async {
///     let response = r#"{"active": true, "sub": "user-7", "aud": "https://gateway.example"}"#;
///     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(response)))
/// });
///
/// let tokens = Introspection::new(
///     "https://issuer.example/introspect",
///     "https://issuer.example",
///     "https://gateway.example",
///     client,
/// )
/// .client_credentials("gateway", Secret::new("secret"))
/// .build()?;
/// let service = AuthLayer::new(tokens).layer(service_fn(|request: Request<String>| async move {
///     let caller = RequestContext::of(request.extensions()).and_then(RequestContext::identity);
///     Ok::<_, Infallible>(Response::new(caller.unwrap().subject().to_owned()))
/// }));
///
/// let request = Request::builder().header("authorization", "Bearer 2YotnFZFEjr1zCsicMWpAA");
/// let response = service.oneshot(request.body(String::new()).unwrap()).await.unwrap();
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # }
/// ```
///
/// # Tokens
///
/// A bearer token is opaque unless it has the form of a JSON Web Token: three parts with dots between
/// them. In a layer with several kinds of credentials, one with a form of its own comes first, such as
/// an API key with a prefix.
///
/// A token is accepted if the endpoint says `"active": true` and its response meets the requirements:
/// `aud` names this service, `iss` is the issuer if there is one, `exp` and `nbf` hold, `token_type` is
/// `Bearer` if there is one and the required scopes are there. A token with `cnf` is bound to a key of
/// its client and is rejected, because the proof is not checked here.
///
/// Endpoints may call refresh tokens active too (RFC 7662 section 2.1). Such a token is rejected if
/// `token_use` or `token_usage` names another use than access. An issuer that does not tell them apart
/// must not let the gateway introspect refresh tokens. Else they are accepted here.
///
/// # Cache
///
/// A response is used again for [`ttl`](Self::ttl) and never after `exp` and the
/// [`leeway`](Self::leeway). A token that is revoked at the
/// issuer is accepted for this time. The response "not active" is used again for
/// [`inactive_ttl`](Self::inactive_ttl). Tokens are in memory as keyed digests only. Requests with one
/// token share one call.
///
/// # Failures
///
/// A call that takes longer than [`timeout`](Self::timeout) fails. The request is rejected with
/// `identity-provider-unavailable`. After three failures in a row there are no calls for 1 second. Each
/// further failure doubles the pause up to 30 seconds. Cached responses stay in use. Failures that may be
/// due to one token start no pause. These are the status 400 and a response that is not one of RFC 7662.
/// A response has at most 64 KiB. Redirects are not followed.
///
/// The addresses of the endpoint have the rules of [`RemoteKeys`](crate::auth::RemoteKeys#addresses).
#[derive(Clone)]
#[must_use]
pub struct Introspection {
    post: HttpPost,
    url: String,
    issuer: Box<str>,
    audiences: Option<Vec<Box<str>>>,
    scopes: Vec<Box<str>>,
    mapping: ClaimMapping,
    leeway: Duration,
    authorization: Result<Option<HeaderValue>, IntrospectionError>,
    limits: ExchangeLimits,
    times: CacheTimes,
    bounds: LookupBounds,
    max_token_bytes: usize,
    clock: SharedClock,
}

impl Introspection {
    /// Accepts tokens for `audience` about which the endpoint at `url` says that they are active.
    /// `issuer` names the issuer of the identities.
    ///
    /// `client` is any HTTP client whose request body is made from bytes, such as `Full<Bytes>` or a
    /// [`Payload`](crate::payload::Payload).
    pub fn new<C, Q, B>(
        url: impl Into<String>,
        issuer: impl Into<Box<str>>,
        audience: impl Into<Box<str>>,
        client: C,
    ) -> Self
    where
        C: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        C::Future: Send,
        C::Error: Into<Box<dyn Error + Send + Sync>>,
        Q: From<Bytes> + Send + 'static,
        B: Body + Send,
        B::Data: Send,
    {
        let post = move |request: Request<Bytes>, limits| {
            let client = client.clone();
            // The async block hides `B`, which need not be `'static`.
            Box::pin(async move { exchange(client, request.map(Q::from), limits).await })
                as BoxFuture<_>
        };
        Self {
            post: Arc::new(post),
            url: url.into(),
            issuer: issuer.into(),
            audiences: Some(vec![audience.into()]),
            scopes: Vec::new(),
            mapping: ClaimMapping::new(),
            leeway: Duration::from_secs(30),
            authorization: Ok(None),
            limits: ExchangeLimits {
                max_bytes: MAX_RESPONSE_BYTES,
                timeout: Duration::from_millis(1_500),
                plain_http: false,
                reach: Reach::NotLinkLocal,
                read_bad_request: false,
            },
            times: CacheTimes { active: Duration::from_secs(60), inactive: Duration::from_secs(5) },
            bounds: LookupBounds {
                max_cache_bytes: 8 << 20,
                max_waiting: 1_024,
                setter: "Introspection::max_waiting",
            },
            max_token_bytes: 4 << 10,
            clock: SharedClock::default(),
        }
    }

    /// Authenticates the gateway at the endpoint by a client id and a secret, as HTTP Basic with the
    /// encoding of RFC 6749 section 2.3.1. Defaults to none, for a client that authenticates by TLS.
    pub fn client_credentials(mut self, client_id: &str, secret: Secret) -> Self {
        let credentials = basic(client_id, &secret).map(Some);
        self.authorization = credentials.ok_or(IntrospectionError::InvalidCredentials);
        self
    }

    /// Authenticates the gateway at the endpoint by a bearer token (RFC 7662 section 2.1).
    pub fn bearer_token(mut self, token: Secret) -> Self {
        self.authorization = bearer(&token).map(Some).ok_or(IntrospectionError::InvalidCredentials);
        self
    }

    /// Accepts tokens for these audiences too.
    ///
    /// Has no effect after [`dangerous_any_audience`](Self::dangerous_any_audience).
    pub fn additional_audiences<A: Into<Box<str>>>(
        mut self,
        audiences: impl IntoIterator<Item = A>,
    ) -> Self {
        if let Some(accepted) = &mut self.audiences {
            accepted.extend(audiences.into_iter().map(Into::into));
        }
        self
    }

    /// Accepts tokens for any audience and tokens without one.
    ///
    /// A token that the issuer made for another service is then valid here. Every service that
    /// receives such a token can use it here. Some issuers leave `aud` out of the response.
    pub fn dangerous_any_audience(mut self) -> Self {
        self.audiences = None;
        self
    }

    /// Sets the scopes that every token must have. Defaults to none.
    ///
    /// # Errors
    ///
    /// Returns [`IntrospectionError::InvalidScope`] if a scope is empty or has a character that RFC
    /// 6749 section 3.3 excludes. No token could have such a scope.
    pub fn required_scopes<T: Into<Box<str>>>(
        mut self,
        scopes: impl IntoIterator<Item = T>,
    ) -> Result<Self, IntrospectionError> {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        let is_scope_byte = |byte: u8| byte != b' ' && is_challenge_byte(byte);
        let is_valid = |scope: &str| !scope.is_empty() && scope.bytes().all(is_scope_byte);
        match self.scopes.iter().find(|scope| !is_valid(scope)) {
            None => Ok(self),
            Some(scope) => Err(IntrospectionError::InvalidScope(scope.clone())),
        }
    }

    /// Sets the members of the response that become the parts of the identity. By default `sub` is the
    /// subject and `client_id` is the client.
    ///
    /// Some issuers give no `sub` to the tokens of a client. See
    /// [`ClaimMapping::subject`](crate::auth::ClaimMapping::subject).
    pub fn claims(mut self, mapping: ClaimMapping) -> Self {
        self.mapping = mapping;
        self
    }

    /// Sets the tolerated difference between clocks for `exp` and `nbf`. Defaults to 30 seconds. The
    /// maximum is 5 minutes.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway.min(MAX_LEEWAY);
        self
    }

    /// Sets how long an active token is accepted without asking again. Defaults to 60 seconds.
    ///
    /// The minimum is 1 second and the maximum is 1 hour. A revoked token is accepted for this time.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.times.active = ttl.clamp(SHORTEST_TTL, Duration::from_secs(60 * 60));
        self
    }

    /// Sets how long a token that is not active is rejected without asking again. Defaults to 5
    /// seconds.
    ///
    /// The minimum is 1 second and the maximum is 1 minute. A token that becomes active later is rejected for this time.
    pub fn inactive_ttl(mut self, ttl: Duration) -> Self {
        self.times.inactive = ttl.clamp(SHORTEST_TTL, Duration::from_secs(60));
        self
    }

    /// Sets the time for one response from the connection to the last byte. Defaults to 1.5 seconds.
    /// The maximum is 30 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout.min(Duration::from_secs(30));
        self
    }

    /// Sets the maximum memory for responses in bytes. Defaults to 8 MiB, which holds several thousand.
    pub const fn max_cache_bytes(mut self, bytes: u64) -> Self {
        self.bounds.max_cache_bytes = bytes;
        self
    }

    /// Sets the maximum number of requests that wait for a response at the same time. Defaults to
    /// 1,024.
    ///
    /// This is also the maximum number of calls at the same time. Further requests are rejected with
    /// `identity-provider-unavailable`.
    pub const fn max_waiting(mut self, requests: usize) -> Self {
        self.bounds.max_waiting = requests;
        self
    }

    /// Sets the maximum length of a token in bytes. Defaults to 4 KiB. Longer tokens are rejected
    /// without a call.
    pub const fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    /// Allows an endpoint with plain `http` on another machine.
    ///
    /// Any host between the gateway and the endpoint can then read the tokens and respond for the
    /// issuer.
    pub const fn dangerous_plain_http(mut self) -> Self {
        self.limits.plain_http = true;
        self
    }

    /// Sets the clock for `exp`, `nbf` and the times to live. Defaults to the system clock.
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings. It asks nothing yet.
    ///
    /// # Errors
    ///
    /// Returns an [`IntrospectionError`] that says which setting cannot be used.
    pub fn build(self) -> Result<OpaqueTokens, IntrospectionError> {
        let uri = self.endpoint_uri()?;
        let authorization = self.authorization?;
        let requirements = Requirements {
            issuer: self.issuer,
            audiences: self.audiences,
            scopes: self.scopes,
            mapping: self.mapping,
            leeway: self.leeway,
        };
        let endpoint = Endpoint { post: self.post, uri, authorization, limits: self.limits };
        let (times, bounds) = (self.times, self.bounds);
        Ok(OpaqueTokens::new(
            endpoint,
            requirements,
            times,
            bounds,
            self.max_token_bytes,
            self.clock,
        ))
    }

    fn endpoint_uri(&self) -> Result<Uri, IntrospectionError> {
        let uri = absolute(&self.url)?;
        check_transport(&uri, self.limits.plain_http)?;
        Ok(uri)
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only the host. A query or user information may hold a secret.
        let uri = absolute(&self.url).ok();
        f.debug_struct("Introspection")
            .field("host", &uri.as_ref().and_then(Uri::host))
            .field("issuer", &self.issuer)
            .field("audiences", &self.audiences)
            .field("required_scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
