use super::{Concurrency, Quota, Rate};

/// A day in ns: the longest debt of failures, unless one fill of the bucket takes longer. A quota's
/// debt is the limit of its next window, which is a day at least.
const MAX_FAILURE_DEBT: u64 = 86_400 * 1_000_000_000;

/// How much a [`Limit`](crate::limits::Limit) allows. Made from a [`Rate`], a [`Quota`] or a
/// [`Concurrency`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowance(pub(crate) AllowanceKind);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AllowanceKind {
    Rate(Rate),
    /// A rate of failures. A failure happens before it is counted, so all of them become debt.
    Failures(Rate),
    Quota(Quota),
    Concurrency(Concurrency),
}

impl Allowance {
    /// Returns the most permits that can ever be available at once.
    pub(crate) fn capacity(self) -> u64 {
        match self.0 {
            AllowanceKind::Rate(rate) | AllowanceKind::Failures(rate) => rate.capacity().into(),
            AllowanceKind::Quota(quota) => quota.limit(),
            AllowanceKind::Concurrency(concurrency) => concurrency.max().into(),
        }
    }

    /// Returns the same allowance for a limit that counts failures.
    pub(crate) const fn of_failures(self) -> Self {
        match self.0 {
            AllowanceKind::Rate(rate) => Self(AllowanceKind::Failures(rate)),
            _ => self,
        }
    }

    /// Returns the most debt of a rate beyond an empty bucket, in ns: the time of one fill. The debt
    /// of failures lasts a day if that is longer.
    pub(crate) fn max_debt(self) -> u64 {
        match self.0 {
            AllowanceKind::Rate(rate) => rate.fill(),
            AllowanceKind::Failures(rate) => rate.fill().max(MAX_FAILURE_DEBT),
            AllowanceKind::Quota(_) | AllowanceKind::Concurrency(_) => 0,
        }
    }

    /// Returns whether a cost exceeds the capacity, so that waiting does not help. An allowance of
    /// zero is a ban and has another reason.
    pub(crate) fn never_allows(self, cost: u64) -> bool {
        (1..cost).contains(&self.capacity())
    }
}

impl From<Rate> for Allowance {
    fn from(rate: Rate) -> Self {
        Self(AllowanceKind::Rate(rate))
    }
}

impl From<Quota> for Allowance {
    fn from(quota: Quota) -> Self {
        Self(AllowanceKind::Quota(quota))
    }
}

impl From<Concurrency> for Allowance {
    fn from(concurrency: Concurrency) -> Self {
        Self(AllowanceKind::Concurrency(concurrency))
    }
}
