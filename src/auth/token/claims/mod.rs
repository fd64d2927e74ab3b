//! The claims of a token.
//!
//! `typed` parses the claims that every token is checked for. `mapping` has the settings for the
//! claims of an identity provider, `reader` reads these and `check` compares them.

mod check;
mod mapping;
mod reader;
mod typed;

pub use self::mapping::ClaimMapping;
pub(super) use self::{check::ClaimCheck, typed::unverified_issuer};
pub(crate) use self::{
    reader::ClaimReader,
    typed::{ClaimsError, TokenClaims},
};
