//! One key of a set (RFC 7517): what its members allow, and the numbers of its public half.
//!
//! Only the members that decide are read. The others (`x5c`, `x5t`, an issuer's own) are ignored, as
//! RFC 7517 section 4 has it, however they are written: Oracle pads `x5t`, others put no certificate
//! into `x5c`.

use std::fmt;

use aws_lc_rs::{
    error::KeyRejected,
    signature::{ParsedPublicKey, RsaPublicKeyComponents},
};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

use super::algorithm::{Algorithm, SignatureScheme};

/// Why a key of a set is not used. Written for the operator.
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
    /// Refused by the library that verifies.
    InvalidKey,
    /// One more than are taken.
    TooMany,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAString(member) => return write!(f, "{member} is not a string"),
            Self::Missing(member) => return write!(f, "{member} is missing"),
            Self::NotBase64(member) => return write!(f, "{member} is not base64url"),
            Self::NotAnObject => "not an object",
            Self::Encryption => "for encryption",
            Self::Use => "use is not sig",
            Self::Operations => "key_ops has no verify",
            Self::Algorithm => "alg is not supported",
            Self::Symmetric => "a symmetric key",
            Self::Type => "kty is not supported",
            Self::Curve => "crv is not supported",
            Self::AlgorithmMismatch => "alg is for another kty or crv",
            Self::Modulus => "n has not 2048 to 8192 bits",
            Self::Exponent => "e is even, below 65537 or above 33 bits",
            Self::Point => "the point is not on the curve",
            Self::InvalidKey => "not a sound public key",
            Self::TooMany => "beyond the number of keys that are taken",
        })
    }
}

/// A public key, bound to the algorithms that its own members leave to it.
pub(super) struct VerificationKey {
    pub(super) id: Option<Box<str>>,
    verifiers: Box<[(Algorithm, ParsedPublicKey)]>,
}

impl VerificationKey {
    pub(super) fn of(jwk: &Value) -> Result<Self, SkipReason> {
        let jwk = Jwk(jwk);
        if !jwk.0.is_object() {
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
        Ok(Self { id: jwk.text("kid")?.map(Into::into), verifiers: verifiers.into() })
    }

    pub(super) fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.verifiers.iter().find(|(own, _)| *own == algorithm).map(|(_, key)| key)
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

/// The members of one key.
struct Jwk<'a>(&'a Value);

impl<'a> Jwk<'a> {
    /// A member that is there. Serializers that do not leave out what is not set write `null`:
    /// <https://github.com/Abblix/Oidc.Server/pull/263>.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, SkipReason> {
        let text = |value: &'a Value| value.as_str().ok_or(SkipReason::NotAString(name));
        self.get(name).map(text).transpose()
    }

    fn octets(&self, name: &'static str) -> Result<Vec<u8>, SkipReason> {
        let text = self.text(name)?.ok_or(SkipReason::Missing(name))?;
        decode_base64(text).ok_or(SkipReason::NotBase64(name))
    }

    /// The algorithms that are left by `use`, `key_ops` and `alg` (RFC 7517 section 4). A key may say
    /// in three ways what it is for, and all of them count.
    fn algorithms(&self) -> Result<&'static [Algorithm], SkipReason> {
        match self.text("use")? {
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
        let bound = Algorithm::ALL.chunks(1).find(|one| one.iter().all(|own| own.name() == name));
        bound.ok_or_else(|| {
            let encrypts = name.starts_with("RSA") || name.starts_with("ECDH-ES");
            if encrypts { SkipReason::Encryption } else { SkipReason::Algorithm }
        })
    }

    /// An empty array is how Microsoft.IdentityModel writes a `key_ops` that was never set, and a
    /// plain string is how Janssen wrote a single one:
    /// <https://github.com/AzureAD/azure-activedirectory-identitymodel-extensions-for-dotnet/issues/2254>,
    /// <https://github.com/JanssenProject/jans/issues/3777>.
    fn may_verify(&self) -> bool {
        match self.get("key_ops") {
            None => true,
            Some(Value::Array(all)) => all.is_empty() || all.iter().any(|one| one == "verify"),
            Some(one) => one == "verify",
        }
    }

    fn material(&self) -> Result<KeyMaterial, SkipReason> {
        match self.text("kty")?.ok_or(SkipReason::Missing("kty"))? {
            "RSA" => {
                let (n, e) = (without_leading_zeros(self.octets("n")?), without_leading_zeros(self.octets("e")?));
                if !is_valid_modulus(&n) {
                    return Err(SkipReason::Modulus);
                }
                if !is_valid_exponent(&e) {
                    return Err(SkipReason::Exponent);
                }
                Ok(KeyMaterial::Rsa { n, e })
            }
            "EC" => {
                let (length, material): (_, fn(_) -> _) = match self.text("crv")? {
                    Some("P-256") => (32, KeyMaterial::P256),
                    Some("P-384") => (48, KeyMaterial::P384),
                    _ => return Err(SkipReason::Curve),
                };
                point(&self.octets("x")?, &self.octets("y")?, length)
                    .map(material)
                    .ok_or(SkipReason::Point)
            }
            "OKP" if self.text("crv")? == Some("Ed25519") => {
                // An encoding of RFC 8032 section 5.1.5, not a number: nothing is added or dropped.
                let x = self.octets("x")?;
                if x.len() == 32 { Ok(KeyMaterial::Ed25519(x)) } else { Err(SkipReason::Point) }
            }
            // Of no use but to agree on a key (RFC 8037 section 3.2).
            "OKP" if matches!(self.text("crv")?, Some("X25519" | "X448")) => Err(SkipReason::Encryption),
            "OKP" => Err(SkipReason::Curve),
            "oct" => Err(SkipReason::Symmetric),
            _ => Err(SkipReason::Type),
        }
    }
}

