//! Who shares an answer.

use std::sync::Arc;

use http::Request;

use super::{function::Function, key::Making};
use crate::{identity::Identity, payload::Payload};

/// Who shares an answer. What a scope needs to know and does not, it bypasses the cache for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Scope {
    /// One principal: (how proved, issuer, subject). Without an identity, the cache is bypassed.
    Identity,
    /// The callers of one tenant of one issuer. Without a tenant, the cache is bypassed.
    ///
    /// What one of them was answered, the others may learn: see the limits of the
    /// [module](crate::cache).
    Tenant,
    /// All, those without an identity too. Not where the token of the upstream depends on the
    /// caller.
    ///
    /// Who comes with an `authorization` that no layer has made an identity of bypasses the cache
    /// (RFC 9111 section 3.5).
    Shared,
    /// Those for whom a function says the same. See [`Scope::by`].
    By(ScopeFunction),
}

impl Scope {
    /// Those for whom `scope` says the same share answers; for whom it says nothing, the cache is
    /// bypassed.
    ///
    /// It must tell tenants apart, and those of several issuers: a name alone does not.
    pub fn by(scope: impl Fn(&Request<Payload>) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::By(ScopeFunction(Function::new(Arc::new(scope))))
    }

    /// Whether several callers may share one answer.
    pub(super) const fn is_wide(&self) -> bool {
        !matches!(self, Self::Identity)
    }

    /// Puts into the key who the caller is, among those who do not share. `None` when that is not
    /// known.
    pub(super) fn put(
        &self,
        making: &mut Making,
        request: &Request<Payload>,
        identity: Option<&Identity>,
    ) -> Option<()> {
        match self {
            Self::Identity => {
                let principal = identity?.principal();
                making.part(b"identity");
                making.part(principal.proof.name().as_bytes());
                making.part(principal.issuer.as_bytes());
                making.part(principal.subject.as_bytes());
            }
            Self::Tenant => {
                let identity = identity?;
                let tenant = identity.tenant()?;
                making.part(b"tenant");
                making.part(identity.issuer().as_bytes());
                making.part(tenant.as_bytes());
            }
            Self::Shared => making.part(b"shared"),
            Self::By(ScopeFunction(scope)) => {
                let scope = scope(request)?;
                making.part(b"by");
                making.part(scope.as_bytes());
            }
        }
        Some(())
    }
}

/// A function that tells who shares answers. Made by [`Scope::by`].
#[derive(Clone, Debug)]
pub struct ScopeFunction(Function<Scoping>);

type Scoping = dyn Fn(&Request<Payload>) -> Option<String> + Send + Sync;
