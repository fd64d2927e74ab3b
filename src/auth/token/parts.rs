//! The parts of a token and its header. Nothing in them is trusted before the signature is
//! verified.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_core::de::MapAccess;

use super::json::{self, IgnoredValue, JsonStr, ReadMembers};
use crate::auth::algorithm::Algorithm;

/// The length of an RSA signature with 8,192 bits. No other signature is longer.
const MAX_SIGNATURE_BYTES: usize = 1_024;

/// Decodes base64url without padding (RFC 7515 section 2). Unused bits must be zero, so that a
/// signature has one encoding.
pub(super) fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The three parts of a JWS in compact serialization (RFC 7515 section 7.1).
#[derive(Clone, Copy)]
pub(crate) struct TokenParts<'a> {
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    pub(super) signature: &'a [u8],
    /// The signed bytes: header, dot and payload.
    pub(super) signed: &'a [u8],
}

impl<'a> TokenParts<'a> {
    /// Returns `None` unless the token has exactly three parts and none is empty. A JWE has five
    /// parts.
    pub(crate) fn split(token: &'a [u8]) -> Option<Self> {
        let mut parts = token.split(|byte| *byte == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let three = parts.next().is_none();
        if !three || header.is_empty() || payload.is_empty() || signature.is_empty() {
            return None;
        }
        let signed = token.get(..header.len() + 1 + payload.len())?;
        Some(Self { header, payload, signature, signed })
    }

    /// Passes the decoded signature to `verify`. Returns `None` if it cannot be decoded.
    pub(super) fn with_signature<T>(&self, verify: impl FnOnce(&[u8]) -> T) -> Option<T> {
        // The decoder writes blocks of three bytes.
        let mut buffer = [0; MAX_SIGNATURE_BYTES + 2];
        let length = URL_SAFE_NO_PAD.decode_slice(self.signature, &mut buffer);
        length.ok().and_then(|length| buffer.get(..length)).map(verify)
    }
}

/// The header parameters that affect verification.
///
/// No key is ever taken from the header (RFC 8725 section 3.10). `jku` and `x5c` are ignored, because
/// real providers send them: SAP's XSUAA and Cloud Foundry's UAA put `jku` into every token
/// (SAP/cloud-security-services-integration-library#242). No known provider sends `jwk` or `x5u` in a
/// token, and another reader may use the key, so such a token is rejected (CVE-2018-0114).
#[derive(Default)]
pub(super) struct TokenHeader<'a> {
    pub(super) algorithm: Option<Cow<'a, str>>,
    pub(super) key_id: Option<Cow<'a, str>>,
    pub(super) token_type: Option<Cow<'a, str>>,
    unsupported: Option<&'static str>,
}

impl<'a> TokenHeader<'a> {
    /// Returns `None` if the header is malformed.
    pub(super) fn parse(json: &'a [u8]) -> Option<Self> {
        json::object(json, Self::default())
    }

    /// Returns the algorithm. The error is for the log: the algorithm is unknown or the header
    /// requires an unsupported feature.
    pub(super) fn supported_algorithm(&self) -> Result<Algorithm, &'static str> {
        if let Some(reason) = self.unsupported {
            return Err(reason);
        }
        let algorithm = self.algorithm.as_deref().ok_or("the header has no `alg`")?;
        Algorithm::from_name(algorithm).ok_or("the algorithm is not supported")
    }
}

impl<'a> ReadMembers<'a> for TokenHeader<'a> {
    fn member<A: MapAccess<'a>>(&mut self, name: &str, map: &mut A) -> Result<(), A::Error> {
        let reason = match name {
            "alg" => {
                self.algorithm = Some(map.next_value::<JsonStr<'_>>()?.0);
                return Ok(());
            }
            "kid" => {
                self.key_id = Some(map.next_value::<JsonStr<'_>>()?.0);
                return Ok(());
            }
            "typ" => {
                self.token_type = Some(map.next_value::<JsonStr<'_>>()?.0);
                return Ok(());
            }
            // The signature of an unencoded payload (RFC 7797) covers other bytes than the parsed
            // ones.
            "b64" => {
                if !map.next_value::<bool>()? {
                    self.unsupported = Some("the header has `b64` false");
                }
                return Ok(());
            }
            // `crit` lists extensions that a verifier must understand (RFC 7515 section 4.1.11).
            // This one understands none.
            "crit" => Some("the header has `crit`"),
            // It marks an encrypted token (RFC 7516 section 9).
            "enc" => Some("the token is encrypted"),
            "jwk" => Some("the header has a key of its own in `jwk`"),
            "x5u" => Some("the header has a link to a key in `x5u`"),
            _ => None,
        };
        map.next_value::<IgnoredValue>()?;
        self.unsupported = reason.or(self.unsupported);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_has_three_parts_that_are_not_empty() {
        let parts = TokenParts::split(b"ab.cd.ef").unwrap();
        assert_eq!(
            (parts.header, parts.payload, parts.signature),
            (&b"ab"[..], &b"cd"[..], &b"ef"[..])
        );
        assert_eq!(parts.signed, b"ab.cd");
        for token in
            ["", ".", "..", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c.d.e", "a.b.c."]
        {
            assert!(TokenParts::split(token.as_bytes()).is_none(), "{token}");
        }
    }

    #[test]
    fn base64url_has_one_encoding() {
        assert_eq!(base64url(b"_-8").unwrap(), [0xff, 0xef]);
        // Padding. The standard alphabet. White space. Unused bits that are not zero. One
        // character.
        for text in ["_-8=", "/+8", "_-8\n", " _-8", "_-9", "_-_-_", "é"] {
            assert!(base64url(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn longest_signature_is_decoded_and_a_longer_one_is_not() {
        let text = |length: usize| URL_SAFE_NO_PAD.encode(vec![7; length]);
        for (length, decoded) in [(1, true), (64, true), (256, true), (1_024, true), (1_030, false)]
        {
            let text = format!("a.b.{}", text(length));
            let parts = TokenParts::split(text.as_bytes()).unwrap();
            assert_eq!(parts.with_signature(<[u8]>::len), decoded.then_some(length), "{length}");
        }
    }

    #[test]
    fn header_with_an_unsupported_feature_is_rejected() {
        let algorithm =
            |json: &str| TokenHeader::parse(json.as_bytes())?.supported_algorithm().ok();
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
            r#"{"alg":"RS256","jwk":{"kty":"RSA"}}"#,
            r#"{"alg":"RS256","x5u":"https://evil.example/cert.pem"}"#,
            r#"{"alg":"RS256","x":{"kty":"RSA","kty":"RSA"}}"#,
        ] {
            assert_eq!(algorithm(json), None, "{json}");
        }
    }
}
