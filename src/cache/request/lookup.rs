use std::time::Duration;

use crate::cache::{
    key::{EntryKey, Spelling},
    policy::CacheControl,
};

/// An extension of a request whose call is shared. An inner cache, possibly the same one, would wait
/// for itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedCall;

/// A request that the cache can respond to.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) key: EntryKey,
    /// The request as it is written, unless the key was found by it.
    pub(super) spelling: Option<Spelling>,
    /// A chat, whose variants can be converted to each other.
    pub(super) chat: bool,
    /// How long the response may be stored. `None` if the call is only shared in flight.
    pub(super) ttl: Option<Duration>,
    /// The request's `cache-control`, as far as the caller is authorized.
    pub(super) control: CacheControl,
    /// The caller is warned that its `cache-control` was ignored.
    pub(super) warn: bool,
}
