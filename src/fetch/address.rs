//! Addresses at an identity provider.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{Uri, uri::Scheme};

use super::fault::{FetchFault, short};
use crate::{
    address_reach::Reach,
    loopback::{is_loopback, without_scheme},
};

/// Parses an absolute address. It rejects user information, because a password must not reach a
/// log. It rejects link-local addresses whatever the HTTP client is.
pub(crate) fn absolute(address: &str) -> Result<Uri, FetchFault> {
    let invalid = |reason| Err(FetchFault::InvalidUrl(reason));
    if !address.contains("://") {
        return invalid(match without_scheme(address) {
            Some(_this_machine) => "it has no scheme; write http:// in front of the host",
            None => "it has no scheme; write https:// in front of the host",
        });
    }
    let Ok(uri) = address.parse::<Uri>() else { return invalid("it cannot be parsed") };
    let Some(authority) = uri.authority() else { return invalid("it has no host") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return invalid("its scheme is another one");
    }
    if authority.as_str().contains('@') {
        return invalid("it has a user name or a password");
    }
    if authority.host().is_empty() {
        return invalid("it has no host");
    }
    if is_odd_number(authority.host()) {
        return invalid("its host is a number; write an IPv4 address as 192.0.2.1");
    }
    if authority.host().starts_with('[') && ipv6(authority.host()).is_none() {
        return invalid("its host is no IPv6 address; leave out a zone");
    }
    let reach = Reach::NotLinkLocal;
    if !reach.allows_host(authority.host()) {
        return Err(FetchFault::AddressRefused { host: short(authority.host()), reach });
    }
    Ok(uri)
}

fn ipv6(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Returns whether a host is an IPv4 address in a form of `inet_aton`, such as `2852039166` or
/// `0xa9.254.169.254`. Resolvers take these forms and they would hide an address from the checks.
fn is_odd_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let numeric = !last.is_empty()
        && (digits(last) || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())));
    numeric && host.parse::<Ipv4Addr>().is_err()
}

/// Returns whether two addresses have one host. All names of this machine are one.
pub(crate) fn same_host(one: &Uri, other: &Uri) -> bool {
    let (one, other) = (one.host().unwrap_or_default(), other.host().unwrap_or_default());
    one.eq_ignore_ascii_case(other) || (is_loopback(one) && is_loopback(other))
}

/// How a request reaches an address. The safest transport comes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Transport {
    Https,
    /// Plain `http` that does not leave the machine.
    Loopback,
    PlainHttp,
}

/// Rejects plain `http` that leaves this machine unless it is allowed.
pub(crate) fn check_transport(uri: &Uri, plain_http: bool) -> Result<(), FetchFault> {
    if transport(uri) == Transport::PlainHttp && !plain_http {
        return Err(FetchFault::InsecureUrl(short(uri.host().unwrap_or_default())));
    }
    Ok(())
}

pub(crate) fn transport(uri: &Uri) -> Transport {
    if uri.scheme() == Some(&Scheme::HTTPS) {
        Transport::Https
    } else if is_loopback(uri.host().unwrap_or_default()) {
        Transport::Loopback
    } else {
        Transport::PlainHttp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_use_the_loopback_transport() {
        let of = |address: &str| transport(&address.parse().unwrap());
        assert_eq!(of("https://a.example"), Transport::Https);
        for address in
            ["http://127.0.0.1:80", "http://127.1.2.3", "http://[::1]:8080", "http://localhost:1"]
        {
            assert_eq!(of(address), Transport::Loopback, "{address}");
        }
        for address in [
            "http://a.example",
            "http://10.0.0.1",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "http://[::2]",
            "http://0.0.0.0",
        ] {
            assert_eq!(of(address), Transport::PlainHttp, "{address}");
        }
    }

    #[test]
    fn hosts_that_hide_a_link_local_address_are_refused() {
        for host in ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"] {
            let refused = absolute(&format!("https://{host}/keys"));
            assert!(matches!(refused, Err(FetchFault::AddressRefused { .. })), "{host}");
        }
        for host in [
            "2852039166",
            "0xa9fea9fe",
            "0xa9.254.169.254",
            "169.254.43518",
            "169.254.169.254.",
            "[fe80::1%25eth0]",
            "[v1.x]",
        ] {
            let refused = absolute(&format!("https://{host}/keys"));
            assert!(matches!(refused, Err(FetchFault::InvalidUrl(_))), "{host}");
        }
        for host in ["a.example", "a.example.", "0x.example", "10.0.0.1", "[fd00::1]", "4.example"]
        {
            assert!(absolute(&format!("https://{host}/keys")).is_ok(), "{host}");
        }
    }
}
