use std::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::{
    ForwardedHeader::{self, Forwarded, XForwardedFor},
    Network, NetworkError, PeerAddress,
};

const PROXIES: [&str; 3] = ["10.0.0.0/8", "fd00::/8", "192.0.2.1"];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The peer of a connection from `connection` with these lines of the field.
fn peer(field: ForwardedHeader, connection: &str, lines: &[&[u8]]) -> IpAddr {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(field.name(), HeaderValue::from_bytes(line).unwrap());
    }
    let peer = PeerAddress::connection().behind(field, PROXIES).unwrap();
    peer.peer(address(connection), &headers)
}

fn forwarded(line: &str) -> IpAddr {
    peer(Forwarded, "10.0.0.1", &[line.as_bytes()])
}

fn x_forwarded_for(line: &str) -> IpAddr {
    peer(XForwardedFor, "10.0.0.1", &[line.as_bytes()])
}

#[test]
fn the_first_address_from_the_right_that_is_not_a_proxys_is_the_peers() {
    for (line, expected) in [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.1.1.1,\t192.0.2.1", "203.0.113.7"),
        ("203.0.113.7:8080", "203.0.113.7"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("203.0.113.7, fd00::1", "203.0.113.7"),
        ("::ffff:203.0.113.7, ::ffff:10.0.0.9", "203.0.113.7"),
        // Empty elements are passed over (RFC 9110 section 5.6.1).
        ("203.0.113.7,, ,10.0.0.9,", "203.0.113.7"),
        // All are proxies: the last of them.
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("", "10.0.0.1"),
    ] {
        assert_eq!(x_forwarded_for(line), address(expected), "{line}");
    }
}

#[test]
fn an_element_without_an_address_ends_the_search_at_the_last_proxy() {
    for element in
        ["unknown", "x", "203.0.113.7:", "203.0.113.7:x", "1.2.3", "[::1", "203.0.113.7 1"]
    {
        let line = format!("198.51.100.1, {element}, 10.0.0.2");
        assert_eq!(x_forwarded_for(&line), address("10.0.0.2"), "{element}");
    }
    for element in [
        "for=unknown",
        "for=_hidden",
        "for=\"_hidden:80\"",
        "proto=https",
        "for",
        "for=",
        "=1.2.3.4",
        "for=\"203.0.113.7",
        "for=203.0.113.7\"",
        "for=203.0.113.7;for=203.0.113.8",
        "for=203.0.113.7 proto=http",
        "for=[2001:db8::1]",
        "for=203.0.113.7:80",
        "for=\"203.0.113.7:123456\"",
    ] {
        let line = format!("for=198.51.100.1, {element}, for=10.0.0.2");
        assert_eq!(forwarded(&line), address("10.0.0.2"), "{element}");
    }
}

#[test]
fn forwarded_is_parsed_by_its_grammar() {
    for (line, expected) in [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=\"203.0.113.7:_port\"", "203.0.113.7"),
        ("for=\"203.0\\.113.7\"", "203.0.113.7"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("proto=http; host=\"a,b;for=1.2.3.4\" ;for=203.0.113.7;", "203.0.113.7"),
        ("for=203.0.113.7, for=10.0.0.2;host=\"\\\",\\\\\"", "203.0.113.7"),
        ("for=\"x, for=203.0.113.7", "203.0.113.7"),
    ] {
        assert_eq!(forwarded(line), address(expected), "{line}");
    }
}

#[test]
fn several_lines_are_one_list() {
    let lines: [&[u8]; 3] = [b"198.51.100.1", b"203.0.113.7, 10.0.0.3", b"10.0.0.2"];
    assert_eq!(peer(XForwardedFor, "10.0.0.1", &lines), address("203.0.113.7"));
}

#[test]
fn only_named_proxies_are_trusted() {
    let lines: [&[u8]; 1] = [b"203.0.113.7"];
    for connection in ["11.0.0.1", "192.0.2.2", "fe80::1", "::ffff:11.0.0.1"] {
        let expected = address(connection);
        assert_eq!(peer(XForwardedFor, connection, &lines), expected);
    }
    let peer = PeerAddress::connection().behind(XForwardedFor, PROXIES).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("forwarded", HeaderValue::from_static("for=203.0.113.7"));
    assert_eq!(peer.peer(address("10.0.0.1"), &headers), address("10.0.0.1"));
}

#[test]
fn one_subscriber_is_one_peer() {
    let peer = PeerAddress::connection();
    let same = |peer: &PeerAddress, one, other| {
        peer.bytes_of(address(one)) == peer.bytes_of(address(other))
    };
    assert!(same(&peer, "203.0.113.7", "::ffff:203.0.113.7"));
    assert!(!same(&peer, "203.0.113.7", "203.0.113.8"));
    assert!(same(&peer, "2001:db8:0:1::1", "2001:db8:0:1:ffff::"));
    assert!(!same(&peer, "2001:db8:0:1::1", "2001:db8:0:2::1"));
    let peer = peer.ipv4_prefix(24).ipv6_prefix(48);
    assert!(same(&peer, "203.0.113.7", "203.0.113.8"));
    assert!(same(&peer, "2001:db8:0:1::1", "2001:db8:0:2::1"));
    assert!(!same(&peer, "203.0.113.7", "203.0.114.7"));
    let peer = peer.ipv4_prefix(0).ipv6_prefix(0);
    assert!(same(&peer, "203.0.113.7", "1.1.1.1"));
    assert!(same(&peer, "2001:db8::", "::"));
}

#[test]
fn a_request_without_an_address_has_no_bytes() {
    assert_eq!(PeerAddress::connection().of(&Extensions::new(), &HeaderMap::new()), None);
}

#[test]
fn networks_are_parsed_strictly() {
    for text in ["", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "::/129", "10/8", "10.0.0.0/8/8"] {
        assert_eq!(Network::parse(text), Err(NetworkError::Malformed(text.into())));
    }
    let error = NetworkError::BitsBeyondPrefix("10.0.0.1/8".into());
    assert_eq!(Network::parse("10.0.0.1/8"), Err(error));
    let mapped = Network::parse("::ffff:10.0.0.0/104").unwrap();
    assert_eq!(Ok(mapped), Network::parse("10.0.0.0/8"));
    assert!(Network::parse("0.0.0.0/0").unwrap().contains(address("1.2.3.4")));
    assert!(!Network::parse("::/0").unwrap().contains(address("1.2.3.4")));
    assert!(Network::parse("::/0").unwrap().contains(address("2001:db8::1")));
}

#[test]
fn a_long_header_costs_a_bounded_time() {
    // Only the last sixteen are looked at: a stranger's is never reached.
    let line = format!("203.0.113.7{}", ", 10.0.0.2".repeat(50_000));
    assert_eq!(x_forwarded_for(&line), address("10.0.0.2"));
    let near = format!("203.0.113.7{}", ", 10.0.0.2".repeat(15));
    assert_eq!(x_forwarded_for(&near), address("203.0.113.7"));
    let far = format!("203.0.113.7{}", ", 10.0.0.2".repeat(16));
    assert_eq!(x_forwarded_for(&far), address("10.0.0.2"));
    let long = format!("for=203.0.113.7;host=\"{}\"", "x".repeat(100_000));
    assert_eq!(forwarded(&long), address("10.0.0.1"));
}

#[test]
fn nothing_is_allocated() {
    let mut extensions = Extensions::new();
    extensions.insert(SocketAddr::from(([10, 0, 0, 1], 80)));
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-for", HeaderValue::from_static("203.0.113.7, [fd00::1]:80"));
    let value = "for=203.0.113.7;proto=https, for=\"[fd00::1]:80\"";
    headers.insert("forwarded", HeaderValue::from_static(value));
    for field in [Forwarded, XForwardedFor] {
        let peer = PeerAddress::connection().behind(field, PROXIES).unwrap();
        let mut found = None;
        let counted = allocation_counter::measure(|| found = peer.of(&extensions, &headers));
        assert_eq!(counted.count_total, 0);
        assert_eq!(found, Some(peer.bytes_of(address("203.0.113.7"))));
    }
}

proptest! {
    #[test]
    fn elements_left_of_the_peer_change_nothing(
        sent in proptest::collection::vec("[ -~\t]{0,40}|([\",;=\\\\ ]|for|10\\.0\\.0\\.1){0,12}", 0..4),
        joined: bool,
    ) {
        for (field, added) in [
            (XForwardedFor, "203.0.113.7, 10.0.0.2"),
            (Forwarded, "for=203.0.113.7;host=\"a,\\\"b\", proto=https;for=10.0.0.2"),
        ] {
            let mut lines: Vec<String> = sent.clone();
            match lines.last_mut() {
                Some(last) if joined => *last = format!("{last}, {added}"),
                _ => lines.push(added.to_owned()),
            }
            let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
            prop_assert_eq!(peer(field, "10.0.0.1", &lines), address("203.0.113.7"));
        }
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(
        prop_oneof![any::<u8>(), proptest::sample::select(b"\",;=\\[]:for10._".to_vec())], 0..200,
    )) {
        if HeaderValue::from_bytes(&bytes).is_ok() {
            peer(Forwarded, "10.0.0.1", &[&bytes]);
            peer(XForwardedFor, "10.0.0.1", &[&bytes]);
        }
    }
}
