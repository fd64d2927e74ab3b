use std::sync::Arc;

use http::Request;

use super::{key::KeyParts, settings::Function};
use crate::{
    identity::{Identity, Principal},
    payload::Payload,
};

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

    /// Returns the callers that share with a request. Returns `None` if the request lacks a property of
    /// the scope.
    pub(crate) fn of<'a>(
        &self,
        request: &Request<Payload>,
        identity: Option<&'a Identity>,
    ) -> Option<ScopeName<'a>> {
        Some(match self {
            Self::Identity => ScopeName::Identity(identity?.principal()),
            Self::Tenant => {
                let identity = identity?;
                ScopeName::Tenant(identity.issuer(), identity.tenant()?)
            }
            Self::Shared => ScopeName::Shared,
            Self::By(ScopeFunction(scope)) => ScopeName::By(scope(request)?),
        })
    }
}

/// The callers that share with one request.
pub(crate) enum ScopeName<'a> {
    Identity(Principal<'a>),
    /// An issuer and its tenant.
    Tenant(&'a str, &'a str),
    Shared,
    By(String),
}

impl ScopeName<'_> {
    pub(crate) fn put(&self, parts: &mut impl KeyParts) {
        match self {
            Self::Identity(principal) => {
                parts.part(b"identity");
                parts.part(principal.proof.as_str().as_bytes());
                parts.part(principal.issuer.as_bytes());
                parts.part(principal.subject.as_bytes());
            }
            Self::Tenant(issuer, tenant) => {
                parts.part(b"tenant");
                parts.part(issuer.as_bytes());
                parts.part(tenant.as_bytes());
            }
            Self::Shared => parts.part(b"shared"),
            Self::By(scope) => {
                parts.part(b"by");
                parts.part(scope.as_bytes());
            }
        }
    }
}

/// The function of [`Scope::By`]. Made by [`Scope::by`].
#[derive(Clone, Debug)]
pub struct ScopeFunction(Function<ScopeOf>);

type ScopeOf = dyn Fn(&Request<Payload>) -> Option<String> + Send + Sync;
