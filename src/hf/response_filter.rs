//! Removes response headers that must not pass. The docs of `hf` list them and a test compares the two.
//! The request headers are in [`stripped_headers`](crate::stripped_headers).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Body;

use super::{scrub::BodyScrub, settings::Settings};
use crate::{
    context::RequestContext, hop_by_hop::remove_headers, log_limit::warn_if_due,
    rejection::Rejection, secret::REDACTED, stages::Stage,
};

/// Removes the headers of a response that must not reach the client.
#[derive(Clone, Debug)]
pub(super) struct ResponseFilter {
    settings: Arc<Settings>,
    // Its scrubber follows the token's file and remembers the token that the request carried.
    stage: Stage,
}

impl ResponseFilter {
    pub(super) const fn new(settings: Arc<Settings>, stage: Stage) -> Self {
        Self { settings, stage }
    }

    /// Returns the search for the body, if the layer searches bodies.
    pub(super) fn body_scrub<R: Body>(
        &self,
        response: &mut Response<R>,
        context: &RequestContext,
    ) -> Result<Option<Box<BodyScrub>>, Rejection> {
        if !self.settings.scrub_bodies {
            return Ok(None);
        }
        BodyScrub::of(response, self.stage.scrubber(), &self.settings.log, context).map(Some)
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        let allowed = self.settings.allowed.as_deref().unwrap_or_default();
        remove_headers(headers, |name| is_foreign(name.as_str()) && !allowed.contains(name));

        let has_token = |text: &[u8]| self.stage.scrubber().is_in(text);
        let leak = |(name, value): (&HeaderName, &HeaderValue)| {
            (has_token(value.as_bytes()) || has_token(name.as_str().as_bytes()))
                .then(|| name.clone())
        };
        let stage = self.stage.name();
        let mut is_due = None;
        while let Some(name) = headers.iter().find_map(leak) {
            let shown = if has_token(name.as_str().as_bytes()) { REDACTED } else { name.as_str() };
            // For all headers of a response, so that the log has each of them.
            warn_if_due!(
                *is_due.get_or_insert_with(|| self.settings.log.is_due("header", stage)),
                stage,
                field = shown,
                "removed a response header that repeats the token"
            );
            headers.remove(name);
        }
    }
}

/// Returns whether a response header speaks for the upstream's own origin, about the gateway's
/// credentials or to a proxy in front of the gateway.
#[inline]
pub(super) fn is_foreign(name: &str) -> bool {
    !is_usual(name) && is_listed(name)
}

/// Returns whether many responses have this header, which stays.
#[inline]
fn is_usual(name: &str) -> bool {
    matches!(
        name,
        "cache-control"
            | "content-encoding"
            | "content-length"
            | "content-type"
            | "date"
            | "server"
            | "transfer-encoding"
            | "vary"
    )
}

#[inline(never)]
fn is_listed(name: &str) -> bool {
    // Selects the prefixes by the first bytes, so that most names need no comparison. This runs for
    // every header of every response.
    let starts: &[&str] = match name.as_bytes() {
        [b'a', b'c' | b't', ..] => &["access-control-", "attribution-reporting-"],
        [b'c', b'r', ..] => &["cross-origin-"],
        [b'p', b'r', ..] => &["private-network-access-"],
        [b's', b'e' | b'u', ..] => &["sec-", "secure-session-", "surrogate-"],
        [b'x', b'-', b'a', ..] => &["x-accel-", "x-appengine-"],
        [b'x', b'-', b'e', ..] => &["x-envoy-"],
        [b'x', b'-', b'l', ..] => &["x-lighttpd-", "x-litespeed-", "x-lsadc-"],
        [b'x', b'-', b'r', b'e', ..] => &["x-reproxy-"],
        [b'x', b'-', b's', ..] => &["x-sendfile"],
        _ => &[],
    };
    // The compiler compares a name only with names of the same length.
    matches!(
        name,
        "accept-ch"
            | "accept-ch-lifetime"
            | "activate-storage-access"
            | "alt-svc"
            | "authentication-info"
            | "clear-site-data"
            | "content-security-policy"
            | "content-security-policy-report-only"
            | "critical-ch"
            | "document-isolation-policy"
            | "document-policy"
            | "document-policy-report-only"
            | "edge-control"
            | "expect-ct"
            | "feature-policy"
            | "integrity-policy"
            | "integrity-policy-report-only"
            | "link"
            | "nel"
            | "no-vary-search"
            | "observe-browsing-topics"
            | "optional-www-authenticate"
            | "origin-agent-cluster"
            | "origin-trial"
            | "permissions-policy"
            | "permissions-policy-report-only"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "public-key-pins"
            | "public-key-pins-report-only"
            | "referrer-policy"
            | "refresh"
            | "report-to"
            | "reporting-endpoints"
            | "require-document-policy"
            | "service-worker-allowed"
            | "set-cookie"
            | "set-cookie2"
            | "set-login"
            | "sourcemap"
            | "speculation-rules"
            | "strict-transport-security"
            | "supports-loading-mode"
            | "timing-allow-origin"
            | "use-as-dictionary"
            | "www-authenticate"
            | "x-cascade"
            | "x-content-security-policy"
            | "x-dns-prefetch-control"
            | "x-esi"
            | "x-permitted-cross-domain-policies"
            | "x-sourcemap"
            | "x-webkit-csp"
            | "x-xss-protection"
    ) || starts.iter().any(|start| name.starts_with(start))
        || name.ends_with("-cache-control")
}
