//! Percent-encoding as AWS signs it, and the parameters of a query.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// All but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// Encodes a name or a value of a query.
pub(super) fn encode(text: &[u8]) -> Cow<'_, str> {
    percent_encode(text, RESERVED).into()
}

/// Encodes a path and keeps its slashes.
pub(super) fn encode_path(path: &[u8]) -> Cow<'_, str> {
    percent_encode(path, RESERVED_IN_PATH).into()
}

/// Decodes a name or a value of a query.
///
/// Returns `None` for an escape without two hexadecimal digits and for a plus sign. Some parsers read
/// `+` as a space and others as itself.
pub(super) fn decode(text: &str) -> Option<Cow<'_, [u8]>> {
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'+', _) => return None,
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                after
            }
            (b'%', _) => return None,
            _ => after,
        };
    }
    Some(percent_decode_str(text).into())
}

/// Splits a query into its encoded names and values.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pieces = (!query.is_empty()).then(|| query.split('&'));
    pieces.into_iter().flatten().map(|piece| piece.split_once('=').unwrap_or((piece, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(encode(b"aZ09-._~/ +%\xe1"), "aZ09-._~%2F%20%2B%25%E1");
        assert_eq!(encode_path(b"/a b/c%2F"), "/a%20b/c%252F");
    }

    #[test]
    fn text_with_two_readings_is_not_decoded() {
        assert_eq!(decode("a%2Fb%c3%A9").unwrap().as_ref(), "a/b\u{e9}".as_bytes());
        for text in ["a+b", "%", "%2", "%2x", "%zz", "a%"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn query_is_split_at_its_first_equals_signs() {
        let all = |query| parameters(query).collect::<Vec<_>>();
        assert_eq!(all(""), []);
        assert_eq!(all("a=b=c&d&"), [("a", "b=c"), ("d", ""), ("", "")]);
    }
}
