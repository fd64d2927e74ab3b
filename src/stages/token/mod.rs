//! Sources of tokens.
//!
//! `value` is a token, `file` and `fetched` follow one that changes, `exchange` fetches one without a
//! secret, `aws` fetches by AWS's own SDK, `rejected` bounds the looks for another one, and `access` has
//! the outcomes of a request for one. `source` puts them together.

mod access;
#[cfg(feature = "aws")]
mod aws;
mod exchange;
mod fetched;
mod file;
mod log_text;
mod rejected;
mod source;
mod value;

pub(crate) use self::access::{Refreshed, TokenWait};
#[cfg(feature = "aws")]
pub use self::aws::{AwsSecret, AwsWebIdentity};
pub(super) use self::{
    access::{Acquired, Owner, Unavailable},
    value::Token,
};
pub use self::{
    exchange::{SubjectToken, TokenExchange, TokenExchangeError},
    fetched::FetchedToken,
    source::TokenSource,
    value::{TokenError, TokenFault},
};
