//! Verification of one token.
//!
//! `verifier` runs the checks in order. `credentials` finds the token in a request. `parts` and
//! `claims` parse it. `cache` stores verified tokens. `failures` describes a failed check. `mismatch` reports settings that fit no token.

mod cache;
mod claims;
mod credentials;
mod failures;
mod json;
mod jwt;
mod mismatch;
mod parts;
mod verifier;

pub(super) use self::verifier::TokenVerifier;
pub use self::{
    jwt::{Jwt, JwtError},
    mismatch::AuthCounts,
};
