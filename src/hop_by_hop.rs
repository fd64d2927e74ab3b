//! Removes hop-by-hop headers.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING},
};

/// Removes the headers of one connection (RFC 9110 sections 7.6.1 and 11.7): `connection` and the
/// headers that it names or that are known.
///
/// `te: trailers` stays when it is alone, because gRPC needs it end to end. Headers that describe
/// the body (`content-*`) stay even when `connection` names them. Layers have read the body by
/// these headers, and the next hop must not read another one.
#[cfg(any(feature = "cache", feature = "transform", feature = "upstream"))]
pub(crate) fn strip_connection_headers(headers: &mut HeaderMap) {
    strip_headers(headers, |_| false);
}

/// Removes the headers of one connection and those that `also` returns `true` for.
pub(crate) fn strip_headers(headers: &mut HeaderMap, also: impl Fn(&HeaderName) -> bool) {
    let is_stripped = |name: &HeaderName| is_connection_header(name.as_str()) || also(name);
    // Most messages have none of them, which one pass over the names shows.
    if headers.keys().any(|name| is_stripped(name) || *name == TE) {
        strip_named_headers(headers);
        remove_headers(headers, is_stripped);
    }
}

/// The part of [`strip_connection_headers`] that depends on values. A caller that walks all names
/// itself uses it with [`is_connection_header`].
pub(crate) fn strip_named_headers(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers.get_all(CONNECTION).iter().flat_map(options).collect();
        for name in named {
            headers.remove(name);
        }
    }
    if headers.contains_key(TE) && !asks_for_trailers(headers) {
        headers.remove(TE);
    }
    // `transfer-encoding` overrides `content-length` (RFC 9112 section 6.3) and is removed. The
    // length that it overrode must not describe the body for the next hop.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
}

/// Removes the headers that `selects` returns `true` for. Allocates only when it removes some.
pub(crate) fn remove_headers(headers: &mut HeaderMap, selects: impl Fn(&HeaderName) -> bool) {
    let mut kept = 0;
    loop {
        let mut names = headers.keys().enumerate().skip(kept);
        let Some((index, name)) = names.find(|(_, name)| selects(name)) else { return };
        let name = name.clone();
        headers.remove(name);
        // The map fills the gap with its last entry, so every entry before the gap was checked.
        kept = index;
    }
}

/// Returns the names in one `connection` header, without those that are removed anyway.
fn options(value: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let options = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    options
        .filter(|option| !is_handled(option))
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .filter(|name| !name.as_str().starts_with("content-"))
}

// Clients name these in nearly every request, so they must not cost an allocation.
fn is_handled(option: &[u8]) -> bool {
    [b"keep-alive".as_slice(), b"close", b"te"].iter().any(|name| option.eq_ignore_ascii_case(name))
}

/// Returns whether a header is hop-by-hop by its name alone.
pub(crate) fn is_connection_header(name: &str) -> bool {
    match name.as_bytes() {
        [b'c', ..] => name == "connection",
        [b'h', ..] => name == "http2-settings",
        [b'k', ..] => name == "keep-alive",
        [b'p', ..] => name.starts_with("proxy-"),
        [b't', ..] => name == "transfer-encoding",
        [b'u', ..] => name == "upgrade",
        _ => false,
    }
}

fn asks_for_trailers(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TE).iter();
    let first = values.next().map(HeaderValue::as_bytes);
    first.is_some_and(|te| te.eq_ignore_ascii_case(b"trailers")) && values.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        strip_connection_headers(&mut headers);
        headers
    }

    #[test]
    fn headers_named_in_connection_are_removed() {
        let headers = stripped(&[
            ("connection", "close, X-One"),
            ("connection", " x-two ,, \"nonsense\",x-three"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("x-four", "4"),
        ]);
        assert_eq!(headers.len(), 1, "{headers:?}");
        assert!(headers.contains_key("x-four"));
    }

    #[test]
    fn headers_that_describe_the_body_stay() {
        let headers = stripped(&[
            ("connection", "content-encoding, content-type, content-length"),
            ("content-encoding", "gzip"),
            ("content-type", "application/json"),
            ("content-length", "2"),
        ]);
        assert_eq!(headers.len(), 3, "{headers:?}");
    }

    #[test]
    fn transfer_encoding_is_removed_with_the_length_it_overrides() {
        assert!(stripped(&[("transfer-encoding", "chunked"), ("content-length", "3")]).is_empty());
    }

    #[test]
    fn known_hop_by_hop_headers_are_removed() {
        let names = [
            "keep-alive",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
            "proxy-connection",
            "proxy-authorization",
            "proxy-authenticate",
            "proxy-authentication-info",
        ];
        for name in names {
            assert!(stripped(&[(name, "x"), (name, "y")]).is_empty(), "{name}");
        }
    }

    #[test]
    fn te_stays_only_as_trailers_alone() {
        assert_eq!(stripped(&[("te", "trailers"), ("connection", "te")])["te"], "trailers");
        assert!(stripped(&[("te", "trailers, deflate;q=0.5")]).is_empty());
        assert!(stripped(&[("te", "trailers"), ("te", "gzip")]).is_empty());
    }

    #[test]
    fn only_selected_headers_are_removed() {
        let mut headers = HeaderMap::new();
        for index in 0..200_usize {
            let name = format!("{}-{index}", if index % 3 == 0 { "keep" } else { "drop" });
            headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_static("v"));
        }
        remove_headers(&mut headers, |name| name.as_str().starts_with("drop"));
        assert_eq!(headers.len(), 67);
        assert!(headers.keys().all(|name| name.as_str().starts_with("keep")));
    }
}
