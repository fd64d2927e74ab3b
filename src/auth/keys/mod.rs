//! Sources of verification keys.
//!
//! [`KeySource`] is what the verifier reads. It holds a fixed set, a file or a server. `key_set`
//! and `jwk` parse a set. `store` swaps one set for the next. `fetch` holds the steps of a fetch.

mod document;
mod error;
mod fetch;
mod file;
mod jwk;
mod key_set;
mod remote_keys;
mod source;
mod store;

// The verifier's wait for a fetch.
pub(super) use self::{
    error::KeysUnavailable,
    fetch::{FetchDecision, FetchReason, FetchResult},
};
pub use self::{
    error::{KeysError, KeysFault},
    key_set::Keys,
    remote_keys::RemoteKeys,
    source::KeySource,
};
