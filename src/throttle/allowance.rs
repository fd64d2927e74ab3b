use super::{Concurrency, Quota, Rate};

/// The longest that failures of a rate are owed, in ns, unless one fill of the bucket takes longer: a
/// day. A quota owes the limit of its next window, which is a day at least.
const MAX_FAILURE_DEBT: u64 = 86_400 * 1_000_000_000;

/// How much a [`Limit`](super::Limit) allows: made from a [`Rate`], a [`Quota`] or a
/// [`Concurrency`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowance(pub(super) Kind);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Rate(Rate),
    /// A rate of failures, which happen before they are counted: they stay owed in full.
    Failures(Rate),
    Quota(Quota),
    Concurrency(Concurrency),
}

impl Allowance {
    /// The most permits that can ever be there at once.
    pub(super) fn capacity(self) -> u64 {
        match self.0 {
            Kind::Rate(rate) | Kind::Failures(rate) => rate.capacity().into(),
            Kind::Quota(quota) => quota.limit(),
            Kind::Concurrency(concurrency) => concurrency.most().into(),
        }
    }

    /// The same for a limit that counts failures.
    pub(super) const fn of_failures(self) -> Self {
        match self.0 {
            Kind::Rate(rate) => Self(Kind::Failures(rate)),
            _ => self,
        }
    }

    /// Of a rate, the most that a caller can owe beyond a full bucket, in ns: one fill of it. Failures
    /// are owed for a day if that is longer.
    pub(super) fn max_debt(self) -> u64 {
        match self.0 {
            Kind::Rate(rate) => rate.fill(),
            Kind::Failures(rate) => rate.fill().max(MAX_FAILURE_DEBT),
            Kind::Quota(_) | Kind::Concurrency(_) => 0,
        }
    }

    /// Whether waiting does not help a cost. An allowance of nothing holds no cost for another
    /// reason: it is a caller's ban.
    pub(super) fn never_holds(self, cost: u64) -> bool {
        (1..cost).contains(&self.capacity())
    }
}

impl From<Rate> for Allowance {
    fn from(rate: Rate) -> Self {
        Self(Kind::Rate(rate))
    }
}

impl From<Quota> for Allowance {
    fn from(quota: Quota) -> Self {
        Self(Kind::Quota(quota))
    }
}

impl From<Concurrency> for Allowance {
    fn from(concurrency: Concurrency) -> Self {
        Self(Kind::Concurrency(concurrency))
    }
}
