//! Recognises hosts that are this machine.

use std::net::IpAddr;

use http::uri::Authority;

/// Returns whether the host of a URI is this machine.
///
/// Sources: RFC 1122 section 3.2.1.3; RFC 4291 section 2.5.3; RFC 6761 section 6.3.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Returns whether an authority is this machine.
pub(crate) fn is_loopback_authority(authority: &Authority) -> bool {
    // Each request without TLS may ask, so the usual spellings need no parser.
    let is_usual = ["127.0.0.1", "localhost"].iter().any(|host| {
        authority.as_str().strip_prefix(host).is_some_and(|rest| {
            let port = rest.strip_prefix(':');
            rest.is_empty()
                || port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
        })
    });
    is_usual || is_loopback(authority.host())
}

/// Returns the host and the port of an address without a scheme, if the host is this machine. Such an
/// address needs no TLS.
#[cfg(any(feature = "auth", feature = "hf"))]
pub(crate) fn without_scheme(address: &str) -> Option<&str> {
    // `http:/host` and `//host` are slips of the pen.
    let address = ["https:", "http:"]
        .iter()
        .find_map(|scheme| address.strip_prefix(scheme))
        .unwrap_or(address);
    let authority = address.trim_start_matches('/').split(['/', '?', '#']).next()?;
    let parsed: Authority = authority.parse().ok()?;
    (is_loopback(parsed.host()) && !authority.contains('@')).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_are_this_machine() {
        for host in ["localhost", "LocalHost", "127.0.0.1", "127.9.9.9", "[::1]", "::1"] {
            assert!(is_loopback(host), "{host}");
        }
        let others = ["localhost.evil.example", "127.0.0.1.nip.io", "0.0.0.0", "[::]", "10.0.0.1"];
        for host in others {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn authorities_of_this_machine_are_recognised_in_every_spelling() {
        let is_loopback = |text: &str| is_loopback_authority(&text.parse().unwrap());
        for text in [
            "localhost",
            "LocalHost:8000",
            "localhost:8000",
            "127.0.0.1",
            "127.0.0.1:8000",
            "127.9.9.9:1",
            "[::1]:8000",
            "u:p@localhost:1",
        ] {
            assert!(is_loopback(text), "{text}");
        }
        for text in [
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "127.0.0.12.evil.example:1",
            "localhost:8000@evil.example",
            "127.0.0.1:80@evil.example:80",
            "localhost@evil.example",
            "10.0.0.1:127",
        ] {
            assert!(!is_loopback(text), "{text}");
        }
    }

    #[cfg(any(feature = "auth", feature = "hf"))]
    #[test]
    fn this_machine_is_found_without_a_scheme() {
        for (address, authority) in [
            ("localhost:8000", "localhost:8000"),
            ("localhost", "localhost"),
            ("LOCALHOST:8000/v1?x", "LOCALHOST:8000"),
            ("127.0.0.1:8000/v1", "127.0.0.1:8000"),
            ("[::1]:8000", "[::1]:8000"),
            ("//localhost:8000", "localhost:8000"),
            ("http:/localhost:8000", "localhost:8000"),
            ("http:localhost:8000", "localhost:8000"),
        ] {
            assert_eq!(without_scheme(address), Some(authority), "{address}");
        }
        for address in
            ["", "/", "tgi:8000", "localhost.evil.example", "u:p@localhost", "localhost:x y"]
        {
            assert_eq!(without_scheme(address), None, "{address}");
        }
    }
}
