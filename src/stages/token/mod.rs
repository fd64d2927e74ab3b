//! Sources of tokens.
//!
//! `value` is a token, `file` and `fetched` follow one that changes, and `access` has the outcomes of a
//! request for one. `source` puts them together. `aws` fetches by AWS's own SDK.

mod access;
#[cfg(feature = "aws")]
mod aws;
mod fetched;
mod file;
mod source;
mod value;

#[cfg(feature = "aws")]
pub use self::aws::AwsSecret;
pub(super) use self::{
    access::{Acquired, Owner, Refreshed},
    value::Token,
};
pub use self::{
    fetched::FetchedToken,
    source::TokenSource,
    value::{TokenError, TokenFault},
};
