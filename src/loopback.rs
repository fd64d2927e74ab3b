//! Recognises hosts that are this machine.

use std::net::IpAddr;

/// Returns whether the host of a URI is this machine.
///
/// Sources: RFC 1122 section 3.2.1.3; RFC 4291 section 2.5.3; RFC 6761 section 6.3.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
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
}
