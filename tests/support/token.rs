//! An issuer's key and tokens, made on the spot.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "gateway";
pub const SCOPE: &str = "infer";

const KEY_ID: &str = "key-1";

/// A private key, and its public half as a JWK.
pub struct Signer {
    key: Key,
    random: SystemRandom,
}

enum Key {
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
}

impl Signer {
    /// What issuers sign with most. Made in a few hundred milliseconds.
    pub fn rs256() -> Self {
        Self::new(Key::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    /// Made at once.
    pub fn es256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(Key::Es256(pair))
    }

    fn new(key: Key) -> Self {
        Self { key, random: SystemRandom::new() }
    }

    /// The set that holds the one public key.
    pub fn jwks(&self) -> String {
        let key = match &self.key {
            Key::Rs256(pair) => {
                let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({
                    "kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID,
                    "n": encode(public.n), "e": encode(public.e),
                })
            }
            Key::Es256(pair) => {
                // SEC 1 section 2.3.3: 04, x, y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({
                    "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
                    "x": encode(x), "y": encode(y),
                })
            }
        };
        json!({ "keys": [key] }).to_string()
    }

    pub fn sign(&self, claims: &Value) -> String {
        let algorithm = match self.key {
            Key::Rs256(_) => "RS256",
            Key::Es256(_) => "ES256",
        };
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": KEY_ID });
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = match &self.key {
            Key::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let message = signed.as_bytes();
                pair.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature).unwrap();
                signature
            }
            Key::Es256(pair) => {
                pair.sign(&self.random, signed.as_bytes()).unwrap().as_ref().to_vec()
            }
        };
        format!("{signed}.{}", encode(signature))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
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
