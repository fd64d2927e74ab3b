//! Which fields of the upstream's are not the caller's: the last list of the module's documentation.
//! The others are those of [`withheld`](crate::withheld).

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
    use crate::withheld::is_withheld;

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
