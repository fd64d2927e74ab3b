use http::{
    HeaderName, Method, Request,
    header::{
        AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
        IF_UNMODIFIED_SINCE, RANGE, UPGRADE,
    },
};

use super::{
    engine::Engine,
    lookup::{Lookup, SharedCall},
};
use crate::{
    cache::{
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
        if let Some(reason) = not_simple(request) {
            return Decision::Bypass(reason);
        }
        let excluded = settings.cacheable.excludes(request);
        let ttl = settings.freshness.of_request(context).filter(|_| excluded.is_none());
        if ttl.is_none() && !settings.shared_calls.share_all {
            return Decision::Bypass(excluded.unwrap_or(BypassReason::NoTimeToLive));
        }
        let identity = context.identity();
        let identity = identity.as_deref();
        // The identity may have expired since an outer layer verified it.
        let expired = identity
            .and_then(Identity::expires_at)
            .is_some_and(|expires_at| expires_at <= settings.clock.wall());
        // Unverified credentials may change the response (RFC 9111 section 3.5).
        let unverified = identity.is_none()
            && matches!(settings.scope, Scope::Shared)
            && request.headers().contains_key(AUTHORIZATION);
        if unverified {
            return Decision::Bypass(BypassReason::UnverifiedCredentials);
        }
        if expired {
            return Decision::Bypass(BypassReason::ExpiredIdentity);
        }

        let requested = CacheControl::of(request.headers());
        let control = settings.client_control.as_ref();
        let allowed = control.is_some_and(|control| control.allows(identity));
        let unauthorized = if requested == CacheControl::default() || allowed {
            Unauthorized::Ignore
        } else {
            control.map_or(Unauthorized::Ignore, |control| control.unauthorized)
        };
        if unauthorized == Unauthorized::Reject {
            return Decision::Reject;
        }
        let control = if allowed { requested } else { CacheControl::default() };
        if control.no_store {
            return Decision::Bypass(BypassReason::NoStore);
        }
        let Some(key) = self.key(request, identity) else {
            let credentials = request.headers().contains_key(AUTHORIZATION);
            return Decision::Bypass(match (&settings.scope, identity) {
                // The function of a scope may look for the caller too.
                (_, None) if credentials => BypassReason::UnverifiedCredentials,
                (Scope::Identity | Scope::Tenant, None) => BypassReason::WithoutIdentity,
                (Scope::Tenant, Some(_)) => BypassReason::NoTenant,
                _ => BypassReason::NoScope,
            });
        };
        Decision::Lookup(Lookup {
            key,
            chat: request.uri().path().ends_with("/chat/completions"),
            ttl,
            control,
            warn: unauthorized == Unauthorized::Warn,
        })
    }
}

/// Returns why a request cannot use the cache, whatever its settings.
fn not_simple(request: &Request<Payload>) -> Option<BypassReason> {
    if !matches!(*request.method(), Method::GET | Method::POST) {
        Some(BypassReason::Method)
    } else if PARTIAL.iter().any(|name| request.headers().contains_key(name)) {
        Some(BypassReason::Partial)
    } else if request.body().is_streamed() {
        Some(BypassReason::StreamedBody)
    } else if request.extensions().get::<SharedCall>().is_some() {
        Some(BypassReason::Nested)
    } else {
        is_grpc(request).then_some(BypassReason::Grpc)
    }
}

/// Headers that request a part of a response, or another protocol.
const PARTIAL: [HeaderName; 7] =
    [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, UPGRADE];

fn is_grpc(request: &Request<Payload>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
    let start = content_type.and_then(|value| value.get(..b"application/grpc".len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
}
