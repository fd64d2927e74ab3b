//! Verification of JSON Web Tokens.
//!
//! A gateway rarely has one identity provider. People log in at one, continuous integration has
//! another and workloads have a third. Each writes its claims in its own way. This module verifies the
//! tokens of all of them in one layer:
//!
//! ```
//! # use tower_inference::auth::{AuthLayer, ClaimMapping, Jwt, JwtError, KeySource, Provider};
//! # let keys = KeySource::file("tests/data/jwks.json").unwrap();
//! # let github_keys = keys.clone();
//! let people = Jwt::new(keys, "https://sso.example/realms/acme", "gateway")
//!     .provider(Provider::Keycloak)?
//!     .claims(ClaimMapping::new().plan_if_contains("groups", "llm-pro", "pro"));
//! let workflows = Jwt::new(github_keys, "https://token.actions.githubusercontent.com", "gateway")
//!     .provider(Provider::GitHubActions)?;
//! let layer = AuthLayer::new(people).or(workflows);
//! # assert!(format!("{layer:?}").contains("sso.example"));
//! # Ok::<(), JwtError>(())
//! ```
//!
//! # Requests
//!
//! | request | response |
//! |---|---|
//! | `curl -H "authorization: Bearer $TOKEN" $URL` | passes if the token is valid |
//! | `curl -H "authorization: Bearer $TOKEN" -H "authorization: Bearer $TOKEN" $URL` | 400 `invalid-request` |
//! | `curl "$URL?access_token=$TOKEN"`, `curl -d access_token=$TOKEN $URL`, `curl -b access_token=$TOKEN $URL` | 401 `missing-credentials` |
//! | `curl -H "authorization: Bearer $TOKEN_OF_AN_UNKNOWN_ISSUER" $URL` | 401 `invalid-token`, as for a wrong signature |
//! | `curl -H "authorization: Bearer $ID_TOKEN" $URL` with `Provider::Cognito`, `Entra` or `Keycloak` | 401 `invalid-token`, which names the claim |
//! | `curl -H "authorization: Bearer $REVOKED" $URL` with `Jwt::revocation` | 401 `invalid-token` |
//! | `curl -H "authorization: DPoP $BOUND" -H "dpop: $PROOF" $URL` with `Jwt::dpop` | passes once for each proof |
//! | `curl -H "authorization: Bearer $BOUND" $URL` | 401 `invalid-token` with a challenge for `DPoP` |
//! | `curl --cert client.pem -H "authorization: Bearer $BOUND" $URL` with `ClientCertificate` in the extensions | passes |
//!
//! # Log
//!
//! Each rejected token is one line with `reason`, `issuer`, `alg` and `kid`. If the algorithm, the key,
//! the issuer or the audience differs then the line has `claim`, `expected`, `received` and `remedy`.
//! Texts are escaped and have at most 200 characters. Claims are shown only after the signature was
//! verified. The line is at `info`. Until a token of the issuer was accepted, the first line of each
//! kind about the key, the issuer or the audience is at `warn`, because a wrong setting is then the
//! likelier cause. After 10 lines there is one in 6 seconds. It has the number of lines that were
//! `suppressed` before it.
//!
//! # Files
//!
//! `verifier` runs the checks in order. `credentials` finds the token in a request. `parts` and
//! `claims` parse it. `claim_checks` compares the claims with the settings in `jwt`. `presets` has
//! the settings of each `provider`. `confirmation` checks that the client has the key of a bound token.
//! `cache` stores verified tokens. `failures` describes a failed check and `rejection_log` logs it.

mod cache;
mod claim_checks;
mod claims;
mod confirmation;
mod counts;
mod credentials;
mod failures;
mod json;
mod jwt;
mod jwt_error;
mod numeric_date;
mod parts;
mod presets;
mod provider;
mod rejection_log;
mod token_types;
mod verifier;

pub use self::{
    claims::ClaimMapping,
    confirmation::{ClientCertificate, Dpop},
    counts::AuthCounts,
    jwt::Jwt,
    jwt_error::JwtError,
    provider::Provider,
};
pub(super) use self::{
    claims::{ClaimReader, ClaimsError, TokenClaims},
    json::OneOrMany,
    verifier::TokenVerifier,
};
