//! The client's key in the header of a proof.

use std::borrow::Cow;

use bytes::Bytes;
use serde_core::{Deserialize, Deserializer, de::MapAccess};

use super::sha256::sha256;
use crate::auth::{
    keys::Keys,
    token::json::{self, IgnoredValue, JsonStr, ReadMembers},
};

/// The members of a JWK that are in its thumbprint.
#[derive(Default)]
pub(super) struct ProofKey<'a> {
    kind: Option<Cow<'a, str>>,
    curve: Option<Cow<'a, str>>,
    x: Option<Cow<'a, str>>,
    y: Option<Cow<'a, str>>,
    n: Option<Cow<'a, str>>,
    e: Option<Cow<'a, str>>,
    private: bool,
}

impl ProofKey<'_> {
    /// Returns the key and its thumbprint (RFC 7638). Returns `None` if the key is unsupported or
    /// private.
    pub(super) fn public_key(&self) -> Option<(Keys, [u8; 32])> {
        let jwk = self.canonical()?;
        let thumbprint = sha256(jwk.as_bytes())?;
        let keys = Keys::parse(Bytes::from(format!(r#"{{"keys":[{jwk}]}}"#))).ok()?;
        (keys.count() == 1).then_some((keys, thumbprint))
    }

    /// Returns the required members in the order of their names (RFC 7638 section 3.2).
    fn canonical(&self) -> Option<String> {
        let text = |member: &Option<Cow<'_, str>>| {
            let text = member.as_deref()?;
            let plain = text
                .bytes()
                .all(|b| matches!(b, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
            plain.then(|| text.to_owned())
        };
        if self.private {
            return None;
        }
        let kind = text(&self.kind)?;
        Some(match &*kind {
            "EC" => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                text(&self.curve)?,
                text(&self.x)?,
                text(&self.y)?
            ),
            "OKP" => format!(
                r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#,
                text(&self.curve)?,
                text(&self.x)?
            ),
            "RSA" => {
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(&self.e)?, text(&self.n)?)
            }
            _ => return None,
        })
    }
}

impl<'de> Deserialize<'de> for ProofKey<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        json::read_object(deserializer, Self::default())
    }
}

impl<'de> ReadMembers<'de> for ProofKey<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let member = match name {
            "kty" => &mut self.kind,
            "crv" => &mut self.curve,
            "x" => &mut self.x,
            "y" => &mut self.y,
            "n" => &mut self.n,
            "e" => &mut self.e,
            other => {
                // RFC 7518 sections 6.2.2, 6.3.2 and 6.4.
                self.private |= matches!(other, "d" | "p" | "q" | "dp" | "dq" | "qi" | "oth" | "k");
                return map.next_value::<IgnoredValue>().map(|_| ());
            }
        };
        *member = Some(map.next_value::<JsonStr<'_>>()?.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn thumbprint_is_that_of_the_rfc() {
        // RFC 7638 section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let json =
            format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","alg":"RS256","kid":"2011-04-29"}}"#);
        let key: ProofKey<'_> = serde_json::from_str(&json).unwrap();
        let (_, thumbprint) = key.public_key().unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(thumbprint),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn private_and_symmetric_keys_are_rejected() {
        let x = "TAo6xk3SGOoph6-GLFvz3PwbcPWC3eB3X-d9LG1dBqI";
        let key = |more: &str| {
            let json = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"{more}}}"#);
            let key: ProofKey<'_> = serde_json::from_str(&json).unwrap();
            key.public_key().is_some()
        };
        assert!(key(""));
        assert!(!key(r#","d":"AAAA""#) && !key(r#","k":"AAAA""#));
        for json in [
            r#"{"kty":"oct","k":"AAAA"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"AAAA"}"#,
            r#"{"kty":"OKP","crv":"X\"","x":"AAAA"}"#,
            r#"{"kty":"OKP","crv":"Ed448","x":"AAAA"}"#,
            "{}",
        ] {
            let key: ProofKey<'_> = serde_json::from_str(json).unwrap();
            assert!(key.public_key().is_none(), "{json}");
        }
    }
}
