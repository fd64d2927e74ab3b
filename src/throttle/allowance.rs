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
