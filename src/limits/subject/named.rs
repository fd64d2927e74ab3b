use std::net::IpAddr;

use super::{
    count_by::CountBy,
    hash,
    key::{CounterHasher, CounterKey},
};
use crate::identity::Principal;

/// A subject whose state an operator reads or resets.
///
/// Passed to `limit_state` and `reset` of [`ThrottleLayer`](crate::throttle::ThrottleLayer) and
/// [`TokenBudgetLayer`](crate::token_budget::TokenBudgetLayer).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Subject {
    kind: SubjectKind,
    tier: Option<Box<str>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum SubjectKind {
    Identity { proof: &'static str, issuer: Box<str>, subject: Box<str> },
    Tenant { issuer: Box<str>, tenant: Box<str> },
    Claim { issuer: Box<str>, value: Box<str> },
    Address(IpAddr),
    Key(Box<[u8]>),
    Route(Box<str>),
    Global,
}

impl Subject {
    /// Names a principal of [`Limit::per_identity`](crate::limits::Limit::per_identity).
    #[must_use]
    pub fn identity(principal: &Principal<'_>) -> Self {
        Self::new(SubjectKind::Identity {
            proof: principal.proof.as_str(),
            issuer: principal.issuer.into(),
            subject: principal.subject.into(),
        })
    }

    /// Names an issuer's tenant of [`Limit::per_tenant`](crate::limits::Limit::per_tenant).
    pub fn tenant(issuer: impl Into<Box<str>>, tenant: impl Into<Box<str>>) -> Self {
        Self::new(SubjectKind::Tenant { issuer: issuer.into(), tenant: tenant.into() })
    }

    /// Names a claim's value of [`Limit::per_claim`](crate::limits::Limit::per_claim).
    pub fn claim(issuer: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        Self::new(SubjectKind::Claim { issuer: issuer.into(), value: value.into() })
    }

    /// Names an address of [`Limit::per_peer`](crate::limits::Limit::per_peer). An IPv6 address
    /// represents its whole prefix.
    #[must_use]
    pub const fn address(address: IpAddr) -> Self {
        Self::new(SubjectKind::Address(address))
    }

    /// Names a key that the function of [`Limit::per_key`](crate::limits::Limit::per_key) returns.
    pub fn key(bytes: impl Into<Box<[u8]>>) -> Self {
        Self::new(SubjectKind::Key(bytes.into()))
    }

    /// Names a route of [`Limit::per_route`](crate::limits::Limit::per_route).
    pub fn route(name: impl Into<Box<str>>) -> Self {
        Self::new(SubjectKind::Route(name.into()))
    }

    /// Names the one subject of [`Limit::global`](crate::limits::Limit::global).
    #[must_use]
    pub const fn global() -> Self {
        Self::new(SubjectKind::Global)
    }

    /// Sets the tier or plan whose allowance applies. Defaults to the limit's own allowance.
    #[must_use]
    pub fn tier(mut self, name: impl Into<Box<str>>) -> Self {
        self.tier = Some(name.into());
        self
    }

    const fn new(kind: SubjectKind) -> Self {
        Self { kind, tier: None }
    }

    pub(crate) fn tier_name(&self) -> Option<&str> {
        self.tier.as_deref()
    }

    /// Hashes the subject, or returns `None` where the limit counts by another property.
    pub(crate) fn hash(&self, by: &CountBy, hasher: &CounterHasher) -> Option<CounterKey> {
        Some(match (by, &self.kind) {
            (CountBy::Identity, SubjectKind::Identity { proof, issuer, subject }) => {
                hash::identity(hasher, proof, issuer, subject)
            }
            (CountBy::Tenant, SubjectKind::Tenant { issuer, tenant }) => {
                hash::tenant(hasher, issuer, Some(tenant))
            }
            (CountBy::Claim(_), SubjectKind::Claim { issuer, value }) => {
                hash::claim(hasher, by.constant(hasher), issuer, Some(value))
            }
            (CountBy::Peer(peer), SubjectKind::Address(address)) => {
                hash::address(hasher, &peer.bytes_of(*address))
            }
            (CountBy::Key(_), SubjectKind::Key(bytes)) => hash::custom(hasher, bytes),
            (CountBy::Route, SubjectKind::Route(name)) => hash::route(hasher, name),
            (CountBy::Global, SubjectKind::Global) => by.constant(hasher),
            _ => return None,
        })
    }
}
