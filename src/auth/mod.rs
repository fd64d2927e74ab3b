//! Who calls: JSON Web Tokens, verified here.
//!
//! [`AuthLayer`] lets a request pass whose `authorization: Bearer …` (RFC 6750) is a JSON Web Token
//! that holds, and puts the caller's [`Identity`](crate::identity::Identity) into the
//! [`RequestContext`](crate::context::RequestContext). [`Jwt`] says what must hold; the rules are those
//! of RFC 7519 and of its best current practice, RFC 8725.
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
//!     .required_scopes(["infer"]);
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
//! let response = service.oneshot(Request::new(String::new())).await.unwrap();
//! assert_eq!(response.status(), 401);
//! assert_eq!(response.headers()["www-authenticate"], "Bearer");
//! # }
//! ```
//!
//! Most issuers publish their keys. [`RemoteKeys`] fetches them through a client of your own:
//!
//! ```
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{Empty, Full};
//! # use std::convert::Infallible;
//! # use tower::service_fn;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let client = service_fn(|_: Request<Empty<Bytes>>| async {
//! #     Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
//! # });
//! use tower_inference::auth::{AuthLayer, Jwt, RemoteKeys};
//!
//! let issuer = "https://issuer.example";
//! let keys = RemoteKeys::discovery(issuer, client).build()?;
//! assert!(!keys.is_ready()); // until `keys.refresh().await`, or the first request
//! let layer = AuthLayer::new(Jwt::new(keys, issuer, "https://gateway.example"));
//! # Ok(())
//! # }
//! ```
//!
//! # Refusals
//!
//! | what came | refusal | challenge |
//! |---|---|---|
//! | no `authorization` field, another scheme, no token | `missing-credentials` | `Bearer`, without an error |
//! | two fields, two tokens | `invalid-request` | `error="invalid_request"` |
//! | a token that cannot be read, whose key is unknown, whose signature does not hold | `invalid-token` | `error="invalid_token"`, the same for all of these |
//! | a signed token in which a claim does not hold, or has another type | `invalid-token` | the same error, naming the claim |
//! | a signed token of ours that has expired | `expired-token` | `error="invalid_token"` |
//! | a signed token of ours that lacks a scope | `insufficient-scope` | `error="insufficient_scope"`, and the scopes |
//! | there are no keys | `identity-provider-unavailable` | none; `retry-after`; `detail` says whether the provider was reached |
//!
//! # Keys
//!
//! A token is verified only with a key of its `kid` that goes with its `alg`: RSA keys with `RS…` and
//! `PS…`, P-256 with `ES256`, P-384 with `ES384`, Ed25519 with `EdDSA`, each only with the key's own
//! `alg` where it has one. Of the keys that share a `kid` and an algorithm the first two are tried. A
//! token without `kid` is verified only when at most two keys go with its `alg`: the old one and the
//! new one.
//!
//! When none of them verifies the token, [`RemoteKeys`] are fetched again, once in a
//! [cool-down](RemoteKeys::cool_down) for all such tokens together, and the token is judged by what
//! comes. So a key is found that was renewed under a new `kid`, under its old one, or without any.
//! Requests whose token holds do not wait for this, and remembered tokens are forgotten when the keys
//! change.
//!
//! # Claims
//!
//! `scope` and `scp` are a string with spaces or an array of strings, and count together. `aud` is a
//! string or an array of strings. `exp`, `nbf` and `iat` are JSON numbers, with or without a fraction
//! or an exponent, up to the year 9999. A claim of another type rejects the token. Claims that grant
//! something in one provider's own way (`permissions`, `roles`, `groups`) are no scopes; the identity
//! has them as [claims](crate::identity::Identity::claim).
//!
//! # What is remembered
//!
//! A token that held is not verified again until it expires or the keys change, whichever is first.
//! It is looked up by all of its bytes. Its end counts on the monotonic clock too: a wall clock that is
//! set back revives nothing that is still remembered. Tokens that do not hold are not remembered.
//!
//! Remembered tokens lie in memory as they came and are wiped when they go. What a server's read
//! buffer and the request's own field hold of them is not wiped. The field is marked sensitive and goes
//! on with the request; `HfTokenLayer` removes it.
//!
//! # Logs
//!
//! `info` when keys change or can be had again. `warn` when they cannot, once for each change of the
//! reason, and when keys of a set are skipped, with the reasons, once for each change of these. `debug`
//! for each refusal with its reason, and for keys that say that they are for encryption. No line holds
//! a token, a claim's value or a `kid`.
//!
//! # Limits
//!
//! - Tokens are accepted from the `authorization` field alone, not from a query, form or cookie.
//! - A token that was revoked is accepted until it expires. Opaque tokens are refused.
//! - A key that was withdrawn verifies tokens until the keys are next fetched: for their age, or
//!   because a token of a new key came.
//! - A token that is not remembered is judged by the wall clock alone.
//! - Preflight requests of CORS carry no credentials: answer them further out.
//! - A request that waits for keys keeps the readiness of the inner service meanwhile.
//! - Fetching needs tokio's timer.

mod algorithm;
mod challenge;
mod error;
mod file;
mod shared_future;
mod future;
mod json;
mod jwk;
mod jwt;
mod key_set;
mod layer;
mod remote_keys;
mod fetcher;
mod source;
mod token_parts;
mod token_cache;
mod verifier;

use std::time::Duration;

pub use self::{
    algorithm::Algorithm,
    error::KeysError,
    future::ResponseFuture,
    jwt::Jwt,
    key_set::Keys,
    layer::{Auth, AuthLayer},
    remote_keys::RemoteKeys,
    source::KeySource,
};

/// What is read of a set of keys, as API Gateway has it for its JWT authorizers.
const MAX_BYTES: usize = 150_000;

/// For atomics; they last 584 years.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
