//! Sources of tokens.
//!
//! `value` is a token, `file` and `fetched` follow one that changes, `exchange` fetches one without a secret, and `access` has the outcomes of a
//! request for one. `source` puts them together.

mod access;
mod exchange;
mod fetched;
mod file;
mod log_text;
mod source;
mod value;

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
