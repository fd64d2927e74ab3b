//! The JWT in the header `DPoP` (RFC 9449 section 4.2).

use std::borrow::Cow;

use serde_core::de::MapAccess;

use super::proof_key::ProofKey;
use crate::auth::token::{
    json::{self, IgnoredValue, JsonStr, ReadMembers},
    numeric_date::NumericDate,
};

#[derive(Default)]
pub(super) struct ProofHeader<'a> {
    pub(super) token_type: Option<Cow<'a, str>>,
    pub(super) algorithm: Option<Cow<'a, str>>,
    pub(super) key: Option<ProofKey<'a>>,
    pub(super) unsupported: bool,
}

impl<'a> ProofHeader<'a> {
    pub(super) fn parse(json: &'a [u8]) -> Option<Self> {
        json::object(json, Self::default())
    }
}

impl<'a> ReadMembers<'a> for ProofHeader<'a> {
    fn member<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        match name {
            "typ" => self.token_type = Some(map.next_value::<JsonStr<'_>>()?.0),
            "alg" => self.algorithm = Some(map.next_value::<JsonStr<'_>>()?.0),
            "jwk" => self.key = Some(map.next_value()?),
            other => {
                self.unsupported |= matches!(other, "crit" | "b64" | "enc");
                map.next_value::<IgnoredValue>()?;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
pub(super) struct ProofClaims<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) method: Option<Cow<'a, str>>,
    pub(super) target: Option<Cow<'a, str>>,
    pub(super) issued: Option<NumericDate>,
    pub(super) token_hash: Option<Cow<'a, str>>,
}

impl<'a> ProofClaims<'a> {
    pub(super) fn parse(json: &'a [u8]) -> Option<Self> {
        json::object(json, Self::default())
    }
}

impl<'a> ReadMembers<'a> for ProofClaims<'a> {
    fn member<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let text = match name {
            "jti" => &mut self.id,
            "htm" => &mut self.method,
            "htu" => &mut self.target,
            "ath" => &mut self.token_hash,
            "iat" => {
                self.issued = Some(map.next_value()?);
                return Ok(());
            }
            _ => return map.next_value::<IgnoredValue>().map(|_| ()),
        };
        *text = Some(map.next_value::<JsonStr<'_>>()?.0);
        Ok(())
    }
}
