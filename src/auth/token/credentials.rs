//! The token of a request (RFC 6750, RFC 9449).

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

/// The credentials in the `authorization` header.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Credentials<'a> {
    /// There is no header or no token in it.
    Missing,
    /// There are several headers.
    Multiple,
    /// There is one token. It may still be a list. See [`is_list`].
    Token(TokenScheme, &'a [u8]),
}

/// How a client sends a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TokenScheme {
    Bearer,
    /// With a proof in the header `DPoP` (RFC 9449 section 7.1).
    Dpop,
}

impl<'a> Credentials<'a> {
    /// Reads the `authorization` header (RFC 6750 section 2.1). Form and query parameters are not
    /// read.
    pub(super) fn from_headers(headers: &'a HeaderMap) -> Self {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (value, further) = (values.next(), values.next());
        if further.is_some() {
            return Self::Multiple;
        }
        let value = value.map(HeaderValue::as_bytes).unwrap_or_default();
        let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
        let (scheme, token) = value.split_at(end);
        let token = token.trim_ascii_start();
        if token.is_empty() {
            return Self::Missing;
        }
        if scheme.eq_ignore_ascii_case(b"bearer") {
            Self::Token(TokenScheme::Bearer, token)
        } else if scheme.eq_ignore_ascii_case(b"dpop") {
            Self::Token(TokenScheme::Dpop, token)
        } else {
            Self::Missing
        }
    }
}

/// Returns true if the text after the scheme is a list or several words. Any other text that is not
/// a `b64token` (RFC 6750 section 2.1) is one invalid token.
pub(super) fn is_list(token: &[u8]) -> bool {
    token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_with_one_token_is_read() {
        let bearer = |token| Credentials::Token(TokenScheme::Bearer, token);
        let cases: &[(&[&'static str], Credentials<'_>)] = &[
            (&[], Credentials::Missing),
            (&["Bearer abc"], bearer(b"abc")),
            (&["bEARER   a.b.c=="], bearer(b"a.b.c==")),
            (&["DPoP abc"], Credentials::Token(TokenScheme::Dpop, b"abc")),
            (&["dpop  abc"], Credentials::Token(TokenScheme::Dpop, b"abc")),
            (&["Bearer"], Credentials::Missing),
            (&["Bearer "], Credentials::Missing),
            (&["DPoP"], Credentials::Missing),
            (&[""], Credentials::Missing),
            (&["Basic abc"], Credentials::Missing),
            (&["Bearerabc"], Credentials::Missing),
            (&["Bearer\tabc"], Credentials::Missing),
            (&["Bearer a", "Bearer a"], Credentials::Multiple),
            (&["Bearer a", "DPoP a"], Credentials::Multiple),
            (&["Basic a", "Bearer a"], Credentials::Multiple),
        ];
        for (values, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            assert_eq!(Credentials::from_headers(&headers), *expected, "{values:?}");
        }
    }
}
