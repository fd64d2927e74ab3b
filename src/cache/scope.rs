use std::sync::Arc;

use http::Request;

use super::{key::KeyHasher, settings::Function};
use crate::{identity::Identity, payload::Payload};

/// The callers that share responses.
///
/// The cache is bypassed if a scope lacks a property of the caller.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Scope {
    /// One principal: its proof, issuer and subject. Requests without an identity bypass the cache.
    Identity,
    /// The callers of one tenant of one issuer. Requests without a tenant bypass the cache.
    ///
    /// Callers can learn that another one has sent the same request. See the caveats of the
    /// [module](crate::cache).
    Tenant,
    /// All callers, including those without an identity. Do not use it if the upstream token depends
    /// on the caller.
    ///
    /// A request with `authorization` and without an identity bypasses the cache (RFC 9111 section
    /// 3.5).
    Shared,
    /// The callers for which a function returns the same name. Made by [`Scope::by`].
    By(ScopeFunction),
}

impl Scope {
    /// Creates a scope of the callers for which `scope` returns the same name.
    ///
    /// The function alone decides who shares: a cache outside of auth serves strangers too. Requests for
    /// which it returns `None` bypass the cache. The name must differ between tenants and between
    /// equal names of different issuers.
    pub fn by(scope: impl Fn(&Request<Payload>) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::By(ScopeFunction(Function::new(Arc::new(scope))))
    }

    /// Returns whether several callers share responses.
    pub(crate) const fn is_wide(&self) -> bool {
        !matches!(self, Self::Identity)
    }

    /// Hashes the caller. Returns `None` if the request lacks a property of the scope.
    pub(crate) fn hash(
        &self,
        hasher: &mut KeyHasher,
        request: &Request<Payload>,
        identity: Option<&Identity>,
    ) -> Option<()> {
        match self {
            Self::Identity => {
                let principal = identity?.principal();
                hasher.part(b"identity");
                hasher.part(principal.proof.as_str().as_bytes());
                hasher.part(principal.issuer.as_bytes());
                hasher.part(principal.subject.as_bytes());
            }
            Self::Tenant => {
                let identity = identity?;
                let tenant = identity.tenant()?;
                hasher.part(b"tenant");
                hasher.part(identity.issuer().as_bytes());
                hasher.part(tenant.as_bytes());
            }
            Self::Shared => hasher.part(b"shared"),
            Self::By(ScopeFunction(scope)) => {
                let scope = scope(request)?;
                hasher.part(b"by");
                hasher.part(scope.as_bytes());
            }
        }
        Some(())
    }
}

/// The function of [`Scope::By`]. Made by [`Scope::by`].
#[derive(Clone, Debug)]
pub struct ScopeFunction(Function<ScopeOf>);

type ScopeOf = dyn Fn(&Request<Payload>) -> Option<String> + Send + Sync;
