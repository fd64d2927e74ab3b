//! Sources of tokens.
//!
//! `value` is a token, `file` and `fetched` follow one that changes, `exchange` fetches one without a
//! secret, `aws` fetches by AWS's own SDK, and `access` has the outcomes of a request for one. `source`
//! puts them together.

mod access;
#[cfg(feature = "aws")]
mod aws;
mod exchange;
mod fetched;
mod file;
mod log_text;
mod source;
mod value;

#[cfg(feature = "aws")]
pub use self::aws::{AwsSecret, AwsWebIdentity};
pub(super) use self::{
    access::{Acquired, Owner, Refreshed},
    value::Token,
};
pub use self::{
    exchange::{SubjectToken, TokenExchange, TokenExchangeError},
    fetched::FetchedToken,
    source::TokenSource,
    value::{TokenError, TokenFault},
};
