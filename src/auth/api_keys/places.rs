//! Where a request has its key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use crate::auth::method::Places;

/// A bearer token of this form is a presigned request to AWS STS.
const STS_START: &[u8] = b"aws-sts-v1.";

/// The places of a key that a layer reads.
#[derive(Clone, Debug)]
pub(super) struct KeyPlaces {
    pub(super) header: HeaderName,
    /// Whether a key may be a bearer token.
    pub(super) bearer: bool,
    /// The prefix of generated keys.
    pub(super) prefix: Option<Box<str>>,
}

/// The key of a request.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum RequestKey<'a> {
    Missing,
    /// There are several headers or a second credential.
    Multiple,
    One {
        key: &'a [u8],
        places: Places,
    },
}

impl KeyPlaces {
    /// Finds the key. An empty header counts as none, because programs send one when their setting is
    /// empty.
    pub(super) fn find<'a>(&self, headers: &'a HeaderMap) -> RequestKey<'a> {
        let Ok(header) = single(headers, &self.header) else { return RequestKey::Multiple };
        if !self.bearer {
            return match header {
                Some(key) => RequestKey::One { key, places: Places::HEADER },
                None => RequestKey::Missing,
            };
        }
        let Ok(authorization) = single(headers, &AUTHORIZATION) else {
            return RequestKey::Multiple;
        };
        let authorization = authorization.map(bearer_token);
        match (header, authorization) {
            (Some(key), None | Some(Some([]))) => RequestKey::One { key, places: Places::HEADER },
            // Some clients send their key at both places.
            (Some(key), Some(Some(token))) if key == token => {
                RequestKey::One { key, places: Places::HEADER | Places::AUTHORIZATION }
            }
            (Some(_), Some(_)) => RequestKey::Multiple,
            (None, Some(Some(key))) if self.is_key(key) => {
                RequestKey::One { key, places: Places::AUTHORIZATION }
            }
            (None, _) => RequestKey::Missing,
        }
    }

    /// Returns where a request has a key or keys.
    pub(super) fn of(&self, headers: &HeaderMap) -> Places {
        match self.find(headers) {
            RequestKey::Missing => Places::NONE,
            RequestKey::One { places, .. } => places,
            RequestKey::Multiple if headers.contains_key(&self.header) => Places::HEADER,
            RequestKey::Multiple => Places::AUTHORIZATION,
        }
    }

    /// Returns whether a bearer token has the form of a key.
    fn is_key(&self, token: &[u8]) -> bool {
        match &self.prefix {
            Some(prefix) => {
                token.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.starts_with(b"_"))
            }
            None => {
                let is_word = token.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',');
                !token.is_empty() && is_word && !is_jwt(token) && !token.starts_with(STS_START)
            }
        }
    }

    /// Marks the header as sensitive. The layer marks `authorization`.
    pub(super) fn conceal(&self, headers: &mut HeaderMap) {
        // The first header is enough. A request with several is rejected.
        if let Some(key) = headers.get_mut(&self.header) {
            key.set_sensitive(true);
        }
    }

    /// Removes keys from a request that was let in.
    pub(super) fn remove(&self, headers: &mut HeaderMap) {
        let key = headers.remove(&self.header);
        let token = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).and_then(bearer_token);
        // A copy of the key need not have the form of one.
        let is_copy = |token| key.is_some_and(|key| key.as_bytes().trim_ascii() == token);
        if token.is_some_and(|token| self.bearer && self.is_key(token) || is_copy(token)) {
            headers.remove(AUTHORIZATION);
        }
    }
}

/// Returns the value of a header. `None` if there is none or an empty one. Fails if there are several.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, ()> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(|value| value.as_bytes().trim_ascii());
    if values.next().is_some() {
        return Err(());
    }
    Ok(value.filter(|value| !value.is_empty()))
}

/// Returns the token of the scheme `Bearer`, which may be empty. `None` for another scheme.
fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, token) = value.split_at_checked(end)?;
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

