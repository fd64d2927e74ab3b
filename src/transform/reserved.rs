//! Fields that no edit touches. The table of the module's documentation.

use crate::hop_by_hop::is_connection_field;

/// Whether a field belongs to the connection, the framing, the credentials or another layer.
pub(super) fn is_reserved(name: &str) -> bool {
    is_connection_field(name)
        || NAMES.contains(&name)
        || STARTS.iter().any(|start| name.starts_with(start))
        // CGI and WSGI servers read an underscore as a dash: `content_length` is a length to them.
        || name.contains('_')
}

const NAMES: &[&str] = &[
    "authorization",
    "content-digest",
    "content-encoding",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "digest",
    "expect",
    "forwarded",
    "host",
    "origin",
    "repr-digest",
    "set-cookie",
    "te",
    "trailer",
    "trailers",
    "traceparent",
    "tracestate",
    "via",
    "x-hf-bill-to",
    "x-real-ip",
    "x-request-id",
];

const STARTS: &[&str] =
    &["access-control-", "apigw-", "grpc-", "x-amz-", "x-amzn-", "x-forwarded-"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_is_what_is_reserved() {
        // What the module's documentation names between backquotes in its table; `*` stands for
        // anything.
        let docs = include_str!("mod.rs");
        let table = docs.split_once("//! # Reserved fields").unwrap().1;
        let table = table.split_once("\n//! # ").unwrap().0;
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("//! | `")).collect();
        let listed = rows.iter().flat_map(|row| {
            let names = row.split('|').nth(1).unwrap();
            names.split('`').skip(1).step_by(2)
        });
        let mut listed: Vec<&str> = listed.collect();
        for name in &listed {
            assert!(is_reserved(&name.replace('*', "x")), "{name}");
        }
        listed.sort_unstable();
        let connection =
            ["connection", "http2-settings", "keep-alive", "transfer-encoding", "upgrade"];
        let starts: Vec<String> = STARTS.iter().map(|start| format!("{start}*")).collect();
        let mut reserved: Vec<&str> = NAMES.iter().chain(&connection).copied().collect();
        reserved.extend(starts.iter().map(String::as_str));
        reserved.push("proxy-*");
        reserved.sort_unstable();
        assert_eq!(listed, reserved);
        assert!(is_reserved("x_team") && !is_reserved("x-team"));
    }
}
