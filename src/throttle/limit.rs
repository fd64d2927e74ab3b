use std::borrow::Cow;

use super::{Allowance, PeerAddress};

/// What is limited, by what, and how much it may be.
#[derive(Clone, Debug)]
pub struct Limit {
    pub(super) by: By,
    pub(super) allowance: Allowance,
    pub(super) name: Cow<'static, str>,
    pub(super) enforced: bool,
}

#[derive(Clone, Debug)]
pub(super) enum By {
    Identity,
    Tenant,
    Peer(PeerAddress),
    Global,
}

impl Limit {
    /// For each principal: (how proved, issuer, subject). Who is not known is refused.
    pub fn per_identity(allowance: impl Into<Allowance>) -> Self {
        Self::new(By::Identity, "identity", allowance.into())
    }

    /// For each tenant, of each issuer.
    pub fn per_tenant(allowance: impl Into<Allowance>) -> Self {
        Self::new(By::Tenant, "tenant", allowance.into())
    }

    /// For each address.
    pub fn per_peer(address: PeerAddress, allowance: impl Into<Allowance>) -> Self {
        Self::new(By::Peer(address), "peer", allowance.into())
    }

    /// For all together.
    pub fn global(allowance: impl Into<Allowance>) -> Self {
        Self::new(By::Global, "global", allowance.into())
    }

    /// Counts and tells what it would refuse, and refuses nothing.
    #[must_use]
    pub const fn shadow(mut self) -> Self {
        self.enforced = false;
        self
    }

    /// Names the limit, as fields of answers, records and the store know it.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    const fn new(by: By, name: &'static str, allowance: Allowance) -> Self {
        Self { by, allowance, name: Cow::Borrowed(name), enforced: true }
    }
}
