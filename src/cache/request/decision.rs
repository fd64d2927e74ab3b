use http::{Method, Request};

use super::{
    engine::Engine,
    lookup::{Lookup, SharedCall},
};
use crate::{
    cache::{
        key::RequestHeaders,
        policy::{BypassReason, CacheControl},
        scope::Scope,
        settings::Unauthorized,
    },
    context::RequestContext,
    identity::Identity,
    payload::Payload,
};

/// The decision for a request.
#[derive(Debug)]
pub(super) enum Decision {
    Lookup(Lookup),
    Bypass(BypassReason),
    /// Rejects a `cache-control` of an unauthorized caller.
    Reject,
}

impl Engine {
    /// Decides what to do with a request.
    pub(super) fn decide(&self, request: &Request<Payload>, context: &RequestContext) -> Decision {
        let settings = self.settings();
        let headers = RequestHeaders::of(request.headers(), &settings.key.headers);
        if let Some(reason) = not_simple(request, &headers) {
            return Decision::Bypass(reason);
        }
        let share_all = settings.shared_calls.share_all;
        let excluded = settings.cacheable.excludes(request);
        if let Some(reason) = excluded
            && !share_all
        {
            return Decision::Bypass(reason);
        }
        let identity = context.identity();
        let identity = identity.as_deref();
        let scope = settings.scope.of(request, identity);
        let key = scope.as_ref().map(|scope| self.request_key(request, &headers, scope));
        let spelling = key.as_ref().filter(|_| excluded.is_none());
        let spelling = spelling.and_then(|key| key.spelling(&settings.spelling_secret));
        let known = spelling.and_then(|spelling| self.memory().key_of(spelling));
        // Only the spelling of a request without state has found an entry.
        let stateful =
            excluded.is_none() && known.is_none() && settings.cacheable.excludes_state_of(request);
        let excluded = excluded.or_else(|| stateful.then_some(BypassReason::Stateful));
        let ttl = settings.freshness.of_request(context).filter(|_| excluded.is_none());
        if ttl.is_none() && !share_all {
            return Decision::Bypass(excluded.unwrap_or(BypassReason::NoTimeToLive));
        }
        if let Some(reason) = self.unproved(&headers, identity) {
            return Decision::Bypass(reason);
        }
        let Some((control, warn)) = self.control(&headers, identity) else {
            return Decision::Reject;
        };
        if control.no_store {
            return Decision::Bypass(BypassReason::NoStore);
        }
        let Some(found) = known.or_else(|| key?.entry_key(&settings.key_secret)) else {
            return Decision::Bypass(self.without_key(&headers, identity));
        };
        Decision::Lookup(Lookup {
            key: found,
            spelling: spelling.filter(|_| known.is_none() && excluded.is_none()),
            chat: request.uri().path().ends_with("/chat/completions"),
            ttl,
            control,
            warn,
        })
    }

    /// Returns why the identity or the credentials of a request are not used.
    fn unproved(
        &self,
        headers: &RequestHeaders<'_>,
        identity: Option<&Identity>,
    ) -> Option<BypassReason> {
        let Some(identity) = identity else {
            // Unverified credentials may change the response (RFC 9111 section 3.5).
            let unverified =
                matches!(self.settings().scope, Scope::Shared) && headers.has_authorization;
            return unverified.then_some(BypassReason::UnverifiedCredentials);
        };
        // The identity may have expired since an outer layer verified it.
        let expired = identity
            .expires_at()
            .is_some_and(|expires_at| expires_at <= self.settings().clock.wall());
        expired.then_some(BypassReason::ExpiredIdentity)
    }

    /// Returns the request's `cache-control`, as far as the caller is authorized, and whether the caller
    /// is warned that it was ignored. Returns `None` if the request is rejected for it.
    fn control(
        &self,
        headers: &RequestHeaders<'_>,
        identity: Option<&Identity>,
    ) -> Option<(CacheControl, bool)> {
        let ignored = CacheControl::default();
        if !headers.has_cache_control {
            return Some((ignored, false));
        }
        let requested = CacheControl::of(headers.map());
        let Some(control) = &self.settings().client_control else { return Some((ignored, false)) };
        if requested == ignored || control.allows(identity) {
            return Some((requested, false));
        }
        match control.unauthorized {
            Unauthorized::Ignore => Some((ignored, false)),
            Unauthorized::Warn => Some((ignored, true)),
            Unauthorized::Reject => None,
        }
    }

    /// Returns why the scope does not know the caller.
    fn without_key(
        &self,
        headers: &RequestHeaders<'_>,
        identity: Option<&Identity>,
    ) -> BypassReason {
        match (&self.settings().scope, identity) {
            // The function of a scope may look for the caller too.
            (_, None) if headers.has_authorization => BypassReason::UnverifiedCredentials,
            (Scope::Identity | Scope::Tenant, None) => BypassReason::WithoutIdentity,
            (Scope::Tenant, Some(_)) => BypassReason::NoTenant,
            _ => BypassReason::NoScope,
        }
    }
}

/// Returns why a request cannot use the cache, whatever its settings.
fn not_simple(request: &Request<Payload>, headers: &RequestHeaders<'_>) -> Option<BypassReason> {
    if !matches!(*request.method(), Method::GET | Method::POST) {
        Some(BypassReason::Method)
    } else if headers.is_partial {
        Some(BypassReason::Partial)
    } else if request.body().is_streamed() {
        Some(BypassReason::StreamedBody)
    } else if request.extensions().get::<SharedCall>().is_some() {
        Some(BypassReason::Nested)
    } else {
        headers.is_grpc().then_some(BypassReason::Grpc)
    }
}
