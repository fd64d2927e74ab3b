//! The addresses that a request may go to.
//!
//! A document of an identity provider may name another host. An attacker who can change the document
//! could lead the gateway to a service inside of its network (server-side request forgery). The limit
//! travels with the request, because only the HTTP client sees the addresses that a name resolves
//! to.

use std::{
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use http::Request;

/// A limit on the addresses of a request. It is set in the extensions of the request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// Every address but link-local ones. Clouds serve the credentials of the machine there.
    NotLinkLocal,
    /// Addresses of the public internet.
    Public,
}

/// The metadata services of AWS and Google Cloud over IPv6. They have unique local addresses.
const METADATA: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254),
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254),
];

impl Reach {
    pub(crate) fn allows(self, address: IpAddr) -> bool {
        let embedded = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => embedded(address).map(IpAddr::V4),
        };
        let allows = |address: IpAddr| match self {
            Self::NotLinkLocal => !is_link_local(address),
            Self::Public => is_public(address),
        };
        allows(embedded.unwrap_or(address))
    }

    /// Returns false if the host of a URI is a literal address that is not allowed. A name is
    /// allowed until it is resolved.
    pub(crate) fn allows_host(self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        bare.parse().map_or(true, |address| self.allows(address))
    }

    /// Limits a request.
    #[cfg(any(feature = "auth", feature = "hf"))]
    pub(crate) fn limit<B>(self, request: &mut Request<B>) {
        request.extensions_mut().insert(self);
    }

    /// Returns the limit of a request.
    #[cfg(feature = "client")]
    pub(crate) fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get().copied()
    }
}

/// Returns the IPv4 address that packets to this address reach: mapped and compatible addresses (RFC
/// 4291 section 2.5.5), NAT64 (RFC 6052 section 2.1) and 6to4 (RFC 3056 section 2).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let ipv4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0] if g != 0 => Some(ipv4(g, h)),
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => Some(ipv4(g, h)),
        [0x2002, high, low, ..] => Some(ipv4(high, low)),
        _ => None,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local() || METADATA.contains(&address),
    }
}

/// Sources: the special-purpose address registries of IANA (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            let special = address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_documentation()
                // "This network".
                || a == 0
                // Shared by carriers (RFC 6598).
                || (a == 100 && (64..128).contains(&b))
                // Protocol assignments (RFC 6890) and the former 6to4 relays (RFC 7526).
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                // Benchmarks (RFC 2544).
                || (a == 198 && (18..20).contains(&b))
                // Multicast, reserved and broadcast.
                || a >= 224;
            !special
        }
        IpAddr::V6(address) => {
            let [a, b, ..] = address.segments();
            // Global unicast addresses are in 2000::/3 (RFC 4291 section 2.4).
            let global = a & 0xe000 == 0x2000;
            // Protocol assignments with Teredo (RFC 2928), documentation (RFC 3849, RFC 9637).
            let special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || (a == 0x3fff && b < 0x1000);
            global && !special
        }
    }
}

/// A request was not sent, because its host has no address that it may go to.
#[derive(Debug)]
pub(crate) struct AddressRefused {
    pub(crate) reach: Reach,
}

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reach {
            Reach::NotLinkLocal => "the host has only link-local addresses",
            Reach::Public => "the host has no public address",
        })
    }
}

impl Error for AddressRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_addresses_are_refused_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.0.1",
            "[fe80::1]",
            "[febf::1]",
            "[fd00:ec2::254]",
            "[fd20:ce::254]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a9fe:a9fe]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
        ] {
            assert!(!Reach::NotLinkLocal.allows_host(host), "{host}");
            assert!(!Reach::Public.allows_host(host), "{host}");
        }
        for host in ["10.0.0.1", "127.0.0.1", "[::1]", "[fd00::1]", "localhost", "a.example"] {
            assert!(Reach::NotLinkLocal.allows_host(host), "{host}");
        }
    }

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for host in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "[2606:4700::1111]", "x"] {
            assert!(Reach::Public.allows_host(host), "{host}");
        }
        for host in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "172.16.0.1",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[fc00::1]",
            "[ff02::1]",
            "[2001::1]",
            "[2001:db8::1]",
            "[3fff::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::a00:1]",
            "[2002:a00:1::1]",
        ] {
            assert!(!Reach::Public.allows_host(host), "{host}");
        }
    }
}
