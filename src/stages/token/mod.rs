//! Sources of tokens.
//!
//! `value` is a token, `file` and `fetched` follow one that changes, and `access` has the outcomes of a
//! request for one. `source` puts them together.

mod access;
mod fetched;
mod file;
mod source;
mod value;

pub(super) use self::{
    access::{Acquired, Owner, Refreshed},
    value::Token,
};
pub use self::{
    fetched::FetchedToken,
    source::TokenSource,
    value::{TokenError, TokenFault},
};
