//! Which fields of a request are not the upstream's to see, and which of its fields are not the
//! caller's. The lists of the module's documentation.

/// Whether a field of a request is withheld from the upstream. `authorization` is not among them:
/// it is overwritten.
pub(super) fn is_withheld(name: &str) -> bool {
    let (Some(first), Some(last)) = (name.bytes().next(), name.bytes().last()) else {
        return false;
    };
    // A look at the two ends spares most names the lists.
    let named = || WITHHELD.contains(&name);
    let starts = || WITHHELD_STARTS.iter().any(|start| name.starts_with(start));
    let ends = || WITHHELD_ENDS.iter().any(|end| name.ends_with(end)) && name != "authorization";
    (matches!(first, b'c' | b'e' | b'f' | b'r' | b's' | b't' | b'x') && (named() || starts()))
        || (matches!(last, b'd' | b'e' | b'l' | b'n' | b's' | b't' | b'y') && ends())
}

const WITHHELD: &[&str] = &[
    "cf-connecting-ip",
    "cookie2",
    "expect",
    "forwarded",
    "trailer",
    "true-client-ip",
    "x-client-ip",
    "x-hf-bill-to",
    "x-host",
    "x-real-ip",
    "x-rewrite-url",
];

const WITHHELD_STARTS: &[&str] = &[
    "cf-access-",
    "client-cert",
    "remote-",
    "ssl-client-",
    "tailscale-user-",
    "x-amz-",
    "x-amzn-mtls-",
    "x-amzn-oidc-",
    "x-auth-",
    "x-authenticated-",
    "x-authentik-",
    "x-client-cert",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-ms-client-principal",
    "x-ms-token-",
    "x-original-",
    "x-pomerium-",
    "x-remote-",
    "x-ssl-client-",
    "x-vouch-",
    "x-webauth-",
];

const WITHHELD_ENDS: &[&str] = &[
    "access-key",
    "api-key",
    "apikey",
    "assertion",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "password",
    "secret",
    "subscription-key",
    "token",
];

/// Whether a field of an answer speaks for the upstream's own origin, or about the gateway's
/// credentials, and so must not pass for ours.
pub(super) fn is_foreign(name: &str) -> bool {
    name.starts_with("access-control-") || FOREIGN.contains(&name)
}

const FOREIGN: &[&str] = &[
    "alt-svc",
    "authentication-info",
    "clear-site-data",
    "expect-ct",
    "nel",
    "public-key-pins",
    "public-key-pins-report-only",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "timing-allow-origin",
    "www-authenticate",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_field_is_withheld() {
        for name in WITHHELD.iter().chain(WITHHELD_ENDS).filter(|name| **name != "authorization") {
            assert!(is_withheld(name), "{name}");
        }
        for start in WITHHELD_STARTS {
            assert!(is_withheld(&format!("{start}any")), "{start}");
        }
        for end in WITHHELD_ENDS {
            assert!(is_withheld(&format!("any-{end}")), "{end}");
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
            "openai-organization",
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
            assert!(!is_withheld(name), "{name}");
        }
    }
}
