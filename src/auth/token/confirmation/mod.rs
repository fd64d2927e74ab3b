//! Tokens that are bound to a key of the client.
//!
//! Anyone who has a bearer token can use it. The claim `cnf` (RFC 7800) binds a token to a key, so that a
//! stolen token is useless without the key. A token with `cnf` is rejected unless the client proves
//! that it has the key. The proof is checked for cached tokens too.
//!
//! | member of `cnf` | proof | setting |
//! |---|---|---|
//! | `jkt` (RFC 9449) | the header `DPoP`, a JWT for one request, and `authorization: DPoP TOKEN` | [`Jwt::dpop`](crate::auth::Jwt::dpop) |
//! | `x5t#S256` (RFC 8705) | the client certificate of the TLS connection | [`ClientCertificate`] in the request's extensions |
//!
//! A token with any other member in `cnf` is rejected.

mod certificate;
mod claim;
mod dpop;
mod proof;
mod proof_key;
mod public_address;
mod sha256;
mod used_proofs;

pub use self::{certificate::ClientCertificate, dpop::Dpop};
pub(super) use self::{
    claim::{Binding, ConfirmationClaim},
    dpop::{PROOF_HEADER, ProofFailure, ProofRequest},
};
