//! Which fields of a request are not the upstream's to see, and which of its fields are not the
//! caller's. The lists of the module's documentation.

/// Whether a field of a request is withheld from the upstream. `authorization` is not among them:
/// it is overwritten.
pub(super) fn is_withheld(name: &str) -> bool {
    // CGI and WSGI servers read an underscore as a dash: `x_api_key` is `x-api-key` to them.
    if memchr::memchr(b'_', name.as_bytes()).is_some() {
        return true;
    }
    // By the two ends of a name, so that most names are compared with nothing at all: every field
    // of every request comes by here.
    let (names, starts): (&[&str], &[&str]) = match name.as_bytes() {
        [b'c', ..] => (&["cf-connecting-ip"], &["cf-access-", "client-cert"]),
        [b'e', ..] => (&["expect"], &[]),
        [b'f', ..] => (&["forwarded"], &[]),
        [b'o', ..] => (&["openai-organization", "openai-project"], &[]),
        [b'r', ..] => (&[], &["remote-"]),
        [b's', ..] => (&[], &["ssl-client-"]),
        [b't', ..] => (&["trailer", "true-client-ip"], &["tailscale-user-"]),
        [b'x', b'-', third, ..] => match third {
            b'a' => (
                &["x-arr-clientcert"],
                &["x-amz-", "x-amzn-mtls-", "x-amzn-oidc-", "x-auth-", "x-authent"],
            ),
            b'c' => (&["x-client-ip"], &["x-client-cert", "x-consumer-"]),
            b'f' => (&[], &["x-forwarded-"]),
            b'g' => (&[], &["x-goog-authenticated-user-", "x-goog-iap-"]),
            b'h' => (&["x-hf-bill-to", "x-host"], &[]),
            b'm' => (&[], &["x-ms-client-principal", "x-ms-token-"]),
            b'o' => (&[], &["x-original-"]),
            b'p' => (&[], &["x-pomerium-"]),
            b'r' => (&["x-real-ip", "x-rewrite-url"], &["x-remote-"]),
            b's' => (&[], &["x-ssl-client-"]),
            b'v' => (&[], &["x-vouch-"]),
            b'w' => (&[], &["x-webauth-"]),
            _ => (&[], &[]),
        },
        _ => (&[], &[]),
    };
    let ends: &[&str] = match name.as_bytes() {
        [.., b'd'] => &["password"],
        [.., b'e'] => &["cookie"],
        [.., b'l'] => &["credential"],
        [.., b'n'] if name == "authorization" => &[],
        [.., b'n'] => &["assertion", "authorization", "token"],
        [.., b's'] => &["credentials"],
        [.., b't'] => &["jwt", "secret"],
        [.., b'y'] => &["access-key", "api-key", "apikey", "subscription-key"],
        _ => &[],
    };
    names.contains(&name)
        || starts.iter().any(|start| name.starts_with(start))
        || ends.iter().any(|end| name.ends_with(end))
}

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
                assert!(is_withheld(name), "{name}");
            }
            assert!(is_withheld(&format!("x-any-{name}")), "{name}");
            count += 1;
        }
        for name in quoted(callers).filter(|name| !name.contains("HfTokenLayer")) {
            assert!(is_withheld(&name.replace('*', "any")), "{name}");
            count += 1;
        }
        assert_eq!(count, 47);
        for name in ["x-amz-date", "expect", "trailer", "x_api_key", "remote_user", "any_name"] {
            assert!(is_withheld(name), "{name}");
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
            assert!(!is_withheld(name), "{name}");
        }
    }
}
