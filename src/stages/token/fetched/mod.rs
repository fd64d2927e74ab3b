//! Tokens that an async function fetches.
//!
//! `source` decides when the token is fetched and which requests wait for it. `token` is the result of a
//! fetch and `fault` the reason for which there is none.

mod fault;
mod source;
mod token;

pub(super) use self::fault::TokenFetchFault;
pub(super) use self::source::{FetchSettings, FetchedSource};
pub use self::token::FetchedToken;
