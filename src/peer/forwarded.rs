//! The fields `forwarded` (RFC 7239) and `x-forwarded-for`, read from the right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest element that is read. A host name has at most 255 bytes, so that `for`, `by`, `host`
/// and `proto` find room.
const MAX_ELEMENT: usize = 1_024;

/// The longest value of `for` that can be an address with a port, each byte escaped.
const MAX_NODE: usize = 64;

/// The elements of a list, the last first, without the space around them. Ends after one that is
/// longer than is read, which it gives in part: nothing that can be parsed.
///
/// Quotes are matched from the right: an open one in what a stranger sent cannot swallow what a proxy
/// has added to it.
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

/// The address in `for` of a `forwarded-element` (RFC 7239 section 4).
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

/// The address in an element of `x-forwarded-for`.
pub(super) fn x_forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    // Without brackets a port could not be told from IPv6.
    text.parse().ok().or_else(|| node(element))
}

/// `IPv4`, `[IPv6]`, each with a port or without (RFC 7239 section 6). `None` for `unknown` and for
/// names that are made up.
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
            let made_up = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
            !name.is_empty() && name.iter().all(made_up)
        }
        digits => (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
    }
}

/// What a value says: of one that is longer than an address can be, the beginning, which is none.
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
        // Full: something may be missing.
        if self.len < MAX_NODE { self.bytes.get(..self.len).unwrap_or_default() } else { b"" }
    }
}

/// A `token` or `quoted-string` (RFC 9110 section 5.6), and what comes after it.
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

/// A `tchar` (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
