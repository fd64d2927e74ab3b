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
    cache::{policy::CacheControl, scope::Scope, settings::Unauthorized},
    context::RequestContext,
    identity::Identity,
    payload::Payload,
};

/// The decision for a request.
#[derive(Debug)]
pub(super) enum Decision {
    Lookup(Lookup),
    Bypass,
    /// Bypasses the cache for a request whose credentials no layer has verified.
    WithoutIdentity,
    /// Bypasses the cache for a caller without the tenant that the scope needs.
    WithoutTenant,
    /// Rejects a `cache-control` of an unauthorized caller.
    Reject,
}

impl Engine {
    /// Decides what to do with a request.
    pub(super) fn decide(&self, request: &Request<Payload>, context: &RequestContext) -> Decision {
        let settings = self.settings();
        let simple = matches!(*request.method(), Method::GET | Method::POST)
            && !PARTIAL.iter().any(|name| request.headers().contains_key(name))
            && !request.body().is_streamed()
            && request.extensions().get::<SharedCall>().is_none()
            && !is_grpc(request);
        let cacheable = simple && settings.cacheable.is(request);
        let ttl = settings.freshness.of_request(context).filter(|_| cacheable);
        if !simple || ttl.is_none() && !settings.shared_calls.share_all {
            return Decision::Bypass;
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
            return Decision::WithoutIdentity;
        }
        if expired {
            return Decision::Bypass;
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
            return Decision::Bypass;
        }
        let Some(key) = self.key(request, identity) else {
            let credentials = request.headers().contains_key(AUTHORIZATION);
            return match (&settings.scope, identity) {
                // The function of a scope may look for the caller too.
                (Scope::Identity | Scope::Tenant | Scope::By(_), None) if credentials => {
                    Decision::WithoutIdentity
                }
                (Scope::Tenant, Some(caller)) if caller.tenant().is_none() => {
                    Decision::WithoutTenant
                }
                _ => Decision::Bypass,
            };
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

/// Headers that request a part of a response, or another protocol.
const PARTIAL: [HeaderName; 7] =
    [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, UPGRADE];

fn is_grpc(request: &Request<Payload>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map(|value| value.as_bytes());
    let start = content_type.and_then(|value| value.get(..b"application/grpc".len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
}
