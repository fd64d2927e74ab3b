//! The reserved headers. The docs of `transform` list them and a test compares the two.

use crate::{hop_by_hop::is_connection_header, stripped_headers::is_stripped};

/// Returns why a header is reserved. `None` for a header that edits may change.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    let starts = |start: &str| name.starts_with(start);
    Some(if name.contains('_') {
        "the underscore: CGI and WSGI servers read it as a dash, so no header with one goes upstream"
    } else if is_connection_header(name) || matches!(name, "te" | "trailers" | "via") {
        "it belongs to one connection and is not forwarded"
    } else if name == "authorization" {
        "it holds credentials, and HfTokenLayer sets the one of the upstream"
    } else if name == "host" {
        "HfTokenLayer sets it to the host of the upstream"
    } else if matches!(name, "traceparent" | "tracestate" | "x-request-id") {
        "RequestIdLayer sets it"
    } else if matches!(name, "digest" | "repr-digest") || starts("content-") {
        "it describes the body, which other layers read and edit"
    } else if name == "date" {
        "the HTTP client or server sets it"
    } else if name == "origin" || starts("access-control-") {
        "it belongs to CORS, which an outer layer decides"
    } else if starts("grpc-") {
        "it belongs to gRPC"
    } else if starts("apigw-") || starts("x-amzn-") {
        "it belongs to API Gateway"
    } else if is_stripped(name) {
        "it can hold a caller's credentials, identity or address, so HfTokenLayer removes it"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The headers that `reason` names itself.
    const NAMES: &[&str] = &[
        "authorization",
        "date",
        "digest",
        "host",
        "origin",
        "repr-digest",
        "te",
        "traceparent",
        "tracestate",
        "trailers",
        "via",
        "x-request-id",
    ];
    const STARTS: &[&str] = &["access-control-", "apigw-", "content-", "grpc-", "x-amzn-"];

    fn is_reserved(name: &str) -> bool {
        reason(name).is_some()
    }

    /// Returns the texts between backquotes.
    fn quoted(text: &str) -> Vec<&str> {
        text.split('`').skip(1).step_by(2).collect()
    }

    /// Returns the documented names. `*` matches any text.
    fn listed() -> Vec<&'static str> {
        let docs = include_str!("../mod.rs");
        let table = docs.split_once("//! # Reserved headers").unwrap().1;
        let table = table.split_once("\n//! # ").unwrap().0;
        let rows = table.lines().filter(|line| line.starts_with("//! | `"));
        rows.flat_map(|row| quoted(row.split('|').nth(1).unwrap())).collect()
    }

    #[test]
    fn every_documented_header_is_reserved() {
        let docs = include_str!("../mod.rs");
        let ends =
            docs.split_once("every name that ends in ").unwrap().1.split_once(" |").unwrap().0;
        let ends = quoted(ends);
        assert_eq!((listed().len(), ends.len()), (83, 13));
        for name in listed() {
            assert!(is_reserved(&name.replace('*', "x")), "{name}");
        }
        for end in ends {
            assert!(is_reserved(&format!("x-any-{end}")), "{end}");
        }
        assert!(is_reserved("content_length"));
    }

    #[test]
    fn every_reserved_header_is_documented() {
        let listed = listed();
        for name in NAMES {
            assert!(is_reserved(name) && listed.contains(name), "{name}");
        }
        for start in STARTS {
            assert!(is_reserved(start) && listed.contains(&&*format!("{start}*")), "{start}");
        }
        for name in ["connection", "http2-settings", "keep-alive", "transfer-encoding", "upgrade"] {
            assert!(is_connection_header(name) && listed.contains(&name), "{name}");
        }
        // The request headers that `hf` documents as removed.
        let docs = include_str!("../../hf/mod.rs");
        for reason in [
            "credentials of",
            "identity and address",
            "route by them",
            "choose a model",
            "choose who pays",
        ] {
            let row =
                docs.lines().find(|line| line.starts_with("//! | `") && line.contains(reason));
            for name in quoted(row.unwrap().split('|').nth(1).unwrap()) {
                let wider = name.starts_with("x-amzn-") && listed.contains(&"x-amzn-*");
                assert!(wider || listed.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn headers_that_upstreams_read_are_not_reserved() {
        for name in [
            "accept",
            "accept-encoding",
            "accept-language",
            "cache-control",
            "idempotency-key",
            "inference-id",
            "prefer",
            "priority",
            "user-agent",
            "x-compute-type",
            "x-scale-up-timeout",
            "x-team",
            "x-tenant",
            "x-use-cache",
            "x-user-id",
            "x-wait-for-model",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
