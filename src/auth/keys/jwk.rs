//! One key of a set (RFC 7517).
//!
//! Only the members that affect verification are read. All other members are ignored in any form
//! (RFC 7517 section 4). Oracle pads `x5t` and other issuers put text without a certificate into
//! `x5c`.

use std::{borrow::Cow, fmt};

use crate::{
    auth::algorithm::{Algorithm, SignatureScheme},
    payload::{Kind, Node},
};
use aws_lc_rs::{
    error::KeyRejected,
    signature::{ParsedPublicKey, RsaPublicKeyComponents},
};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// Why a key of a set is skipped. The operator's log shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SkipReason {
    NotAnObject,
    NotAString(&'static str),
    Missing(&'static str),
    NotBase64(&'static str),
    Encryption,
    Use,
    Operations,
    Algorithm,
    Symmetric,
    Type,
    Curve,
    AlgorithmMismatch,
    Modulus,
    Exponent,
    Point,
    /// Rejected by the cryptography library.
    InvalidKey,
    /// Beyond the maximum number of keys in a set.
    TooMany,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAString(member) => return write!(f, "{member} is not a string"),
            Self::Missing(member) => return write!(f, "{member} is missing"),
            Self::NotBase64(member) => return write!(f, "{member} is not base64url"),
            Self::NotAnObject => "the key is not an object",
            Self::Encryption => "the key is for encryption",
            Self::Use => "use is not `sig`",
            Self::Operations => "key_ops does not contain `verify`",
            Self::Algorithm => "alg is not supported",
            Self::Symmetric => "the key is symmetric",
            Self::Type => "kty is not supported",
            Self::Curve => "crv is not supported",
            Self::AlgorithmMismatch => "alg does not match kty or crv",
            Self::Modulus => "n does not have 2048 to 8192 bits",
            Self::Exponent => "e is not an odd number from 65537 to 2^33",
            Self::Point => "x and y are not a point on the curve",
            Self::InvalidKey => "the public key is invalid",
            Self::TooMany => "the set has too many keys",
        })
    }
}

/// A public key and the algorithms that its members allow.
pub(super) struct VerificationKey {
    pub(super) id: Option<Box<str>>,
    verifiers: Box<[(Algorithm, ParsedPublicKey)]>,
}

impl VerificationKey {
    pub(super) fn parse(jwk: Node<'_>) -> Result<Self, SkipReason> {
        let jwk = Jwk(jwk);
        if jwk.0.kind() != Kind::Object {
            return Err(SkipReason::NotAnObject);
        }
        let allowed = jwk.algorithms()?;
        let material = jwk.material()?;
        let mut verifiers = Vec::new();
        for algorithm in allowed {
            if let Some(key) = material.parse(algorithm.scheme()) {
                verifiers.push((*algorithm, key.map_err(|_| material.invalid_reason())?));
            }
        }
        if verifiers.is_empty() {
            return Err(SkipReason::AlgorithmMismatch);
        }
        Ok(Self {
            id: jwk.text("kid")?.map(|id| id.into_owned().into()),
            verifiers: verifiers.into(),
        })
    }

    pub(super) fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.verifiers.iter().find(|(allowed, _)| *allowed == algorithm).map(|(_, key)| key)
    }
}

impl Eq for VerificationKey {}

impl PartialEq for VerificationKey {
    fn eq(&self, other: &Self) -> bool {
        fn parts(key: &VerificationKey) -> impl Iterator<Item = (Algorithm, &[u8])> {
            key.verifiers.iter().map(|(algorithm, key)| (*algorithm, key.as_ref()))
        }
        self.id == other.id && parts(self).eq(parts(other))
    }
}

// === impl Jwk ===

/// The JSON form of a key.
struct Jwk<'a>(Node<'a>);

