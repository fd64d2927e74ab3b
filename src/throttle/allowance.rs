use super::{Concurrency, Quota, Rate};

/// How much a [`Limit`](super::Limit) allows: made from a [`Rate`], a [`Quota`] or a
/// [`Concurrency`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Allowance(pub(super) Kind);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Rate(Rate),
    Quota(Quota),
    Concurrency(Concurrency),
}

impl Allowance {
    /// The most permits that can ever be there at once.
    pub(super) fn capacity(self) -> u64 {
        match self.0 {
            Kind::Rate(rate) => rate.capacity().into(),
            Kind::Quota(quota) => quota.limit(),
            Kind::Concurrency(concurrency) => concurrency.most().into(),
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
