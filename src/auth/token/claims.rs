//! The claims of a token.

use std::{borrow::Cow, time::Duration};

use serde_core::{
    Deserialize, Deserializer,
    de::{Error, MapAccess},
};
use serde_json::{Number, Value};

use super::json::{self, IgnoredValue, JsonStr, OneOrMany, ReadMembers};

/// The last second of the year 9999. RFC 3339 cannot express a later one.
const LAST_SECOND: u64 = 253_402_300_799;

/// The claims that the verifier checks. The identity keeps the others as JSON.
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
    pub(super) fn parse(json: &'a [u8]) -> Result<Self, ClaimsError> {
        json::object(json, Self::default()).ok_or_else(|| ClaimsError::find(json))
    }

    /// Returns the scopes of `scope` and `scp`. `scope` is a string with spaces (RFC 8693 section
    /// 4.2). IdentityServer, Spring and PingFederate write an array instead. `scp` is a string or
    /// an array.
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

/// The reason that the payload of a token is not a set of claims.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ClaimsError {
    /// The payload is not a JSON object or repeats a member name.
    NotAnObject,
    /// The claim does not have the expected type.
    WrongType { claim: &'static str, expected: &'static str },
}

impl ClaimsError {
    /// Finds the first claim with a wrong type. This is separate from parsing, so that valid tokens
    /// do not pay for it.
    #[cold]
    fn find(json: &[u8]) -> Self {
        const STRING: ExpectedType = ("a string", |value| value.is_string());
        const STRINGS: ExpectedType =
            ("a string or an array of strings", |value| OneOrMany::deserialize(value).is_ok());
        const DATE: ExpectedType =
            ("a number of seconds since 1970", |value| NumericDate::deserialize(value).is_ok());
        const CLAIMS: [(&str, ExpectedType); 11] = [
            ("iss", STRING),
            ("sub", STRING),
            ("aud", STRINGS),
            ("client_id", STRING),
            ("token_use", STRING),
            ("exp", DATE),
            ("nbf", DATE),
            ("iat", DATE),
            ("jti", STRING),
            ("scope", STRINGS),
            ("scp", STRINGS),
        ];
        let claims: Value = serde_json::from_slice(json).unwrap_or_default();
        let wrong_type = CLAIMS.into_iter().find_map(|(claim, (expected, has_type))| {
            let value = claims.get(claim)?;
            (!has_type(value)).then_some(Self::WrongType { claim, expected })
        });
        wrong_type.unwrap_or(Self::NotAnObject)
    }
}

/// The type of a claim in words and the check for it.
type ExpectedType = (&'static str, fn(&Value) -> bool);

/// Seconds since 1970-01-01 UTC with an optional fraction (RFC 7519 section 2). The last one is in
/// the year 9999.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct NumericDate(pub(super) Duration);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        let since_epoch = match number.as_u64() {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        };
        since_epoch
            .filter(|since_epoch| *since_epoch <= Duration::from_secs(LAST_SECOND))
            .map(Self)
            .ok_or_else(|| D::Error::custom("expected seconds since 1970"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_an_optional_fraction_and_a_maximum() {
        let date = |number: &str| {
            let json = format!(r#"{{"exp":{number}}}"#);
            TokenClaims::parse(json.as_bytes()).ok()?.expires.map(|date| date.0)
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
            let claims = TokenClaims::parse(json.as_bytes()).unwrap();
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
