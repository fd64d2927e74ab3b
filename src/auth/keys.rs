use std::{fmt, sync::Arc};

use aws_lc_rs::{
    error::KeyRejected,
    signature::{ParsedPublicKey, RsaPublicKeyComponents},
};
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations,
    PublicKeyUse,
};
use serde_core::Deserialize;
use serde_json::Value;

use super::{
    algorithm::{Algorithm, Scheme},
    error::KeysError,
    json::{self, SkippedMembers},
    token::base64url,
};

/// Keys taken from one set; what follows is skipped.
const MOST_KEYS: usize = 64;

/// A set of public keys (RFC 7517). Clones share it.
///
/// A key serves only what its own members allow: its type and curve, `alg`, `use` and `key_ops`. Keys
/// that serve nothing here (symmetric, for encryption, of an unknown type, RSA outside 2,048 to 8,192
/// bits) are skipped one by one, and the rest of the set stands. Of one set, 64 keys are taken.
///
/// Each key is parsed once, here. Nothing of it is printed but its `kid`.
#[derive(Clone, Eq, PartialEq)]
pub struct Keys(Arc<[Key]>);

impl Keys {
    /// Reads a JWK Set.
    ///
    /// # Errors
    ///
    /// [`KeysError::Malformed`] when this is not a JSON object with an array `keys`, or an object in
    /// it has a name twice; [`KeysError::NoUsableKey`] when none of its keys can verify anything.
    pub fn from_jwks(json: impl AsRef<[u8]>) -> Result<Self, KeysError> {
        let json = json.as_ref();
        json::object(json, SkippedMembers).ok_or(KeysError::Malformed)?;
        let set: Value = serde_json::from_slice(json).map_err(|_| KeysError::Malformed)?;
        let jwks = set.get("keys").and_then(Value::as_array).ok_or(KeysError::Malformed)?;

        let mut keys = Vec::new();
        for jwk in jwks {
            let key = if keys.len() < MOST_KEYS { Key::of(jwk) } else { Err("beyond the limit") };
            match key {
                Ok(key) => keys.push(key),
                Err(reason) => tracing::debug!(reason, "a key of the set is skipped"),
            }
        }
        if keys.is_empty() { Err(KeysError::NoUsableKey) } else { Ok(Self(keys.into())) }
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The keys that may have signed what says that it was signed by `key_id` with `algorithm`.
    pub(super) fn find(&self, key_id: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        if let Some(key_id) = key_id {
            let mut named =
                self.0.iter().filter(|key| key.id.as_deref() == Some(key_id)).peekable();
            if named.peek().is_none() {
                return Found::UnknownId;
            }
            let mut fitting = named.filter_map(|key| key.verifier(algorithm));
            Found::Keys([fitting.next(), fitting.next()])
        } else {
            // Nothing says which key it was, so there must be no choice.
            let mut fitting = self.0.iter().filter_map(|key| key.verifier(algorithm));
            let only = fitting.next().filter(|_| fitting.next().is_none());
            Found::Keys([only, None])
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| key.id.as_deref().unwrap_or("-"))).finish()
    }
}

/// What there is for a token in a set of keys.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// No key of this `kid`, of whatever algorithm.
    UnknownId,
    /// Those that fit, at most two: a `kid` that an old and a new key share while both are in use.
    Keys([Option<&'a ParsedPublicKey>; 2]),
}

// === impl Key ===

struct Key {
    id: Option<Box<str>>,
    /// One for each algorithm that this key may be used with.
    verifiers: Box<[(Algorithm, ParsedPublicKey)]>,
}

impl Key {
    fn of(jwk: &Value) -> Result<Self, &'static str> {
        let jwk = Jwk::deserialize(jwk).map_err(|_| "not a key of RFC 7517")?;
        let allowed = algorithms(&jwk.common)?;
        let material = Material::of(&jwk.algorithm)?;
        let mut verifiers = Vec::new();
        for algorithm in allowed {
            if let Some(key) = material.parse(algorithm.scheme()) {
                verifiers.push((algorithm, key.map_err(|_| "not a sound public key")?));
            }
        }
        if verifiers.is_empty() {
            return Err("its alg does not go with its type");
        }
        Ok(Self { id: jwk.common.key_id.map(Into::into), verifiers: verifiers.into() })
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.verifiers.iter().find(|(own, _)| *own == algorithm).map(|(_, key)| key)
    }
}

impl Eq for Key {}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        fn parts(key: &Key) -> impl Iterator<Item = (Algorithm, &[u8])> {
            key.verifiers.iter().map(|(algorithm, key)| (*algorithm, key.as_ref()))
        }
        self.id == other.id && parts(self).eq(parts(other))
    }
}

/// The algorithms that the members of RFC 7517 section 4 leave to a key: it may say what it is for in
/// three ways, and all of them count.
fn algorithms(jwk: &CommonParameters) -> Result<Vec<Algorithm>, &'static str> {
    if !matches!(jwk.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return Err("its use is not sig");
    }
    if jwk.key_operations.as_ref().is_some_and(|ops| !ops.contains(&KeyOperations::Verify)) {
        return Err("its key_ops lack verify");
    }
    match jwk.key_algorithm {
        None => Ok(Algorithm::ALL.to_vec()),
        Some(algorithm) => {
            of_jwk(algorithm).map(|algorithm| vec![algorithm]).ok_or("its alg is not one of ours")
        }
    }
}

