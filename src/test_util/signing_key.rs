use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

const KEY_ID: &str = "test";

/// The key of an issuer.
pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl SigningKey {
    #[expect(clippy::expect_used, reason = "a test cannot go on without a key")]
    pub(super) fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .expect("the operating system has random numbers");
        Self { pair, random: SystemRandom::new() }
    }

    /// Returns the JWK Set with the public key.
    pub(super) fn jwks(&self) -> String {
        // SEC 1 section 2.3.3: 04, x, y.
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
            "x": encode(x), "y": encode(y),
        }] })
        .to_string()
    }

    /// Returns the compact form of a token (RFC 7515 section 7.1).
    #[expect(clippy::expect_used, reason = "a test cannot go on without its token")]
    pub(super) fn sign(&self, claims: &Map<String, Value>) -> String {
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": KEY_ID });
        let claims = Value::Object(claims.clone());
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.pair.sign(&self.random, signed.as_bytes());
        let signature = signature.expect("the operating system has random numbers");
        format!("{signed}.{}", encode(signature))
    }
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
