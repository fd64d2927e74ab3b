//! An issuer's key and tokens, made on the spot.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    encoding::AsDer as _,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "gateway";
pub const SCOPE: &str = "infer";

/// A private key with its public half as a JWK of the id `key-1`.
pub struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
}

impl Signer {
    /// Made in a few hundred milliseconds: its signatures are the ones issuers use most.
    pub fn rs256() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Self::new(EncodingKey::from_rsa_der(pair.as_der().unwrap().as_ref()), Algorithm::RS256)
    }

    /// Made at once.
    pub fn es256() -> Self {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::new(EncodingKey::from_ec_der(pair.as_ref()), Algorithm::ES256)
    }

    fn new(key: EncodingKey, algorithm: Algorithm) -> Self {
        Self { key, algorithm }
    }

    /// The set that holds the one public key.
    pub fn jwks(&self) -> String {
        let mut key = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        key.common.key_id = Some("key-1".to_owned());
        json!({ "keys": [key] }).to_string()
    }

    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some("key-1".to_owned());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// What a token needs to be let in, for an hour from now. About as long as real ones, signed.
pub fn claims() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "248289761001-machine-to-machine-client",
        "scope": format!("{SCOPE} models:read"),
        "tenant": "acme-research",
        "client_id": "248289761001-machine-to-machine-client",
        "jti": "01JD4S0Z3J6R1T6W8X9Y0Z1A2B",
        "iat": now,
        "nbf": now,
        "exp": now + 3_600,
    })
}
