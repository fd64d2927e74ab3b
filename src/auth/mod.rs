//! Authenticates callers and decides which routes they may use.
//!
//! A gateway spends its own upstream token on every request that it forwards. It must therefore
//! know its callers. [`AuthLayer`] rejects each request without a valid credential. Inner layers read
//! the verified [`Identity`](crate::identity::Identity) from the
//! [`RequestContext`](crate::context::RequestContext). The layer first removes an identity that an
//! outer layer has set.
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
//! # Credentials
//!
//! | credential | settings | place |
//! |---|---|---|
//! | JSON Web Token of an OpenID Connect issuer | [`Jwt`], [`Provider`], [`ClaimMapping`] | `authorization: Bearer` |
//! | JSON Web Token that is bound to a key of the client | [`Dpop`], [`ClientCertificate`] | `authorization: DPoP` or `Bearer` |
//! | opaque token, which the issuer is asked about | [`Introspection`] | `authorization: Bearer` |
//! | API key | [`ApiKeys`] | `x-api-key` or `authorization: Bearer` |
//! | AWS Signature Version 4 by a key that you issue | [`SigV4`](aws_iam::SigV4) | `authorization` or query |
//! | AWS role that AWS STS confirms | [`StsIdentity`](aws_iam::StsIdentity) | `authorization: Bearer` |
//! | your own | [`CustomAuth`] | any |
//! | none | [`AuthLayer::anonymous`] | |
//!
//! [`AuthLayer::or`] combines them. The first kind that recognises a credential by its place and form
//! decides. A request with two credentials is rejected. [The page about the credentials of
//! callers](crate::authentication) has a command for each.
//!
//! Tokens are read from headers only, never from a query, form or cookie (RFC 6750 section 2). The query
//! can have the signature of a presigned request.
//!
//! # Access
//!
//! Every valid credential may use every route until [`AuthLayer::rules`] sets [`AccessRules`]. A request
//! then needs a rule that allows it.
//!
//! # Rejections
//!
//! | request | rejection | challenge |
//! |---|---|---|
//! | no credential | 401 `missing-credentials` | each scheme without an error |
//! | several credentials | 400 `invalid-request` | `error="invalid_request"` |
//! | malformed or too long token, unknown key or invalid signature | 401 `invalid-token` | `error="invalid_token"` |
//! | valid signature and invalid claim | 401 `invalid-token` | the same error; the description names the claim |
//! | expired token | 401 `expired-token` | `error="invalid_token"` |
//! | unknown, disabled or expired API key | 401 `invalid-api-key` | `error="invalid_token"` |
//! | wrong signature of a request | 401 `invalid-signature` | `AWS4-HMAC-SHA256` |
//! | missing scope | 403 `insufficient-scope` | `error="insufficient_scope"` and the required scopes |
//! | no rule allows the request | 403 `forbidden` | none |
//! | the keys or the result of a look-up are not available | 503 `identity-provider-unavailable` | none; the response has `retry-after` |
//!
//! A malformed token, an unknown key and a wrong signature get the same response. A signature of AWS
//! with a wrong form, scope or date gets its reason, and an expired STS token gets `expired-token`.
//! `detail` tells whether the identity
//! provider was reached if there are no keys. The challenge has the [realm](AuthLayer::realm) and the
//! address of the [metadata](AuthLayer::resource_metadata).
//!
//! # Keys
//!
//! A key verifies a token if its `kid` and its type match. RSA keys verify `RS…` and `PS…`. P-256 keys
//! verify `ES256`, P-384 keys `ES384` and P-521 keys `ES512`. Ed25519 keys verify `EdDSA` and `Ed25519`,
//! which are two names of one algorithm (RFC 9864). A key with an `alg` verifies only that algorithm. If
//! several keys share a `kid` and an algorithm then the first two are tried. A token without `kid` is
//! verified if at most two keys match its `alg`: the old one and the new one.
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
//! setting the wall clock back does not extend them. Invalid tokens are not cached. The revocation hook
//! and the proof of possession run for cached tokens too.
//!
//! Cached tokens are wiped from memory when they are removed. Copies in the server's read buffer
//! and in the request's header are not wiped. The header is marked sensitive. A JWT or an opaque
//! token stays in the request, and `HfTokenLayer` removes it. API keys, signatures of AWS, STS tokens,
//! proofs and the headers of an [`Authenticator`] are removed here.
//!
//! # Logs
//!
//! | level | event |
//! |---|---|
//! | `info` | keys changed or can be loaded again |
//! | `warn` | keys cannot be loaded; logged once for each change of the reason |
//! | `warn` | keys of a set are skipped; logged once for each change of the skipped keys |
//! | `warn` | the first token with another issuer, another audience or without a key, until a token has met them |
//! | `warn` | an API key is rejected, with the cause; once a minute for each cause |
//! | `info` | a token or a signature is rejected, with the cause; at most 10 lines and then one every 6 seconds |
//! | `error` | signed requests arrive without `SignedBodyLayer`; once |
//! | `warn`, `info` | an introspection endpoint, STS, a store or an `Authenticator` fails; it works again |
//! | `debug` | an encryption key of a set is skipped; a rule denies a request |
//! | `trace` | a rule allows a request |
//!
//! A line about a token has its `alg` and `kid`. If one of `alg`, `kid`, `iss` and `aud` differs, the line
//! has the expected and the received value. The claims are those of a token with a valid signature. [`AuthLayer::counts`] counts such tokens. No log line holds a
//! token, a key or another claim's value.
//!
//! # Place
//!
//! `AuthLayer` belongs outside of every layer that needs the identity (limits by caller, model rules and
//! the cache) and inside of the access log.
//!
//! ```text
//! ServiceBuilder::new().layer(access_log).layer(auth).layer(throttle)  // the first is the outermost
//! Router::new().layer(throttle).layer(auth).layer(access_log)          // the last is the outermost
//! ```
//!
//! # Caveats
//!
//! - A revoked token is accepted until it expires unless [`Jwt::revocation`] knows it.
//! - A withdrawn key verifies tokens until the next fetch. A fetch starts when the keys exceed
//!   [`max_age`](RemoteKeys::max_age) or no key verifies a token.
//! - A token outside of the cache expires on the wall clock only.
//! - CORS preflight requests carry no credentials. Respond to them in an outer layer.
//! - A request that waits for keys or a look-up also keeps the inner service's readiness.
//! - Fetching keys and look-ups need a tokio runtime with its timer.

mod access;
mod algorithm;
mod api_keys;
mod authentication;
pub mod aws_iam;
mod credential;
mod custom;
mod error;
mod failure;
mod future;
mod introspection;
mod keys;
mod layer;
mod line_budget;
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
