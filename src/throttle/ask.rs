//! The language between layers and stores.

use std::time::Duration;

use smallvec::SmallVec;

use super::{allowance::Allowance, key::Key};

/// What one limit asks of its store for one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) key: Key,
    /// The key of those that find no room in a full store, one for each limit.
    pub(super) overflow: Key,
    pub(super) allowance: Allowance,
    /// Permits to take. A cost beyond all that the allowance ever holds never passes. Zero takes
    /// nothing, and passes where one would.
    pub(super) cost: u64,
    /// `false`: in shadow. It takes where it allows, but stops nobody.
    pub(super) enforced: bool,
}

/// One request's.
pub(super) type Asks = SmallVec<[Ask; 4]>;

/// What the store says to an [`Ask`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Standing {
    /// Whether this limit alone would let the request pass.
    pub(super) allows: bool,
    /// What is left, with what this request took.
    pub(super) remaining: u64,
    /// The most there can be left: the burst, this window's limit.
    pub(super) most: u64,
    /// How long until the same ask passes, if nothing else happens. Zero where it did.
    pub(super) wait: Duration,
    /// How long until all is there again.
    pub(super) reset: Duration,
    /// Of a quota: the number of the window. To be handed back with the [`Settlement`].
    pub(super) window: u32,
}

/// What the store says to one request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Decision {
    /// All that are enforced allow it. Else nothing was taken, of none.
    pub(super) passes: bool,
    /// One for each ask, in the same order.
    pub(super) standings: SmallVec<[Standing; 4]>,
}

/// What is put right afterwards: the difference between what was taken and what was used, a slot
/// that is free again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settlement {
    pub(super) key: Key,
    pub(super) overflow: Key,
    pub(super) allowance: Allowance,
    pub(super) window: u32,
    /// Permits to take (beyond what is there: as debt, within the allowance's bound), or, negative, to
    /// give back.
    pub(super) permits: i64,
}
