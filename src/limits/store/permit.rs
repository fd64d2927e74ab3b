//! The values that layers and stores exchange.

use std::time::Duration;

use smallvec::SmallVec;

use crate::limits::{kind::Allowance, subject::CounterKey};

/// A request for permits of one limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PermitRequest {
    pub(crate) key: CounterKey,
    /// The key of the limit's counter that new subjects share in a full store.
    pub(crate) overflow: CounterKey,
    pub(crate) allowance: Allowance,
    /// The permits to take. A cost beyond the capacity never passes. A cost of 0 takes nothing, and
    /// passes where one permit is available.
    pub(crate) cost: u64,
    /// `false` for a limit in shadow. It takes permits that are available, but rejects nothing.
    pub(crate) enforced: bool,
}

/// The permit requests of one HTTP request, one for each limit.
pub(crate) type PermitRequests = SmallVec<[PermitRequest; 4]>;

/// The outcome of one permit request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct PermitOutcome {
    /// Whether this limit alone lets the request pass.
    pub(crate) allows: bool,
    /// The permits that are left after this request.
    pub(crate) remaining: u64,
    /// The most permits that can be left: the burst, or the limit of this window.
    pub(crate) capacity: u64,
    /// The time until the same request passes, or zero.
    pub(crate) retry_after: Duration,
    /// The time until all permits are available again.
    pub(crate) reset_after: Duration,
    /// The number of a quota's window. A [`Settlement`] hands it back to the store.
    pub(crate) window: u32,
}

/// The outcome of all permit requests of one HTTP request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Decision {
    /// Whether all enforced limits allow the request. If not, no limit has lost a permit.
    pub(crate) passes: bool,
    /// In the order of the permit requests.
    pub(crate) outcomes: SmallVec<[PermitOutcome; 4]>,
}

/// A later correction of a counter. It takes the difference between reserved and used permits, or
/// gives back a permit in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settlement {
    pub(crate) key: CounterKey,
    pub(crate) overflow: CounterKey,
    pub(crate) allowance: Allowance,
    pub(crate) window: u32,
    /// The permits to take. Permits beyond the available ones become debt, up to the allowance's
    /// bound. Negative permits are given back.
    pub(crate) permits: i64,
}
