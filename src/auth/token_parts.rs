//! A token's text: its parts, its header, its claims. Nothing here is trusted yet.

use std::{borrow::Cow, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_core::{
    Deserialize, Deserializer,
    de::{Error, MapAccess},
};
use serde_json::{Number, Value};

use super::{
    algorithm::Algorithm,
    json::{self, ReadMembers, OneOrMany, IgnoredValue, JsonStr},
};

/// The longest signature there is: RSA with 8,192 bits.
const LONGEST_SIGNATURE: usize = 1_024;

/// The last second of the year 9999, which RFC 3339 and every calendar can still say.
const LAST_SECOND: u64 = 253_402_300_799;

/// base64url as RFC 7515 section 2 has it: without padding. Bits that encode nothing must be zero,
/// so that one signature has one spelling.
pub(super) fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The three parts of a JWS in compact serialization (RFC 7515 section 7.1).
#[derive(Clone, Copy)]
pub(super) struct TokenParts<'a> {
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
    /// What was signed: the header and the payload with the dot between them.
    pub(super) signed: &'a [u8],
}

impl<'a> TokenParts<'a> {
    /// `None` unless there are exactly three, none of them empty. A JWE has five.
    pub(super) fn of(token: &'a [u8]) -> Option<Self> {
        let mut parts = token.split(|byte| *byte == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let three = parts.next().is_none();
        if !three || header.is_empty() || payload.is_empty() || signature.is_empty() {
            return None;
        }
        let signed = token.get(..header.len() + 1 + payload.len())?;
        Some(Self { header, payload, signature, signed })
    }

    /// Hands the signature to `verify`; `None` when it cannot be read.
    pub(super) fn with_signature<T>(&self, verify: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // The decoder writes in blocks of three.
        let mut room = [0; LONGEST_SIGNATURE + 2];
        let length = URL_SAFE_NO_PAD.decode_slice(self.signature, &mut room);
        length.ok().and_then(|length| room.get(..length)).map(verify)
    }
}

/// What a header says that matters here. The keys that it may carry or point at (`jwk`, `jku`,
/// `x5c`, `x5u`) are not read (RFC 8725 section 3.10).
#[derive(Default)]
pub(super) struct TokenHeader<'a> {
    algorithm: Option<Cow<'a, str>>,
    pub(super) key_id: Option<Cow<'a, str>>,
    pub(super) token_type: Option<Cow<'a, str>>,
    unsupported: bool,
}

impl<'a> TokenHeader<'a> {
    /// The header, with its algorithm. `None` when it cannot be read, names no algorithm of ours, or
    /// asks for what is not done here.
    pub(super) fn of(json: &'a [u8]) -> Option<(Self, Algorithm)> {
        let header = json::object(json, Self::default())?;
        let algorithm = Algorithm::from_name(header.algorithm.as_deref()?)?;
        (!header.unsupported).then_some((header, algorithm))
    }
}

impl<'a> ReadMembers<'a> for TokenHeader<'a> {
    fn member<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "alg" => self.algorithm = Some(map.next_value::<JsonStr<'_>>()?.0),
            "kid" => self.key_id = Some(map.next_value::<JsonStr<'_>>()?.0),
            "typ" => self.token_type = Some(map.next_value::<JsonStr<'_>>()?.0),
            // No extension is understood here, so none that must be (RFC 7515 section 4.1.11). An
            // encrypted token has an `enc` (RFC 7516 section 9).
            "crit" | "enc" => {
                map.next_value::<IgnoredValue>()?;
                self.unsupported = true;
            }
            // An unencoded payload (RFC 7797) would be verified over other bytes than are read.
            "b64" => self.unsupported |= !map.next_value::<bool>()?,
            _ => {
                map.next_value::<IgnoredValue>()?;
            }
        }
        Ok(())
    }
}

/// The claims that are checked. The others are kept as they came.
#[derive(Default)]
pub(super) struct TokenClaims<'a> {
    pub(super) issuer: Option<Cow<'a, str>>,
    pub(super) subject: Option<Cow<'a, str>>,
    pub(super) audience: Option<OneOrMany<'a>>,
    pub(super) client_id: Option<Cow<'a, str>>,
    pub(super) token_use: Option<Cow<'a, str>>,
    pub(super) expires: Option<NumericDate>,
    pub(super) not_before: Option<NumericDate>,
    pub(super) issued: Option<NumericDate>,
    pub(super) token_id: Option<Cow<'a, str>>,
    pub(super) scope: Option<OneOrMany<'a>>,
    pub(super) scp: Option<OneOrMany<'a>>,
}

