//! The documented headers are those that the layer removes.

use super::response_filter::is_foreign;
use crate::stripped_headers::is_stripped;

/// Returns the names in the row of the module docs with this reason.
fn documented(reason: &str) -> Vec<&'static str> {
    let docs = include_str!("mod.rs");
    let row = docs.lines().find(|line| line.starts_with("//! | `") && line.contains(reason));
    row.unwrap().split('|').nth(1).unwrap().split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_documented_response_header_is_removed() {
    let mut count = 0;
    for reason in ["browsers apply", "gateway's credentials", "command a proxy"] {
        for name in documented(reason) {
            assert!(is_foreign(&name.replace('*', "any")), "{name}");
            count += 1;
        }
    }
    assert_eq!(count, 70);
}

#[test]
fn every_documented_request_header_is_removed() {
    let mut count = 0;
    for name in
        documented("credentials of the caller").into_iter().filter(|name| !name.contains('*'))
    {
        if name != "authorization" {
            assert!(is_stripped(name), "{name}");
        }
        assert!(is_stripped(&format!("x-any-{name}")), "{name}");
        count += 1;
    }
    for reason in ["identity and address", "route by them", "choose a model", "choose who pays"] {
        for name in documented(reason) {
            assert!(is_stripped(&name.replace('*', "any")), "{name}");
            count += 1;
        }
    }
    assert_eq!(count, 61);
    for name in ["x-amz-date", "expect", "trailer", "x_api_key", "remote_user", "any_name"] {
        assert!(is_stripped(name), "{name}");
    }
}

#[test]
fn headers_that_inference_needs_pass() {
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