/// base64url (RFC 7518 section 2), or what writers make of it: padded, or in the standard alphabet.
/// Each spelling has one meaning, and a key is no signature, whose spelling matters.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok()
}

/// A number without leading zero octets. RFC 7518 section 6.3.1.1 says that writers add one.
fn without_leading_zeros(mut octets: Vec<u8>) -> Vec<u8> {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    octets.drain(..zeros);
    octets
}

/// 2,048 bits is what RFC 7518 section 3.3 asks for; 8,192 bounds what a signature costs.
fn is_valid_modulus(n: &[u8]) -> bool {
    let Some(first @ 1..) = n.first() else {
        return false;
    };
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    (2_048..=8_192).contains(&bits)
}

/// From 2^16 + 1 (FIPS 186-5 section 5.1), odd: with an exponent of one, anybody signs.
fn is_valid_exponent(e: &[u8]) -> bool {
    let value = e.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    e.len() <= 5 && value % 2 == 1 && (65_537..1 << 33).contains(&value)
}

/// A point as SEC 1 section 2.3.3 writes it uncompressed. Coordinates have the full length (RFC 7518
/// section 6.2.1.2); Keycloak and others drop leading zeros or add one:
/// <https://github.com/keycloak/keycloak/issues/14933>. The number is the same, and a point that is
/// not on the curve is refused after this.
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

/// A public key's numbers, not yet bound to an algorithm.
enum KeyMaterial {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl KeyMaterial {
    /// `None` when the algorithm is of another type or curve.
    fn parse(&self, scheme: SignatureScheme) -> Option<Result<ParsedPublicKey, KeyRejected>> {
        match (self, scheme) {
            (Self::Rsa { n, e }, SignatureScheme::Rsa(scheme)) => {
                Some(RsaPublicKeyComponents { n, e }.to_parsed_public_key(scheme))
            }
            (Self::P256(point), SignatureScheme::P256(scheme))
            | (Self::P384(point), SignatureScheme::P384(scheme)) => {
                Some(ParsedPublicKey::new(scheme, point))
            }
            (Self::Ed25519(point), SignatureScheme::Ed25519(scheme)) => {
                Some(ParsedPublicKey::new(scheme, point))
            }
            _ => None,
        }
    }

    /// Why it does not parse.
    const fn invalid_reason(&self) -> SkipReason {
        match self {
            Self::Rsa { .. } => SkipReason::InvalidKey,
            Self::P256(_) | Self::P384(_) | Self::Ed25519(_) => SkipReason::Point,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modulus_has_2048_to_8192_bits() {
        let modulus = |first: u8, length: usize| [vec![first], vec![0xff; length - 1]].concat();
        assert!(is_valid_modulus(&modulus(0x80, 256)));
        assert!(is_valid_modulus(&modulus(0xff, 1_024)));
        assert!(is_valid_modulus(&without_leading_zeros(modulus(0x00, 257))));
        assert!(!is_valid_modulus(&modulus(0x7f, 256)));
        assert!(!is_valid_modulus(&modulus(0x01, 1_025)));
        assert!(!is_valid_modulus(&without_leading_zeros([vec![0, 0], modulus(0x7f, 256)].concat())));
        assert!(!is_valid_modulus(&without_leading_zeros(vec![0; 256])));
        assert!(!is_valid_modulus(&[]));
    }

    #[test]
    fn an_exponent_is_odd_and_not_small() {
        assert!(is_valid_exponent(&[1, 0, 1]));
        assert!(is_valid_exponent(&without_leading_zeros(vec![0, 0, 0, 1, 0, 1])));
        assert!(is_valid_exponent(&[1, 0xff, 0xff, 0xff, 0xff]));
        let refused: [&[u8]; 8] = [
            &[],
            &[0],
            &[1],
            &[3],
            &[1, 0, 0],
            &[0xff, 0xff],
            &[2, 0, 0, 0, 1],
            &[1, 0, 0, 0, 0, 1],
        ];
        for e in refused {
            assert!(!is_valid_exponent(&without_leading_zeros(e.to_vec())), "{e:?}");
        }
    }

    #[test]
    fn octets_are_read_in_each_spelling_of_base64() {
        for text in ["-_8B", "+/8B"] {
            assert_eq!(decode_base64(text), Some(vec![0xfb, 0xff, 1]), "{text}");
        }
        for text in ["_w", "_w=", "_w==", "/w", "/w=="] {
            assert_eq!(decode_base64(text), Some(vec![0xff]), "{text}");
        }
        // Two alphabets in one, wrong padding, white space, bits that encode nothing.
        for text in ["-/8B", "AQAB=", "_w===", " AQAB", "AQ\nAB", "_x", "A", "é"] {
            assert_eq!(decode_base64(text), None, "{text}");
        }
    }

    #[test]
    fn coordinates_are_as_long_as_the_curve() {
        assert_eq!(point(&[1, 2], &[3, 4], 2), Some(vec![4, 1, 2, 3, 4]));
        assert_eq!(point(&[2], &[0, 3, 4], 2), Some(vec![4, 0, 2, 3, 4]));
        assert_eq!(point(&[], &[0, 0, 0], 2), Some(vec![4, 0, 0, 0, 0]));
        assert_eq!(point(&[1, 2, 3], &[4], 2), None);
    }
}
