//! Parses `forwarded` (RFC 7239) and `x-forwarded-for` from the right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The maximum length of an element in bytes. A host name has at most 255 bytes, so `for`, `by`, `host`
/// and `proto` fit.
const MAX_ELEMENT: usize = 1_024;

/// The maximum length of a value of `for`. An address with a port is shorter.
const MAX_NODE: usize = 64;

/// Returns the elements of a list from the right without the space around them. An element beyond the
/// maximum length ends the list and appears as text that is no address.
///
/// Quotes are matched from the right. An open quote from a client cannot hide the elements that proxies
/// appended.
pub(super) fn from_the_right(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest.take()?;
        let mut quoted = false;
        let mut end = list.len();
        while let Some((before, byte)) = list.get(..end).and_then(|list| {
            let (last, before) = list.split_last()?;
            Some((before, *last))
        }) {
            if list.len() - end > MAX_ELEMENT {
                return Some(b"\"".as_slice());
            }
            match byte {
                // Within quotes, one with an odd number of backslashes before it is escaped.
                b'"' if quoted => {
                    let slashes = before.iter().rev().take(MAX_ELEMENT);
                    quoted = slashes.take_while(|byte| **byte == b'\\').count() % 2 == 1;
                }
                b'"' => quoted = true,
                b',' if !quoted => {
                    rest = Some(before);
                    return list.get(end..).map(<[u8]>::trim_ascii);
                }
                _ => {}
            }
            end = before.len();
        }
        Some(list.trim_ascii())
    })
}

/// Returns the address in `for` of a `forwarded-element` (RFC 7239 section 4).
pub(super) fn forwarded(element: &[u8]) -> Option<IpAddr> {
    let mut found: Option<Value> = None;
    let mut rest = element;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b";") {
            rest = after;
            continue;
        }
        if rest.is_empty() {
            return node(found?.as_slice());
        }
        let name_ends = rest.iter().position(|byte| !is_token(*byte))?;
        let (name, after) = rest.split_at_checked(name_ends)?;
        let (value, after) = value(after.strip_prefix(b"=")?)?;
        if name.eq_ignore_ascii_case(b"for") && found.replace(value).is_some() {
            return None;
        }
        if name.is_empty() {
            return None;
        }
        rest = after.trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b";") {
            return None;
        }
    }
}

/// Returns the address in an element of `x-forwarded-for`.
pub(super) fn x_forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    // A port after IPv6 without brackets would be ambiguous.
    text.parse().ok().or_else(|| node(element))
}

/// Parses `IPv4` or `[IPv6]` with or without a port (RFC 7239 section 6). Returns `None` for `unknown`
/// and for obfuscated names.
fn node(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(node).ok()?;
    let (address, port) = if let Some(text) = text.strip_prefix('[') {
        let (address, port) = text.split_once(']')?;
        (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
    } else {
        let (address, port) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
        (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), port)
    };
    (port.is_empty() || is_port(port.strip_prefix(':')?.as_bytes())).then_some(address)
}

fn is_port(port: &[u8]) -> bool {
    match port {
        [b'_', name @ ..] => {
            let obfuscated = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
            !name.is_empty() && name.iter().all(obfuscated)
        }
        digits => (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
    }
}

/// An unescaped value. A value beyond the maximum length is cut and is then empty.
#[derive(Clone, Copy)]
struct Value {
    bytes: [u8; MAX_NODE],
    len: usize,
}

impl Value {
    const fn new() -> Self {
        Self { bytes: [0; MAX_NODE], len: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn as_slice(&self) -> &[u8] {
        // A full buffer may lack the end of the value.
        if self.len < MAX_NODE { self.bytes.get(..self.len).unwrap_or_default() } else { b"" }
    }
}

/// Parses a `token` or `quoted-string` (RFC 9110 section 5.6). Returns its value and the rest.
fn value(text: &[u8]) -> Option<(Value, &[u8])> {
    let mut value = Value::new();
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let ends = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
        let (token, after) = text.split_at_checked(ends)?;
        token.iter().for_each(|byte| value.push(*byte));
        return (!token.is_empty()).then_some((value, after));
    };
    let mut rest = quoted;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((value, rest)),
            b'\\' => {
                let (escaped, after) = rest.split_first()?;
                value.push(*escaped);
                rest = after;
            }
            byte => value.push(*byte),
        }
    }
}

/// Returns whether a byte is a `tchar` (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
