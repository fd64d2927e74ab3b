//! Verification of JSON Web Tokens.
//!
//! `verifier` runs the checks in order. `credentials` finds the token in a request. `parts` and
//! `claims` parse it. `claim_checks` compares the claims with the settings in `jwt`. `presets` has
//! the settings of each `provider`. `confirmation` checks that the client has the key of a
//! bound token. `cache` stores verified tokens. `failures` describes a failed check and
//! `rejection_log` logs it.

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

pub(super) use self::verifier::TokenVerifier;
pub use self::{
    claims::ClaimMapping,
    confirmation::{ClientCertificate, Dpop},
    counts::AuthCounts,
    jwt::Jwt,
    jwt_error::JwtError,
    provider::Provider,
};