impl<'a> Jwk<'a> {
    /// Returns the value of a member. `null` counts as absent, because some serializers write it
    /// for unset members: <https://github.com/Abblix/Oidc.Server/pull/263>.
    fn get(&self, name: &str) -> Option<Node<'a>> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, SkipReason> {
        let text = |value: Node<'a>| value.as_str().ok_or(SkipReason::NotAString(name));
        self.get(name).map(text).transpose()
    }

    fn octets(&self, name: &'static str) -> Result<Vec<u8>, SkipReason> {
        let text = self.text(name)?.ok_or(SkipReason::Missing(name))?;
        decode_base64(&text).ok_or(SkipReason::NotBase64(name))
    }

    /// Returns the algorithms that `use`, `key_ops` and `alg` all allow (RFC 7517 section 4).
    fn algorithms(&self) -> Result<&'static [Algorithm], SkipReason> {
        match self.text("use")?.as_deref() {
            None | Some("sig") => {}
            Some("enc") => return Err(SkipReason::Encryption),
            Some(_) => return Err(SkipReason::Use),
        }
        if !self.may_verify() {
            return Err(SkipReason::Operations);
        }
        let Some(name) = self.text("alg")? else {
            return Ok(Algorithm::ALL);
        };
        let named = Algorithm::from_name(&name);
        let only = Algorithm::ALL.chunks(1).find(|one| one.first().copied() == named);
        only.ok_or_else(|| {
            let encrypts = name.starts_with("RSA") || name.starts_with("ECDH-ES");
            if encrypts { SkipReason::Encryption } else { SkipReason::Algorithm }
        })
    }

    /// Checks `key_ops`. Microsoft.IdentityModel writes an empty array for an unset member. Janssen
    /// wrote a single operation as a string:
    /// <https://github.com/AzureAD/azure-activedirectory-identitymodel-extensions-for-dotnet/issues/2254>,
    /// <https://github.com/JanssenProject/jans/issues/3777>.
    fn may_verify(&self) -> bool {
        let is_verify =
            |operation: Node<'_>| operation.as_str().is_some_and(|name| name == "verify");
        match self.get("key_ops") {
            None => true,
            Some(list) if list.kind() == Kind::Array => {
                list.is_empty() || list.elements().any(is_verify)
            }
            Some(operation) => is_verify(operation),
        }
    }

    fn material(&self) -> Result<KeyMaterial, SkipReason> {
        match &*self.text("kty")?.ok_or(SkipReason::Missing("kty"))? {
            "RSA" => {
                let (n, e) = (
                    without_leading_zeros(self.octets("n")?),
                    without_leading_zeros(self.octets("e")?),
                );
                if !is_valid_modulus(&n) {
                    return Err(SkipReason::Modulus);
                }
                if !is_valid_exponent(&e) {
                    return Err(SkipReason::Exponent);
                }
                Ok(KeyMaterial::Rsa { n, e })
            }
            "EC" => {
                let (length, material): (_, fn(_) -> _) = match self.text("crv")?.as_deref() {
                    Some("P-256") => (32, KeyMaterial::P256),
                    Some("P-384") => (48, KeyMaterial::P384),
                    Some("P-521") => (66, KeyMaterial::P521),
                    _ => return Err(SkipReason::Curve),
                };
                point(&self.octets("x")?, &self.octets("y")?, length)
                    .map(material)
                    .ok_or(SkipReason::Point)
            }
            "OKP" if self.text("crv")?.as_deref() == Some("Ed25519") => {
                // An encoding (RFC 8032 section 5.1.5) and not a number. Its length is exact.
                let x = self.octets("x")?;
                if x.len() == 32 { Ok(KeyMaterial::Ed25519(x)) } else { Err(SkipReason::Point) }
            }
            // These curves only agree on keys (RFC 8037 section 3.2).
            "OKP" if matches!(self.text("crv")?.as_deref(), Some("X25519" | "X448")) => {
                Err(SkipReason::Encryption)
            }
            "OKP" => Err(SkipReason::Curve),
            "oct" => Err(SkipReason::Symmetric),
            _ => Err(SkipReason::Type),
        }
    }
}

/// Decodes base64url (RFC 7518 section 2). Padding and the standard alphabet are accepted too,
/// because issuers write them and each form has one meaning.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok()
}

/// Removes leading zero octets. RFC 7518 section 6.3.1.1 notes that some writers add one.
fn without_leading_zeros(mut octets: Vec<u8>) -> Vec<u8> {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    octets.drain(..zeros);
    octets
}

/// The minimum of 2,048 bits is from RFC 7518 section 3.3. The maximum of 8,192 bits bounds the
/// cost of a verification.
fn is_valid_modulus(n: &[u8]) -> bool {
    let Some(first @ 1..) = n.first() else {
        return false;
    };
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    (2_048..=8_192).contains(&bits)
}

/// The minimum of 2^16 + 1 is from FIPS 186-5 section 5.1. An exponent of 1 would accept any
/// signature.
fn is_valid_exponent(e: &[u8]) -> bool {
    let value = e.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    e.len() <= 5 && value % 2 == 1 && (65_537..1 << 33).contains(&value)
}

