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
    parts::TokenParts,
    verifier::TokenVerifier,
};
