//! The claims that every token is checked for.

use std::borrow::Cow;

use serde_core::{Deserialize, de::MapAccess};
use serde_json::Value;

use crate::auth::token::{
    confirmation::ConfirmationClaim,
    json::{self, IgnoredValue, JsonStr, OneOrMany, ReadMembers},
    numeric_date::NumericDate,
};

/// The claims that the verifier checks. The identity keeps the others as JSON.
#[derive(Default)]
pub(crate) struct TokenClaims<'a> {
    pub(crate) issuer: Option<Cow<'a, str>>,
    pub(crate) subject: Option<Cow<'a, str>>,
    pub(crate) audience: Option<OneOrMany<'a>>,
    pub(crate) client_id: Option<Cow<'a, str>>,
    /// `azp` of OpenID Connect Core section 2.
    pub(crate) authorized_party: Option<Cow<'a, str>>,
    pub(crate) token_use: Option<Cow<'a, str>>,
    pub(crate) expires: Option<NumericDate>,
    pub(crate) not_before: Option<NumericDate>,
    pub(crate) issued: Option<NumericDate>,
    pub(crate) token_id: Option<Cow<'a, str>>,
    pub(crate) scope: Option<OneOrMany<'a>>,
    pub(crate) scp: Option<OneOrMany<'a>>,
    /// `cnf` of RFC 7800.
    pub(crate) confirmation: Option<ConfirmationClaim>,
}

impl<'a> TokenClaims<'a> {
    pub(crate) fn parse(json: &'a [u8]) -> Result<Self, ClaimsError> {
        json::object(json, Self::default()).ok_or_else(|| ClaimsError::find(json))
    }

    /// Returns the scopes of `scope` and `scp`. `scope` is a string with spaces (RFC 8693 section
    /// 4.2). IdentityServer, Spring and PingFederate write an array instead. `scp` is a string or
    /// an array.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
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
            "azp" => self.authorized_party = Some(map.next_value::<JsonStr<'_>>()?.0),
            "token_use" => self.token_use = Some(map.next_value::<JsonStr<'_>>()?.0),
            "exp" => self.expires = Some(map.next_value()?),
            "nbf" => self.not_before = Some(map.next_value()?),
            "iat" => self.issued = Some(map.next_value()?),
            "jti" => self.token_id = Some(map.next_value::<JsonStr<'_>>()?.0),
            "scope" => self.scope = Some(map.next_value()?),
            "scp" => self.scp = Some(map.next_value()?),
            "cnf" => self.confirmation = Some(map.next_value()?),
            _ => {
                map.next_value::<IgnoredValue>()?;
            }
        }
        Ok(())
    }
}

/// The reason that the payload of a token is not a set of claims.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ClaimsError {
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
        const OBJECT: ExpectedType =
            ("an object of strings", |value| ConfirmationClaim::deserialize(value).is_ok());
        const CLAIMS: [(&str, ExpectedType); 13] = [
            ("iss", STRING),
            ("sub", STRING),
            ("aud", STRINGS),
            ("client_id", STRING),
            ("azp", STRING),
            ("token_use", STRING),
            ("exp", DATE),
            ("nbf", DATE),
            ("iat", DATE),
            ("jti", STRING),
            ("scope", STRINGS),
            ("scp", STRINGS),
            ("cnf", OBJECT),
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

/// Returns the `iss` of a token whose signature is not verified. It only selects the keys.
///
/// The whole payload is read with the same strictness as later, so both readings agree.
pub(crate) fn unverified_issuer(json: &[u8]) -> Option<Cow<'_, str>> {
    json::object(json, IssuerOnly::default())?.0
}

#[derive(Default)]
struct IssuerOnly<'a>(Option<Cow<'a, str>>);

impl<'a> ReadMembers<'a> for IssuerOnly<'a> {
    fn member<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        if name == "iss" {
            self.0 = Some(map.next_value::<JsonStr<'_>>()?.0);
        } else {
            map.next_value::<IgnoredValue>()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
