use std::{fmt, sync::Arc};

use super::{
    hash,
    key::{CounterHasher, CounterKey},
};
use crate::{context::RequestHead, peer::PeerAddress};

/// The property of a request that selects its counter.
#[derive(Clone, Debug)]
pub(crate) enum CountBy {
    Identity,
    Claim(Arc<str>),
    Tenant,
    Peer(PeerAddress),
    Key(KeyFunction),
    Route,
    Global,
}

/// The hashed subject of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashedSubject {
    pub(crate) key: CounterKey,
    /// Whether the caller lacks the tenant or the claim, or the request its route. The key is then
    /// that of all such callers of the issuer, or of all such requests.
    pub(crate) lacks_value: bool,
}

/// A user's function that finds a key in a request.
#[derive(Clone)]
pub(crate) struct KeyFunction(Arc<HashedKey>);

type HashedKey = dyn Fn(&RequestHead<'_>, &CounterHasher) -> Option<CounterKey> + Send + Sync;

impl CountBy {
    /// Returns the place in the order of limits. The order is that of API Gateway: the narrowest
    /// limit comes first.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Identity => 0,
            Self::Claim(_) => 1,
            Self::Tenant => 2,
            Self::Peer(_) => 3,
            Self::Key(_) => 4,
            Self::Route => 5,
            Self::Global => 6,
        }
    }

    /// Returns the function of `Subject` that names the subjects of this limit.
    pub(crate) const fn subject_name(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Claim(_) => "claim",
            Self::Tenant => "tenant",
            Self::Peer(_) => "address",
            Self::Key(_) => "key",
            Self::Route => "route",
            Self::Global => "global",
        }
    }

    /// Returns whether both count by the same property, so that one hash serves both.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Claim(one), Self::Claim(other)) => one == other,
            (Self::Key(one), Self::Key(other)) => Arc::ptr_eq(&one.0, &other.0),
            // Two address sources may differ, and they cannot be compared.
            (Self::Peer(_), Self::Peer(_)) => false,
            _ => self.rank() == other.rank(),
        }
    }

    /// Returns the hash that is the same for every request. It is the whole subject, a part of the
    /// subject or the subject of unknown requests.
    pub(crate) fn constant(&self, hasher: &CounterHasher) -> CounterKey {
        match self {
            Self::Identity => hash::unknown(hasher, "identity"),
            Self::Tenant => hash::unknown(hasher, "tenant"),
            Self::Claim(name) => hash::claim_name(hasher, name),
            Self::Peer(_) => hash::unknown(hasher, "peer"),
            Self::Key(_) => hash::unknown(hasher, "key"),
            Self::Route => hash::unknown(hasher, "route"),
            Self::Global => hash::global(hasher),
        }
    }

    /// Returns the hashed subject of a request. `constant` is this hasher's
    /// [`constant`](Self::constant). Returns `None` where the limit needs a verified caller and the
    /// request has none.
    pub(crate) fn subject(
        &self,
        head: &RequestHead<'_>,
        hasher: &CounterHasher,
        constant: CounterKey,
    ) -> Option<HashedSubject> {
        let mut lacks_value = false;
        let key = match self {
            Self::Identity => {
                let principal = head.identity()?.principal();
                hash::identity(
                    hasher,
                    principal.proof.as_str(),
                    principal.issuer,
                    principal.subject,
                )
            }
            Self::Tenant => {
                let caller = head.identity()?;
                let tenant = caller.tenant();
                lacks_value = tenant.is_none();
                hash::tenant(hasher, caller.issuer(), tenant)
            }
            Self::Claim(name) => {
                let caller = head.identity()?;
                let value = caller.claim(name).and_then(|value| value.as_str());
                lacks_value = value.is_none();
                hash::claim(hasher, constant, caller.issuer(), value)
            }
            Self::Peer(peer) => match peer.of(head.extensions(), head.headers()) {
                Some(address) => hash::address(hasher, &address),
                None => constant,
            },
            Self::Key(function) => (function.0)(head, hasher).unwrap_or(constant),
            Self::Route => {
                lacks_value = head.context().route().is_none();
                head.context().route().map_or(constant, |name| hash::route(hasher, name))
            }
            Self::Global => constant,
        };
        Some(HashedSubject { key, lacks_value })
    }
}

impl KeyFunction {
    pub(crate) fn new<T: AsRef<[u8]>>(
        key: impl Fn(&RequestHead<'_>) -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |head: &RequestHead<'_>, hasher: &CounterHasher| {
            key(head).map(|bytes| hash::custom(hasher, bytes.as_ref()))
        }))
    }
}

impl fmt::Debug for KeyFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFunction").finish_non_exhaustive()
    }
}