/// Returns whether a token is three or five parts and the first one is base64url of JSON (RFC 7515 and
/// RFC 7516).
fn is_jwt(token: &[u8]) -> bool {
    let mut parts = token.split(|byte| *byte == b'.');
    let header = parts.next().unwrap_or_default();
    let start = header.get(..4).unwrap_or(header);
    let mut json = [0; 4];
    let json = URL_SAFE_NO_PAD.decode_slice(start, &mut json).ok().and_then(|end| json.get(..end));
    matches!(parts.count(), 2 | 4)
        && json.is_some_and(|json| json.trim_ascii_start().starts_with(b"{"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Places = Places::AUTHORIZATION;

    fn find<'a>(
        headers: &'a mut HeaderMap,
        pairs: &[(&'static str, &'a str)],
        places: &KeyPlaces,
    ) -> RequestKey<'a> {
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        places.find(headers)
    }

    fn places(bearer: bool, prefix: Option<&str>) -> KeyPlaces {
        let header = HeaderName::from_static("x-api-key");
        KeyPlaces { header, bearer, prefix: prefix.map(Into::into) }
    }

    #[test]
    fn one_key_is_found_at_its_places() {
        let (x, auth) = ("x-api-key", "authorization");
        let one = |key: &'static str, places| RequestKey::One { key: key.as_bytes(), places };
        let (header, bearer) = (Places::HEADER, BOTH);
        let jwt = "Bearer eyJhbGciOiJFUzI1NiJ9.e30.AA";
        for (pairs, expected) in [
            (&[][..], RequestKey::Missing),
            (&[(x, "")], RequestKey::Missing),
            (&[(x, "k")], one("k", header)),
            (&[(x, " k ")], one("k", header)),
            (&[(x, "k"), (x, "k")], RequestKey::Multiple),
            (&[(x, ""), (x, "k")], RequestKey::Multiple),
            (&[(auth, "Bearer k")], one("k", bearer)),
            (&[(auth, "bEARER  k")], one("k", bearer)),
            (&[(auth, "Bearer")], RequestKey::Missing),
            (&[(auth, "Bearer k, l")], RequestKey::Missing),
            (&[(auth, "Basic k")], RequestKey::Missing),
            (&[(auth, jwt)], RequestKey::Missing),
            (&[(auth, "Bearer aws-sts-v1.aHR0cHM")], RequestKey::Missing),
            (&[(auth, "Bearer k"), (auth, "Bearer k")], RequestKey::Multiple),
            (&[(x, "k"), (auth, "Bearer k")], one("k", header | bearer)),
            (&[(x, "k"), (auth, "Bearer ")], one("k", header)),
            (&[(x, "k"), (auth, "Bearer l")], RequestKey::Multiple),
            (&[(x, "k"), (auth, jwt)], RequestKey::Multiple),
            (&[(x, "k"), (auth, "Basic k")], RequestKey::Multiple),
            (&[(x, ""), (auth, "Bearer k")], one("k", bearer)),
        ] {
            let mut headers = HeaderMap::new();
            assert_eq!(find(&mut headers, pairs, &places(true, None)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn bearer_key_is_told_by_its_prefix() {
        let auth = "authorization";
        let places = places(true, Some("acme"));
        for (value, found) in [
            ("Bearer acme_k", true),
            ("Bearer acme", false),
            ("Bearer acmek", false),
            ("Bearer other", false),
            ("Bearer eyJhbGciOiJFUzI1NiJ9.e30.AA", false),
        ] {
            let mut headers = HeaderMap::new();
            let key = find(&mut headers, &[(auth, value)], &places);
            assert_eq!(key != RequestKey::Missing, found, "{value}");
        }
    }

    #[test]
    fn bearer_token_is_ignored_when_the_header_alone_is_read() {
        let mut headers = HeaderMap::new();
        let pairs = [("x-api-key", "k"), ("authorization", "Bearer l")];
        let key = find(&mut headers, &pairs, &places(false, None));
        assert_eq!(key, RequestKey::One { key: b"k", places: Places::HEADER });
    }

    #[test]
    fn jwt_has_three_or_five_parts_and_json_in_front() {
        for (token, expected) in [
            ("eyJhbGciOiJFUzI1NiJ9.e30.AA", true),
            ("eyJhbGciOiJFUzI1NiJ9..", true),
            ("IHsiYWxnIjoiRVMyNTYifQ.e30.AA", true),
            ("eyJhbGciOiJFUzI1NiJ9.a.b.c.d", true),
            ("e30.e30.AA", true),
            ("eyJhbGciOiJFUzI1NiJ9.e30", false),
            ("eyJhbGciOiJFUzI1NiJ9", false),
            ("team.project.key", false),
            ("..", false),
            ("a", false),
        ] {
            assert_eq!(is_jwt(token.as_bytes()), expected, "{token}");
        }
    }

    #[test]
    fn key_is_marked_as_sensitive() {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static("secret"));
        places(true, None).conceal(&mut headers);
        assert!(!format!("{headers:?}").contains("secret"));
    }

    #[test]
    fn removed_key_leaves_other_credentials() {
        let removed = |authorization: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-api-key", HeaderValue::from_static("k"));
            headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
            places(true, None).remove(&mut headers);
            assert!(!headers.contains_key("x-api-key"));
            headers.is_empty()
        };
        assert!(removed("Bearer k"));
        assert!(!removed("Bearer eyJhbGciOiJFUzI1NiJ9.e30.AA"));
        assert!(!removed("Basic k"));
    }
}
