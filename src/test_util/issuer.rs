use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use serde_json::{Map, json};
use tower_service::Service;

use super::{
    body::{TestBody, TestEnd},
    signing_key::SigningKey,
    token::TestToken,
};
use crate::{
    auth::{Jwt, KeySource, Keys, RemoteKeys},
    clock::SharedClock,
    payload::Payload,
};

/// An identity provider in the test's own process.
///
/// Each issuer makes a key of its own at run time (ES256). Clones share the key.
///
/// ```
/// use std::time::Duration;
/// use tower_inference::test_util::TestIssuer;
///
/// let issuer = TestIssuer::new();
/// let token = issuer.token("ann").scope("infer").expires_in(Duration::from_secs(60));
/// assert!(token.bearer().starts_with("Bearer eyJ"));
/// ```
///
/// # As an HTTP service
///
/// The issuer is a service for [`discovery`](crate::auth::RemoteKeys::discovery) and for keys at
/// `/jwks`. [`remote_keys`](Self::remote_keys) reads them without a network. A server can also serve
/// it on a loopback port:
///
/// ```
/// use axum::Router;
/// use tokio::net::TcpListener;
/// use tower_inference::test_util::TestIssuer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let issuer = TestIssuer::new().url(format!("http://{}", listener.local_addr()?));
/// let server = axum::serve(listener, Router::new().fallback_service(issuer));
/// # drop(server);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TestIssuer {
    key: Arc<SigningKey>,
    url: Arc<str>,
    audience: Arc<str>,
    clock: SharedClock,
}

impl TestIssuer {
    /// Creates an issuer with a new key. Its URL is `https://issuer.example` and the audience of its
    /// tokens is `gateway`.
    ///
    /// # Panics
    ///
    /// Panics when the operating system has no random numbers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            key: Arc::new(SigningKey::generate()),
            url: "https://issuer.example".into(),
            audience: "gateway".into(),
            clock: SharedClock::default(),
        }
    }

    /// Sets the URL, which is the claim `iss`. Defaults to `https://issuer.example`.
    #[must_use]
    pub fn url(mut self, url: impl Into<Arc<str>>) -> Self {
        self.url = url.into();
        self
    }

    /// Sets the claim `aud` of tokens. Defaults to `gateway`.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<Arc<str>>) -> Self {
        self.audience = audience.into();
        self
    }

    /// Sets the clock of tokens and of [`jwt`](Self::jwt). Defaults to the system clock.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the requirements that the tokens of this issuer meet: its keys, its URL, its audience
    /// and its clock. Add your own, such as
    /// [`required_scopes`](crate::auth::Jwt::required_scopes).
    #[must_use]
    pub fn jwt(&self) -> Jwt {
        Jwt::new(self, &*self.url, &*self.audience)
    }

    /// Begins a token for `subject` that expires in one hour. It has no scope.
    #[must_use]
    pub fn token(&self, subject: &str) -> TestToken {
        let now = self.clock.unix_seconds();
        let mut claims = Map::new();
        let standard = [
            ("iss", json!(&*self.url)),
            ("aud", json!(&*self.audience)),
            ("sub", json!(subject)),
            ("iat", json!(now)),
        ];
        claims.extend(standard.map(|(name, value)| (name.to_owned(), value)));
        TestToken::new(Arc::clone(&self.key), claims, now).expires_in(Duration::from_secs(3600))
    }

    /// Returns the key set as the JSON of a JWK Set.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.key.jwks()
    }

    /// Returns a key source that finds the keys by discovery through this service, as
    /// [`RemoteKeys::discovery`] does through a client.
    #[must_use]
    pub fn remote_keys(&self) -> RemoteKeys {
        // The service takes any body, so the type of the empty one is chosen here.
        RemoteKeys::discovery::<_, Payload, _>(&*self.url, self.clone())
    }

    fn document(&self, path: &str) -> Option<String> {
        let (url, base) = (&*self.url, self.url.trim_end_matches('/'));
        // An issuer with a path has its documents below it.
        let own = base.split_once("://").map_or(base, |(_, rest)| rest);
        let own = own.find('/').map_or("", |at| own.split_at(at).1);
        match path.strip_prefix(own)? {
            "/.well-known/openid-configuration" => Some(
                json!({
                    "issuer": url,
                    "jwks_uri": format!("{base}/jwks"),
                    "id_token_signing_alg_values_supported": ["ES256"],
                    "response_types_supported": ["token"],
                    "subject_types_supported": ["public"],
                })
                .to_string(),
            ),
            "/jwks" => Some(self.jwks()),
            _ => None,
        }
    }
}

impl Default for TestIssuer {
    fn default() -> Self {
        Self::new()
    }
}

/// The keys of the issuer with its clock.
impl From<&TestIssuer> for KeySource {
    #[expect(clippy::expect_used, reason = "our own key is well-formed")]
    fn from(issuer: &TestIssuer) -> Self {
        let keys = Keys::from_jwks(issuer.jwks()).expect("the issuer has a key");
        Self::from(keys).clock(issuer.clock.clone())
    }
}

/// Discovery at `/.well-known/openid-configuration` and keys at `/jwks`.
impl<B> Service<Request<B>> for TestIssuer {
    type Response = Response<TestBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<TestBody>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let document = match *request.method() {
            Method::GET => self.document(request.uri().path()),
            _ => None,
        };
        let found = document.is_some();
        let body = document.map(Bytes::from);
        let mut response = Response::new(TestBody::new(body, TestEnd::Complete));
        if found {
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
        } else {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        ready(Ok(response))
    }
}

impl fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIssuer")
            .field("url", &self.url)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
