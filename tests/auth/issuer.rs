//! An issuer with keys of every type and tokens that they sign.
#![allow(dead_code, reason = "the benches use a part of it")]

use std::sync::LazyLock;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
        RsaEncoding, RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "https://gateway.example";
/// The time of the tests: 2027-01-15.
pub const NOW: u64 = 1_800_000_000;

pub const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];

pub static RSA: LazyLock<Pair> = LazyLock::new(|| Pair::rsa(KeySize::Rsa2048));
pub static RSA_OTHER: LazyLock<Pair> = LazyLock::new(|| Pair::rsa(KeySize::Rsa2048));
pub static P256: LazyLock<Pair> = LazyLock::new(|| {
    Pair::Ec("P-256", EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
});
pub static P384: LazyLock<Pair> = LazyLock::new(|| {
    Pair::Ec("P-384", EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
});
pub static P521: LazyLock<Pair> = LazyLock::new(|| {
    Pair::Ec("P-521", EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).unwrap())
});
pub static ED25519: LazyLock<Pair> = LazyLock::new(Pair::ed25519);
pub static ED25519_OTHER: LazyLock<Pair> = LazyLock::new(Pair::ed25519);

pub enum Pair {
    Rsa(RsaKeyPair),
    Ec(&'static str, EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// The pair that signs with `algorithm`.
pub fn pair(algorithm: &str) -> &'static Pair {
    match algorithm {
        "ES256" => &P256,
        "ES384" => &P384,
        "ES512" => &P521,
        "EdDSA" | "Ed25519" => &ED25519,
        _ => &RSA,
    }
}

impl Pair {
    pub fn rsa(size: KeySize) -> Self {
        Self::Rsa(RsaKeyPair::generate(size).unwrap())
    }

    pub fn ed25519() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    /// The public half, without `kid`, `alg` and `use`.
    pub fn jwk(&self) -> Value {
        match self {
            Self::Rsa(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref());
                json!({ "kty": "RSA", "n": encode(n), "e": encode(e) })
            }
            Self::Ec(curve, pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(pair_length(curve));
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key()) })
            }
        }
    }

    pub fn jwk_with(&self, members: Value) -> Value {
        merge(self.jwk(), members)
    }

    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let encoding: &dyn RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(_, pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// Signs a token with the `alg` of the header.
    pub fn token(&self, header: &Value, claims: &Value) -> String {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    pub fn token_of(&self, header: &str, claims: &str) -> String {
        let algorithm = serde_json::from_str::<Value>(header).unwrap_or_default();
        let algorithm = algorithm["alg"].as_str().unwrap_or("RS256").to_owned();
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = encode(self.sign(&algorithm, signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// A token that is signed as HS256 with a secret of the attacker.
pub fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
    format!("{signed}.{}", encode(tag))
}

/// Valid claims with the members of `extra`. A null removes the member.
pub fn claims(extra: Value) -> Value {
    let claims = json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-7",
        "iat": NOW - 10,
        "exp": NOW + 300,
    });
    merge(claims, extra)
}

/// A valid token. The name of the algorithm is the `kid`.
pub fn token(algorithm: &str, extra: Value) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT", "kid": algorithm });
    pair(algorithm).token(&header, &claims(extra))
}

/// A set with a key for each algorithm. The name of the algorithm is the `kid`.
pub fn jwks() -> String {
    let keys = ALGORITHMS.map(|algorithm| {
        pair(algorithm).jwk_with(json!({ "kid": algorithm, "alg": algorithm, "use": "sig" }))
    });
    set(&keys)
}

pub fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

pub fn merge(mut value: Value, extra: Value) -> Value {
    let (Value::Object(members), Value::Object(extra)) = (&mut value, extra) else { panic!() };
    for (name, value) in extra {
        if value.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    value
}

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn pair_length(curve: &str) -> usize {
    match curve {
        "P-256" => 32,
        "P-384" => 48,
        _ => 66,
    }
}

/// The two integers of an RSAPublicKey (RFC 8017 appendix A.1.1), without a leading zero.
fn rsa_numbers(der: &[u8]) -> (&[u8], &[u8]) {
    fn element(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, rest) = match der[1] {
            short @ 0..0x80 => (usize::from(short), &der[2..]),
            long => {
                let octets = usize::from(long & 0x7f);
                let length = der[2..2 + octets].iter().fold(0, |n, b| n << 8 | usize::from(*b));
                (length, &der[2 + octets..])
            }
        };
        rest.split_at(length)
    }
    let (sequence, _) = element(der);
    let (n, rest) = element(sequence);
    let (e, _) = element(rest);
    (n.strip_prefix(&[0]).unwrap_or(n), e)
}
