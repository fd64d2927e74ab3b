//! Which headers of the upstream's responses do not pass: the last lists of the module's documentation.
//! The request headers are in [`stripped_headers`](crate::stripped_headers).

/// Whether a header of a response speaks for the upstream's own origin, about the gateway's
/// credentials, or to a proxy in front of the gateway, and so must not pass.
pub(super) fn is_foreign(name: &str) -> bool {
    // By the start of a name, so that most names are compared with no prefix: every header of every
    // response is looked up here.
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
    // The compiler compares a name with those of its own length.
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

#[cfg(test)]
mod tests {
    use super::is_foreign;
    use crate::stripped_headers::is_stripped;

    #[test]
    fn every_header_of_the_documented_response_lists_is_foreign() {
        let docs = include_str!("mod.rs");
        let lists = docs.split_once("//! - to browsers").unwrap().1;
        let lists = lists.split_once("//! `x-accel-buffering` is among them").unwrap().0;
        let lists = lists.replace("of `cache-control`", "");
        let mut count = 0;
        for name in lists.split('`').skip(1).step_by(2) {
            assert!(is_foreign(&name.replace('*', "any")), "{name}");
            count += 1;
        }
        assert_eq!(count, 70);
    }

    #[test]
    fn every_field_of_the_documented_lists_is_withheld() {
        // What the module's documentation names between backquotes, from the first list to the
        // second heading; `*` stands for anything.
        let docs = include_str!("mod.rs");
        let lists = docs.split_once("//! - the caller's credentials").unwrap().1;
        let lists = lists.split_once("in the query").unwrap();
        let (credentials, rest) =
            (lists.0, lists.1.split_once("//! - who the caller is").unwrap().1);
        let callers = rest.split_once("//! CONNECT").unwrap().0;

        let quoted = |text: &'static str| text.split('`').skip(1).step_by(2);
        let mut count = 0;
        for name in quoted(credentials).filter(|name| !name.contains('*')) {
            if name != "authorization" {
                assert!(is_stripped(name), "{name}");
            }
            assert!(is_stripped(&format!("x-any-{name}")), "{name}");
            count += 1;
        }
        for name in quoted(callers).filter(|name| !name.contains("HfTokenLayer")) {
            assert!(is_stripped(&name.replace('*', "any")), "{name}");
            count += 1;
        }
        assert_eq!(count, 47);
        for name in ["x-amz-date", "expect", "trailer", "x_api_key", "remote_user", "any_name"] {
            assert!(is_stripped(name), "{name}");
        }
    }

    #[test]
    fn what_inference_needs_passes() {
        for name in [
            "accept",
            "accept-encoding",
            "authorization",
            "content-encoding",
            "content-length",
            "content-type",
            "grpc-timeout",
            "idempotency-key",
            "if-none-match",
            "range",
            "te",
            "traceparent",
            "tracestate",
            "user-agent",
            "x-amzn-trace-id",
            "x-request-id",
            "x-scale-up-timeout",
            "x-stainless-retry-count",
            "x-use-cache",
        ] {
            assert!(!is_stripped(name), "{name}");
        }
    }
}
