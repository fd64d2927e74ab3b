//! The identity of a caller and the proof of it.
//!
//! Limits, cache scopes, model rules and logs need to know the caller. An outer layer such as
//! `AuthLayer` verifies the credentials once. It puts the [`Identity`] into the
//! [`RequestContext`](crate::context::RequestContext). Your own authentication can do the same.
//!
//! ```
//! use tower_inference::identity::{Identity, Proof};
//!
//! let identity = Identity::new(Proof::Jwt, "https://issuer.example", "user-7")
//!     .with_tenant("acme")
//!     .with_scopes(["infer", "models:read"]);
//! assert!(identity.has_scope("infer"));
//! assert_eq!(identity.principal().to_string(), "jwt:https://issuer.example#user-7");
//! ```
//!
//! # Caveats
//!
//! An identity states what was proved when it was made. Code that keeps an identity checks
//! [`Identity::expires_at`] itself.

mod callers;
mod claim_path;
#[cfg(any(feature = "auth", feature = "model-rules"))]
mod claim_uses;
mod pattern;
mod proof;
mod verified;

#[cfg(feature = "auth")]
pub(crate) use self::callers::{Fact, Unmet};
#[cfg(any(feature = "auth", feature = "model-rules"))]
pub(crate) use self::claim_uses::ClaimUses;
pub use self::{
    callers::Callers,
    claim_path::ClaimPath,
    proof::Proof,
    verified::{Identity, Principal},
};
