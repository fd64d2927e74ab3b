//! Whose counter it is.

use std::{cell::OnceCell, net::IpAddr, sync::Arc};

use http::{Extensions, HeaderMap, Method, Request, Uri};

use super::{
    key::{Key, Keys},
    limit::By,
};
use crate::{
    context::RequestContext,
    identity::{Identity, Principal},
};

/// What a function of the caller's own may read of a request: all but its body, which was not read
/// yet.
#[derive(Debug)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
    context: &'a RequestContext,
    // Read where something counts by it.
    identity: OnceCell<Option<Arc<Identity>>>,
}

impl<'a> RequestHead<'a> {
    pub(super) fn new<B>(request: &'a Request<B>, context: &'a RequestContext) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
            context,
            identity: OnceCell::new(),
        }
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &'a Method {
        self.method
    }

    /// Where to.
    #[must_use]
    pub const fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The fields, as the caller sent them: whoever counts by one lets callers choose their counter.
    #[must_use]
    pub const fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What outer layers and the server have added.
    #[must_use]
    pub const fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// Who calls, where that was proved.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.get_or_init(|| self.context.identity()).as_deref()
    }
}

/// Whom a limit counts by, to look at its state or to reset it:
/// [`ThrottleLayer::standing`](super::ThrottleLayer::standing),
/// [`ThrottleLayer::reset`](super::ThrottleLayer::reset).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Subject {
    pub(super) kind: SubjectKind,
    pub(super) tier: Option<Box<str>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum SubjectKind {
    Identity { proof: &'static str, issuer: Box<str>, subject: Box<str> },
    Tenant { issuer: Box<str>, tenant: Box<str> },
    Claim { issuer: Box<str>, value: Box<str> },
    Address(IpAddr),
    Key(Box<[u8]>),
    Route(Box<str>),
    Global,
}

impl Subject {
    /// A principal, for [`Limit::per_identity`](super::Limit::per_identity).
    #[must_use]
    pub fn identity(principal: &Principal<'_>) -> Self {
        Self::new(SubjectKind::Identity {
            proof: principal.proof.name(),
            issuer: principal.issuer.into(),
            subject: principal.subject.into(),
        })
    }

    /// An issuer's tenant, for [`Limit::per_tenant`](super::Limit::per_tenant).
    pub fn tenant(issuer: impl Into<Box<str>>, tenant: impl Into<Box<str>>) -> Self {
        Self::new(SubjectKind::Tenant { issuer: issuer.into(), tenant: tenant.into() })
    }

    /// Those with this value of the claim, for [`Limit::per_claim`](super::Limit::per_claim).
    pub fn claim(issuer: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Self {
        Self::new(SubjectKind::Claim { issuer: issuer.into(), value: value.into() })
    }

    /// An address, for [`Limit::per_peer`](super::Limit::per_peer): of IPv6, all of its prefix.
    #[must_use]
    pub const fn address(address: IpAddr) -> Self {
        Self::new(SubjectKind::Address(address))
    }

    /// What the function of [`Limit::per_key`](super::Limit::per_key) returns.
    pub fn key(bytes: impl Into<Box<[u8]>>) -> Self {
        Self::new(SubjectKind::Key(bytes.into()))
    }

    /// A route by its name, for [`Limit::per_route`](super::Limit::per_route).
    pub fn route(name: impl Into<Box<str>>) -> Self {
        Self::new(SubjectKind::Route(name.into()))
    }

    /// All together, for [`Limit::global`](super::Limit::global).
    #[must_use]
    pub const fn global() -> Self {
        Self::new(SubjectKind::Global)
    }

    /// Says which tier's or plan's numbers hold for it. The limit's own by default.
    #[must_use]
    pub fn of_tier(mut self, name: impl Into<Box<str>>) -> Self {
        self.tier = Some(name.into());
        self
    }

    const fn new(kind: SubjectKind) -> Self {
        Self { kind, tier: None }
    }

    /// `None` where the limit counts by something else.
    pub(super) fn hash(&self, by: &By, keys: &Keys) -> Option<Key> {
        Some(match (by, &self.kind) {
            (By::Identity, SubjectKind::Identity { proof, issuer, subject }) => {
                identity(keys, proof, issuer, subject)
            }
            (By::Tenant, SubjectKind::Tenant { issuer, tenant }) => {
                of_issuer(keys, "tenant", issuer, Some(tenant))
            }
            (By::Claim(_), SubjectKind::Claim { issuer, value }) => {
                claim(keys, by.constant(keys), issuer, Some(value))
            }
            (By::Peer(peer), SubjectKind::Address(address)) => {
                keys.key([b"peer", &peer.bytes_of(*address)[..]])
            }
            (By::Key(_), SubjectKind::Key(bytes)) => own(keys, bytes),
            (By::Route, SubjectKind::Route(name)) => route(keys, name),
            (By::Global, SubjectKind::Global) => by.constant(keys),
            _ => return None,
        })
    }
}

impl By {
    /// What is the same for every request, hashed beforehand: all of the subject, that of those who
    /// are not known, or a part.
    pub(super) fn constant(&self, keys: &Keys) -> Key {
        match self {
            Self::Identity => unknown(keys, "identity"),
            Self::Tenant => unknown(keys, "tenant"),
            Self::Claim(name) => keys.key([b"claim-name", name.as_bytes()]),
            Self::Peer(_) => unknown(keys, "peer"),
            Self::Key(_) => unknown(keys, "key"),
            Self::Route => unknown(keys, "route"),
            Self::Global => keys.key([b"global".as_slice()]),
        }
    }

    /// The subject of a request, with the [constant](Self::constant) of these keys; `None` where one
    /// must have proved who one is, and has not.
    pub(super) fn subject(
        &self,
        head: &RequestHead<'_>,
        keys: &Keys,
        constant: Key,
    ) -> Option<Key> {
        Some(match self {
            Self::Identity => {
                let principal = head.identity()?.principal();
                identity(keys, principal.proof.name(), principal.issuer, principal.subject)
            }
            Self::Tenant => {
                let caller = head.identity()?;
                of_issuer(keys, "tenant", caller.issuer(), caller.tenant())
            }
            Self::Claim(name) => {
                let caller = head.identity()?;
                let value = caller.claim(name).and_then(|value| value.as_str());
                claim(keys, constant, caller.issuer(), value)
            }
            Self::Peer(peer) => match peer.of(head.extensions, head.headers) {
                Some(address) => keys.key([b"peer", &address[..]]),
                None => constant,
            },
            Self::Key(function) => function.key(head, keys).unwrap_or(constant),
            Self::Route => head.context.route().map_or(constant, |name| route(keys, name)),
            Self::Global => constant,
        })
    }
}

pub(super) fn own(keys: &Keys, bytes: &[u8]) -> Key {
    keys.key([b"key", bytes])
}

fn identity(keys: &Keys, proof: &str, issuer: &str, subject: &str) -> Key {
    keys.key([b"identity", proof.as_bytes(), issuer.as_bytes(), subject.as_bytes()])
}

/// Those of an issuer who have none share one.
fn of_issuer(keys: &Keys, kind: &str, issuer: &str, value: Option<&str>) -> Key {
    match value {
        Some(value) => keys.key([kind.as_bytes(), issuer.as_bytes(), value.as_bytes()]),
        None => keys.key([b"unknown", kind.as_bytes(), issuer.as_bytes()]),
    }
}

fn claim(keys: &Keys, name: Key, issuer: &str, value: Option<&str>) -> Key {
    of_issuer(keys, "claim", issuer, value).of_limit(name)
}

fn route(keys: &Keys, name: &str) -> Key {
    keys.key([b"route", name.as_bytes()])
}

fn unknown(keys: &Keys, kind: &str) -> Key {
    keys.key([b"unknown", kind.as_bytes()])
}