const fn of_jwk(algorithm: KeyAlgorithm) -> Option<Algorithm> {
    match algorithm {
        KeyAlgorithm::RS256 => Some(Algorithm::Rs256),
        KeyAlgorithm::RS384 => Some(Algorithm::Rs384),
        KeyAlgorithm::RS512 => Some(Algorithm::Rs512),
        KeyAlgorithm::PS256 => Some(Algorithm::Ps256),
        KeyAlgorithm::PS384 => Some(Algorithm::Ps384),
        KeyAlgorithm::PS512 => Some(Algorithm::Ps512),
        KeyAlgorithm::ES256 => Some(Algorithm::Es256),
        KeyAlgorithm::ES384 => Some(Algorithm::Es384),
        KeyAlgorithm::EdDSA => Some(Algorithm::EdDsa),
        _ => None,
    }
}

/// A public key's numbers, not yet bound to an algorithm.
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Material {
    fn of(parameters: &AlgorithmParameters) -> Result<Self, &'static str> {
        let number = |text: &str| base64url(text.as_bytes()).ok_or("a number is not base64url");
        match parameters {
            AlgorithmParameters::RSA(rsa) => {
                let (n, e) = (number(&rsa.n)?, number(&rsa.e)?);
                if !sound_modulus(&n) {
                    return Err("its modulus has not 2048 to 8192 bits");
                }
                if !sound_exponent(&e) {
                    return Err("its exponent is not odd, or not from 65537 to 33 bits");
                }
                Ok(Self::Rsa { n, e })
            }
            AlgorithmParameters::EllipticCurve(ec) => {
                let (x, y) = (number(&ec.x)?, number(&ec.y)?);
                match ec.curve {
                    EllipticCurve::P256 => point(&x, &y, 32).map(Self::P256),
                    EllipticCurve::P384 => point(&x, &y, 48).map(Self::P384),
                    _ => None,
                }
                .ok_or("its curve is not one of ours, or its point not on it")
            }
            AlgorithmParameters::OctetKeyPair(okp) => match (&okp.curve, number(&okp.x)?) {
                (EllipticCurve::Ed25519, x) if x.len() == 32 => Ok(Self::Ed25519(x)),
                _ => Err("it is not an Ed25519 key"),
            },
            AlgorithmParameters::OctetKey(_) => Err("it is symmetric"),
            _ => Err("its type is not one of ours"),
        }
    }

    /// `None` when the algorithm is of another type or curve.
    fn parse(&self, scheme: Scheme) -> Option<Result<ParsedPublicKey, KeyRejected>> {
        match (self, scheme) {
            (Self::Rsa { n, e }, Scheme::Rsa(scheme)) => {
                Some(RsaPublicKeyComponents { n, e }.to_parsed_public_key(scheme))
            }
            (Self::P256(point), Scheme::P256(scheme))
            | (Self::P384(point), Scheme::P384(scheme)) => {
                Some(ParsedPublicKey::new(scheme, point))
            }
            (Self::Ed25519(point), Scheme::Ed25519(scheme)) => {
                Some(ParsedPublicKey::new(scheme, point))
            }
            _ => None,
        }
    }
}

/// 2,048 bits is what RFC 7518 section 3.3 asks for; 8,192 bounds what a signature costs. Without a
/// leading zero octet (section 6.3.1.1).
fn sound_modulus(n: &[u8]) -> bool {
    let Some(first @ 1..) = n.first() else {
        return false;
    };
    let bits = n.len() * 8 - first.leading_zeros() as usize;
    (2_048..=8_192).contains(&bits)
}

/// From 2^16 + 1 (FIPS 186-5 section 5.1), odd: with an exponent of one, anybody signs.
fn sound_exponent(e: &[u8]) -> bool {
    let canonical = e.first().is_some_and(|first| *first != 0) && e.len() <= 5;
    let value = e.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    canonical && value % 2 == 1 && (65_537..1 << 33).contains(&value)
}

/// A point as SEC 1 section 2.3.3 writes it uncompressed. Both coordinates have the full length
/// (RFC 7518 section 6.2.1.2).
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    (x.len() == length && y.len() == length).then(|| [&[4], x, y].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modulus_has_2048_to_8192_bits() {
        let modulus = |first: u8, length: usize| [vec![first], vec![0xff; length - 1]].concat();
        assert!(sound_modulus(&modulus(0x80, 256)));
        assert!(sound_modulus(&modulus(0xff, 1_024)));
        assert!(!sound_modulus(&modulus(0x7f, 256)));
        assert!(!sound_modulus(&modulus(0x01, 1_025)));
        assert!(!sound_modulus(&modulus(0x00, 257)));
        assert!(!sound_modulus(&[]));
    }

    #[test]
    fn an_exponent_is_odd_and_not_small() {
        assert!(sound_exponent(&[1, 0, 1]));
        assert!(sound_exponent(&[1, 0xff, 0xff, 0xff, 0xff]));
        let refused: [&[u8]; 9] = [
            &[],
            &[0],
            &[1],
            &[3],
            &[1, 0, 0],
            &[0, 1, 0, 1],
            &[0xff, 0xff],
            &[2, 0, 0, 0, 1],
            &[1, 0, 0, 0, 0, 1],
        ];
        for e in refused {
            assert!(!sound_exponent(e), "{e:?}");
        }
    }
}