/// Returns the uncompressed form of a point (SEC 1 section 2.3.3). Coordinates should have the full
/// length (RFC 7518 section 6.2.1.2). Keycloak and others drop or add leading zeros:
/// <https://github.com/keycloak/keycloak/issues/14933>. The number is the same. A point outside of
/// the curve is rejected later.
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut point = vec![4];
    for coordinate in [x, y] {
        let zeros = coordinate.iter().take_while(|octet| **octet == 0).count();
        let number = coordinate.get(zeros..).unwrap_or_default();
        point.resize(point.len() + length.checked_sub(number.len())?, 0);
        point.extend_from_slice(number);
    }
    Some(point)
}

// === impl KeyMaterial ===

/// The numbers of a public key before it is bound to an algorithm.
enum KeyMaterial {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl KeyMaterial {
    /// Returns `None` if the algorithm has a different key type or curve.
    fn parse(&self, scheme: SignatureScheme) -> Option<Result<ParsedPublicKey, KeyRejected>> {
        match (self, scheme) {
            (Self::Rsa { n, e }, SignatureScheme::Rsa(scheme)) => {
                Some(RsaPublicKeyComponents { n, e }.to_parsed_public_key(scheme))
            }
            (Self::P256(point), SignatureScheme::P256(scheme))
            | (Self::P384(point), SignatureScheme::P384(scheme))
            | (Self::P521(point), SignatureScheme::P521(scheme)) => {
                Some(ParsedPublicKey::new(scheme, point))
            }
            (Self::Ed25519(point), SignatureScheme::Ed25519(scheme)) => {
                Some(ParsedPublicKey::new(scheme, point))
            }
            _ => None,
        }
    }

    /// Returns the reason for a failed [`parse`](Self::parse).
    const fn invalid_reason(&self) -> SkipReason {
        match self {
            Self::Rsa { .. } => SkipReason::InvalidKey,
            Self::P256(_) | Self::P384(_) | Self::P521(_) | Self::Ed25519(_) => SkipReason::Point,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modulus_has_2048_to_8192_bits() {
        let modulus = |first: u8, length: usize| [vec![first], vec![0xff; length - 1]].concat();
        assert!(is_valid_modulus(&modulus(0x80, 256)));
        assert!(is_valid_modulus(&modulus(0xff, 1_024)));
        assert!(is_valid_modulus(&without_leading_zeros(modulus(0x00, 257))));
        assert!(!is_valid_modulus(&modulus(0x7f, 256)));
        assert!(!is_valid_modulus(&modulus(0x01, 1_025)));
        assert!(!is_valid_modulus(&without_leading_zeros(
            [vec![0, 0], modulus(0x7f, 256)].concat()
        )));
        assert!(!is_valid_modulus(&without_leading_zeros(vec![0; 256])));
        assert!(!is_valid_modulus(&[]));
    }

    #[test]
    fn exponent_is_odd_and_not_small() {
        assert!(is_valid_exponent(&[1, 0, 1]));
        assert!(is_valid_exponent(&without_leading_zeros(vec![0, 0, 0, 1, 0, 1])));
        assert!(is_valid_exponent(&[1, 0xff, 0xff, 0xff, 0xff]));
        let rejected: [&[u8]; 8] = [
            &[],
            &[0],
            &[1],
            &[3],
            &[1, 0, 0],
            &[0xff, 0xff],
            &[2, 0, 0, 0, 1],
            &[1, 0, 0, 0, 0, 1],
        ];
        for e in rejected {
            assert!(!is_valid_exponent(&without_leading_zeros(e.to_vec())), "{e:?}");
        }
    }

    #[test]
    fn base64_is_decoded_in_each_common_form() {
        for text in ["-_8B", "+/8B"] {
            assert_eq!(decode_base64(text), Some(vec![0xfb, 0xff, 1]), "{text}");
        }
        for text in ["_w", "_w=", "_w==", "/w", "/w=="] {
            assert_eq!(decode_base64(text), Some(vec![0xff]), "{text}");
        }
        // Mixed alphabets. Wrong padding. White space. Unused bits that are not zero.
        for text in ["-/8B", "AQAB=", "_w===", " AQAB", "AQ\nAB", "_x", "A", "é"] {
            assert_eq!(decode_base64(text), None, "{text}");
        }
    }

    #[test]
    fn coordinates_have_the_length_of_the_curve() {
        assert_eq!(point(&[1, 2], &[3, 4], 2), Some(vec![4, 1, 2, 3, 4]));
        assert_eq!(point(&[2], &[0, 3, 4], 2), Some(vec![4, 0, 2, 3, 4]));
        assert_eq!(point(&[], &[0, 0, 0], 2), Some(vec![4, 0, 0, 0, 0]));
        assert_eq!(point(&[1, 2, 3], &[4], 2), None);
    }
}
