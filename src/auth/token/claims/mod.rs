//! The claims of a token.
//!
//! `typed` parses the claims that every token is checked for. `claim_path` and `mapping` are the
//! settings for the claims of an identity provider, `reader` reads these and `check` compares them.

mod check;
mod claim_path;
mod mapping;
mod reader;
mod typed;

pub(super) use self::{
    check::ClaimCheck,
    reader::{ClaimReader, MappedClaims},
    typed::{ClaimsError, TokenClaims, unverified_issuer},
};
pub use self::{claim_path::ClaimPath, mapping::ClaimMapping};
