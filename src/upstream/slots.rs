//! The slots of requests in flight and the caller that a slot counts for.

use http::Request;

use crate::{
    context::RequestContext,
    load_limit::{Caller, LoadLimit},
    peer::PeerAddress,
};

/// The bounds on requests in flight and in the queue.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    pub(super) limit: LoadLimit,
    /// Finds the caller of a request without an identity.
    address: PeerAddress,
}

impl Slots {
    /// Changes the bounds. The result has slots of its own.
    pub(super) fn bounds(self, change: impl FnOnce(LoadLimit) -> LoadLimit) -> Self {
        Self { limit: change(self.limit), address: self.address }
    }

    /// Changes how addresses are found. The result has slots of its own.
    pub(super) fn address(self, address: PeerAddress) -> Self {
        Self { limit: self.limit.free(), address }
    }

    /// Returns the caller of a request by its principal or else by its address.
    ///
    /// `None` when neither is known or when callers have no share.
    pub(super) fn caller<B>(
        &self,
        request: &Request<B>,
        context: &RequestContext,
    ) -> Option<Caller> {
        if !self.limit.has_shares() {
            return None;
        }
        if let Some(identity) = context.identity() {
            return Some(self.limit.caller(identity.principal()));
        }
        let of = || self.address.of(request.extensions(), request.headers());
        let address = context.peer(of)?;
        // The first element separates addresses from principals, which begin with a small number.
        Some(self.limit.caller((u8::MAX, address)))
    }
}

impl Default for Slots {
    fn default() -> Self {
        let limit = LoadLimit::new(1_024).caller_share(25);
        Self { limit, address: PeerAddress::connection() }
    }
}
