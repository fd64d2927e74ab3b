//! Tokens that an async function fetches.
//!
//! `state` decides when the token is fetched and which requests wait for it.

mod fault;
mod source;
mod token;

pub(super) use self::fault::TokenFetchFault;
pub(super) use self::source::{FetchSettings, FetchedSource};
pub use self::token::FetchedToken;
