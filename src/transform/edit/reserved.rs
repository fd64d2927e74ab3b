//! The reserved headers. The docs of `transform` list them and a test compares the two.

use crate::{hop_by_hop::is_connection_header, stripped_headers::is_stripped};

/// Returns whether a header belongs to the connection, the framing, the credentials or another layer.
pub(super) fn is_reserved(name: &str) -> bool {
    is_connection_header(name)
        // `HfTokenLayer` would remove it again.
        || is_stripped(name)
        || NAMES.contains(&name)
        || STARTS.iter().any(|start| name.starts_with(start))
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(listed.contains(name), "{name}");
        }
        for start in STARTS {
            assert!(listed.contains(&&*format!("{start}*")), "{start}");
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