impl<'a> TokenClaims<'a> {
    /// The claims, or why they cannot be read.
    pub(super) fn of(json: &'a [u8]) -> Result<Self, ClaimsError> {
        json::object(json, Self::default()).ok_or_else(|| ClaimsError::of(json))
    }

    /// What the token may be used for. `scope` is one string with spaces (RFC 8693 section 4.2), or
    /// an array as IdentityServer, Spring and PingFederate write it; `scp` is either.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &str> {
        let claims = self.scope.iter().chain(&self.scp);
        let listed = claims.flat_map(|claim| {
            let (one, many) = match claim {
                OneOrMany::One(list) => (Some(list), &[][..]),
                OneOrMany::Many(many) => (None, many.as_slice()),
            };
            one.into_iter().flat_map(|list| list.split(' ')).chain(many.iter().map(AsRef::as_ref))
        });
        listed.filter(|scope| !scope.is_empty())
    }
}

impl<'a> ReadMembers<'a> for TokenClaims<'a> {
    fn member<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "iss" => self.issuer = Some(map.next_value::<JsonStr<'_>>()?.0),
            "sub" => self.subject = Some(map.next_value::<JsonStr<'_>>()?.0),
            "aud" => self.audience = Some(map.next_value()?),
            "client_id" => self.client_id = Some(map.next_value::<JsonStr<'_>>()?.0),
            "token_use" => self.token_use = Some(map.next_value::<JsonStr<'_>>()?.0),
            "exp" => self.expires = Some(map.next_value()?),
            "nbf" => self.not_before = Some(map.next_value()?),
            "iat" => self.issued = Some(map.next_value()?),
            "jti" => self.token_id = Some(map.next_value::<JsonStr<'_>>()?.0),
            "scope" => self.scope = Some(map.next_value()?),
            "scp" => self.scp = Some(map.next_value()?),
            _ => {
                map.next_value::<IgnoredValue>()?;
            }
        }
        Ok(())
    }
}

/// Why claims cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ClaimsError {
    /// The payload is not a JSON object, or has a name twice.
    NotAnObject,
    /// This claim is not what it must be.
    WrongType(&'static str, &'static str),
}

impl ClaimsError {
    /// The first claim of another type in `json`, which was not read. Apart from the reading, so
    /// that tokens that hold pay nothing for it.
    #[cold]
    fn of(json: &[u8]) -> Self {
        const TEXT: Expected = ("a string", |value| value.is_string());
        const TEXTS: Expected =
            ("a string or an array of strings", |value| OneOrMany::deserialize(value).is_ok());
        const DATE: Expected =
            ("a number of seconds since 1970", |value| NumericDate::deserialize(value).is_ok());
        const CLAIMS: [(&str, Expected); 11] = [
            ("iss", TEXT),
            ("sub", TEXT),
            ("aud", TEXTS),
            ("client_id", TEXT),
            ("token_use", TEXT),
            ("exp", DATE),
            ("nbf", DATE),
            ("iat", DATE),
            ("jti", TEXT),
            ("scope", TEXTS),
            ("scp", TEXTS),
        ];
        let claims: Value = serde_json::from_slice(json).unwrap_or_default();
        let mistyped = CLAIMS.into_iter().find_map(|(name, (expected, is))| {
            let value = claims.get(name)?;
            (!is(value)).then_some(Self::WrongType(name, expected))
        });
        mistyped.unwrap_or(Self::NotAnObject)
    }
}

/// What a claim must be, in words, and whether it is.
type Expected = (&'static str, fn(&Value) -> bool);

/// Seconds since 1970-01-01 UTC, whole or not (RFC 7519 section 2), up to the year 9999.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct NumericDate(pub(super) Duration);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        let since = match number.as_u64() {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => number.as_f64().and_then(|since| Duration::try_from_secs_f64(since).ok()),
        };
        since
            .filter(|since| *since <= Duration::from_secs(LAST_SECOND))
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a date"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_three_parts_none_of_them_empty() {
        let parts = TokenParts::of(b"ab.cd.ef").unwrap();
        assert_eq!(
            (parts.header, parts.payload, parts.signature),
            (&b"ab"[..], &b"cd"[..], &b"ef"[..])
        );
        assert_eq!(parts.signed, b"ab.cd");
        for token in
            ["", ".", "..", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c.d.e", "a.b.c."]
        {
            assert!(TokenParts::of(token.as_bytes()).is_none(), "{token}");
        }
    }

    #[test]
    fn base64url_has_one_spelling() {
        assert_eq!(base64url(b"_-8").unwrap(), [0xff, 0xef]);
        // Padding, the other alphabet, white space, bits that encode nothing, a lone character.
        for text in ["_-8=", "/+8", "_-8\n", " _-8", "_-9", "_-_-_", "é"] {
            assert!(base64url(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn the_longest_signature_is_read_and_a_longer_one_is_not() {
        let text = |length: usize| URL_SAFE_NO_PAD.encode(vec![7; length]);
        for (length, read) in [(1, true), (64, true), (256, true), (1_024, true), (1_030, false)] {
            let text = format!("a.b.{}", text(length));
            let parts = TokenParts::of(text.as_bytes()).unwrap();
            assert_eq!(parts.with_signature(<[u8]>::len), read.then_some(length), "{length}");
        }
    }

    #[test]
    fn a_header_that_asks_for_more_is_refused() {
        let algorithm = |json: &str| TokenHeader::of(json.as_bytes()).map(|(_, algorithm)| algorithm);
        assert_eq!(
            algorithm(r#"{"alg":"RS256","jku":"https://evil.example"}"#),
            Some(Algorithm::Rs256)
        );
        assert_eq!(algorithm(r#"{"alg":"EdDSA","b64":true}"#), Some(Algorithm::EdDsa));
        for json in [
            r#"{}"#,
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"rs256"}"#,
            r#"{"alg":null}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256","typ":null}"#,
            r#"{"alg":"RS256","crit":[]}"#,
            r#"{"alg":"RS256","crit":["exp"]}"#,
            r#"{"alg":"RS256","b64":false}"#,
            r#"{"alg":"RS256","b64":"true"}"#,
            r#"{"alg":"RS256","enc":"A256GCM"}"#,
            r#"{"alg":"RS256","jwk":{"kty":"RSA","kty":"RSA"}}"#,
        ] {
            assert_eq!(algorithm(json), None, "{json}");
        }
    }

    #[test]
    fn dates_are_whole_or_not_and_never_absurd() {
        let date = |number: &str| {
            let json = format!(r#"{{"exp":{number}}}"#);
            TokenClaims::of(json.as_bytes()).ok()?.expires.map(|date| date.0)
        };
        assert_eq!(date("0"), Some(Duration::ZERO));
        assert_eq!(date("1300.25"), Some(Duration::from_millis(1_300_250)));
        assert_eq!(date("1.3e3"), Some(Duration::from_secs(1_300)));
        assert_eq!(date("253402300799"), Some(Duration::from_secs(LAST_SECOND)));
        for number in [
            "-1",
            "-0.5",
            "253402300800",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "1e999",
            "\"1300\"",
            "null",
            "true",
            "[1]",
            "{}",
            "NaN",
        ] {
            assert_eq!(date(number), None, "{number}");
        }
    }

    #[test]
    fn scopes_come_from_both_claims() {
        let scopes = |json: &str| {
            let claims = TokenClaims::of(json.as_bytes()).unwrap();
            claims.scopes().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(scopes(r#"{}"#), [""; 0]);
        assert_eq!(scopes(r#"{"scope":" a  b "}"#), ["a", "b"]);
        assert_eq!(scopes(r#"{"scp":"a b"}"#), ["a", "b"]);
        assert_eq!(scopes(r#"{"scope":"a","scp":["b","c d",""]}"#), ["a", "b", "c d"]);
        assert_eq!(scopes(r#"{"scope":["a","b c",""]}"#), ["a", "b c"]);
        assert_eq!(scopes(r#"{"scope":["a"],"scp":"b c"}"#), ["a", "b", "c"]);
    }
}
