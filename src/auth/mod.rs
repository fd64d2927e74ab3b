//! Authenticates callers by JSON Web Tokens.
//!
//! A gateway spends its own upstream token on every request that it forwards. It must therefore
//! know its callers. [`AuthLayer`] rejects each request without a valid bearer token of your
//! identity provider. Inner layers read the verified [`Identity`](crate::identity::Identity) from
//! the [`RequestContext`](crate::context::RequestContext). The layer first removes an identity that
//! an outer layer has set.
//!
//! ```
//! # use tower_inference::auth::{AuthLayer, Jwt, KeySource};
//! let keys = KeySource::file("tests/data/jwks.json")?;
//! let jwt = Jwt::new(keys, "https://issuer.example", "https://gateway.example");
//! let layer = AuthLayer::new(jwt);
//! # Ok::<(), tower_inference::auth::KeysError>(())
//! ```
//!
//! # Example
//!
//! ```
//! use http::{Request, Response};
//! use std::convert::Infallible;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_inference::{
//!     auth::{AuthLayer, Jwt, Keys},
//!     context::RequestContext,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let keys = Keys::from_jwks(
//!     r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1",
//!         "x": "TAo6xk3SGOoph6-GLFvz3PwbcPWC3eB3X-d9LG1dBqI"}]}"#,
//! )
//! .unwrap();
//! let jwt = Jwt::new(keys, "https://issuer.example", "https://gateway.example")
//!     .required_scopes(["infer"])
//!     .unwrap();
//! let service = AuthLayer::new(jwt).layer(service_fn(|request: Request<String>| async move {
//!     let caller = RequestContext::of(request.extensions()).and_then(RequestContext::identity);
//!     Ok::<_, Infallible>(Response::new(caller.unwrap().subject().to_owned()))
//! }));
//!
//! let token = concat!(
//!     "eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIiwidHlwIjoiSldUIn0.",
//!     "eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiaHR0cHM6Ly9nYXRld2F5LmV4YW1wbGUi",
//!     "LCJzdWIiOiJ1c2VyLTciLCJzY29wZSI6ImluZmVyIiwiZXhwIjo0MTAyNDQ0ODAwfQ.",
//!     "QQzb6guLTOt0QdGZLtgsZFDdVmGO8nY0i5r7sf-YMHP-_XV7f-chEr21N7abOvg2QMSv_PF9bWX2wxVE7VrDCA",
//! );
//! let request = Request::builder().header("authorization", format!("Bearer {token}"));
//! let response = service.clone().oneshot(request.body(String::new()).unwrap()).await.unwrap();
//! assert_eq!(response.status(), 200);
//!
//! // A request without a token is rejected.
//! let response = service.oneshot(Request::new(String::new())).await.unwrap();
//! assert_eq!(response.status(), 401);
//! assert_eq!(response.headers()["www-authenticate"], "Bearer");
//! # }
//! ```
//!
//! Most identity providers publish their keys. [`RemoteKeys`] fetches them through your HTTP
//! client:
//!
//! ```
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{Empty, Full};
//! # use std::convert::Infallible;
//! # use tower::service_fn;
//! # use tower_inference::auth::{AuthLayer, Jwt, KeysError, RemoteKeys};
//! # let client = service_fn(|_: Request<Empty<Bytes>>| async {
//! #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
//! # });
//! let issuer = "https://issuer.example";
//! let keys = RemoteKeys::discovery(issuer, client).build()?;
//! assert!(!keys.is_ready()); // until `keys.refresh().await` or the first request
//! let layer = AuthLayer::new(Jwt::new(keys, issuer, "https://gateway.example"));
//! # Ok::<(), KeysError>(())
//! ```
//!
//! # Tokens
//!
//! The token is in the `authorization` header as `Bearer <token>` (RFC 6750). [`Jwt`] holds the
//! requirements for it. The checks follow RFC 7519 and its best current practice (RFC 8725).
//!
//! `scope` and `scp` are a string with spaces or an array of strings. The scopes of both count.
//! `aud` is a string or an array of strings. `exp`, `nbf` and `iat` are JSON numbers up to the year
//! 9999. They may have a fraction or an exponent. A claim of another type rejects the token.
//! Provider-specific claims such as `permissions`, `roles` and `groups` are not scopes. The
//! identity returns them as [claims](crate::identity::Identity::claim).
//!
//! # Rejections
//!
//! | request | rejection | challenge |
//! |---|---|---|
//! | no bearer token | 401 `missing-credentials` | `Bearer` without an error |
//! | several headers or tokens | 400 `invalid-request` | `error="invalid_request"` |
//! | malformed or too long token, unknown key or invalid signature | 401 `invalid-token` | `error="invalid_token"` |
//! | valid signature and invalid claim | 401 `invalid-token` | the same error; the description names the claim |
//! | expired token | 401 `expired-token` | `error="invalid_token"` |
//! | missing scope | 403 `insufficient-scope` | `error="insufficient_scope"` and the required scopes |
//! | no keys | 503 `identity-provider-unavailable` | none; the response has `retry-after` |
//!
//! All failures before a valid signature get the same response. `detail` tells whether the identity
//! provider was reached if there are no keys.
//!
//! # Keys
//!
//! A key verifies a token if its `kid` and its type match. RSA keys verify `RS…` and `PS…`. P-256
//! keys verify `ES256`, P-384 keys verify `ES384` and Ed25519 keys verify `EdDSA`. A key with an
//! `alg` verifies only that algorithm. If several keys share a `kid` and an algorithm then the
//! first two are tried. A token without `kid` is verified if at most two keys match its `alg`: the
//! old one and the new one.
//!
//! If no key verifies the token then [`RemoteKeys`] fetches the keys again and verifies it with the
//! new ones. A key is therefore found after a rotation under a new `kid`, the old one or none. All
//! these requests together cause one fetch in a [cool-down](RemoteKeys::cool_down). Requests with a
//! valid token do not wait for the fetch.
//!
//! # Cache
//!
//! A valid token is verified once. The cached result is used until the token expires or the keys
//! change. A lookup compares the whole token. Cached tokens also expire on the monotonic clock, so
//! setting the wall clock back does not extend them. Invalid tokens are not cached.
//!
//! Cached tokens are wiped from memory when they are removed. Copies in the server's read buffer
//! and in the request's header are not wiped. The header is marked sensitive and stays in the
//! request. `HfTokenLayer` removes it.
//!
//! # Logs
//!
//! | level | event |
//! |---|---|
//! | `info` | keys changed or can be loaded again |
//! | `warn` | keys cannot be loaded; logged once for each change of the reason |
//! | `warn` | keys of a set are skipped; logged once for each change of the skipped keys |
//! | `warn` | a token with a valid signature has another issuer or audience; logged once for each claim and only until a token has the expected ones |
//! | `warn` | no key verifies a token; logged once and only until a token was verified |
//! | `debug` | a request is rejected |
//! | `debug` | an encryption key of a set is skipped |
//!
//! Each event has its reason. The events about another issuer or audience show the expected and the
//! received one with the remedy. [`AuthLayer::counts`] counts such requests. No log line holds a
//! token, another claim's value or a `kid`.
//!
//! # Place
//!
//! Outside of every layer that needs the identity: limits by caller, model rules and the cache. Inside of the access
//! log.
//!
//! ```text
//! ServiceBuilder::new().layer(access_log).layer(auth).layer(throttle)  // the first is the outermost
//! Router::new().layer(throttle).layer(auth).layer(access_log)          // the last is the outermost
//! ```
//!
//! # Caveats
//!
//! - Tokens in a query, form or cookie are not read.
//! - A revoked token is accepted until it expires. Opaque tokens are rejected.
//! - A withdrawn key verifies tokens until the next fetch. A fetch starts when the keys exceed
//!   [`max_age`](RemoteKeys::max_age) or a token has a new key.
//! - A token outside of the cache expires on the wall clock only.
//! - CORS preflight requests carry no credentials. Respond to them in an outer layer.
//! - A request that waits for keys also keeps the inner service's readiness.
//! - Fetching keys needs a tokio runtime with its timer.

mod access;
mod algorithm;
mod api_keys;
mod authentication;
mod credential;
mod custom;
mod error;
mod failure;
mod fetch;
mod future;
mod introspection;
mod keys;
mod layer;
mod lookup;
mod method;
mod resource_metadata;
mod service;
mod token;

pub use self::{
    access::{AccessRule, AccessRules, Explanation},
    algorithm::Algorithm,
    api_keys::{
        ApiKey, ApiKeyDigest, ApiKeyError, ApiKeyFile, ApiKeyForm, ApiKeyLookup, ApiKeyRecord,
        ApiKeyStore, ApiKeyStoreError, ApiKeys, ApiKeysEntry, ApiKeysError, ApiKeysFault,
    },
    credential::Credential,
    custom::{Authenticator, CustomAuth},
    error::AuthError,
    future::ResponseFuture,
    introspection::{Introspection, IntrospectionError, OpaqueTokens},
    keys::{KeySource, Keys, KeysError, KeysFault, RemoteKeys},
    layer::AuthLayer,
    resource_metadata::{ResourceMetadata, ResourceMetadataService},
    service::Auth,
    token::{AuthCounts, ClaimMapping, ClientCertificate, Dpop, Jwt, JwtError, Provider},
};
