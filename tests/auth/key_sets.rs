//! The algorithms of a key and the accepted key sets.

use aws_lc_rs::rsa::KeySize;
use serde_json::{Value, json};
use tower_inference::{
    auth::{Algorithm, AuthLayer, Keys},
    rejection::Refusal,
};

use super::{
    fault,
    issuer::{
        ALGORITHMS, ED25519, ED25519_OTHER, P256, P384, P521, Pair, RSA, claims, decode, encode,
        pair, set,
    },
    jwt_of, try_token,
};

/// Returns the algorithms that a set of this key verifies.
async fn verifies(jwk: Value, signer: &Pair, among: &[&'static str]) -> Vec<&'static str> {
    let Ok(keys) = Keys::from_jwks(set(&[jwk])) else {
        return Vec::new();
    };
    let layer = AuthLayer::new(jwt_of(keys));
    let mut verified = Vec::new();
    for algorithm in among {
        let header = json!({ "alg": algorithm, "kid": "k" });
        if try_token(&layer, &signer.token(&header, &claims(json!({})))).await.passed() {
            verified.push(*algorithm);
        }
    }
    verified
}

const RSA_ALGORITHMS: &[&str] = &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

#[tokio::test]
async fn rsa_key_verifies_its_alg_or_every_rsa_algorithm() {
    let bare = RSA.jwk_with(json!({ "kid": "k" }));
    assert_eq!(verifies(bare, &RSA, RSA_ALGORITHMS).await, RSA_ALGORITHMS);
    for alg in RSA_ALGORITHMS {
        let bound = RSA.jwk_with(json!({ "kid": "k", "alg": alg }));
        assert_eq!(verifies(bound, &RSA, RSA_ALGORITHMS).await, [*alg]);
    }
    for alg in ["ES256", "EdDSA", "HS256", "RSA-OAEP", "RSA1_5", "none", "RS1", "rs256"] {
        let bound = RSA.jwk_with(json!({ "kid": "k", "alg": alg }));
        assert_eq!(fault(Keys::from_jwks(set(&[bound]))), "NoUsableKey", "{alg}");
    }
}

#[tokio::test]
async fn curve_verifies_only_its_algorithm() {
    for (signer, own) in [(&*P256, "ES256"), (&*P384, "ES384"), (&*ED25519, "EdDSA")] {
        let bare = signer.jwk_with(json!({ "kid": "k" }));
        // The signer ignores the header. The signature is valid but the header has a wrong
        // algorithm.
        assert_eq!(verifies(bare, signer, &ALGORITHMS).await, [own]);
        for alg in ALGORITHMS.iter().filter(|alg| **alg != own) {
            let bound = signer.jwk_with(json!({ "kid": "k", "alg": alg }));
            assert!(Keys::from_jwks(set(&[bound])).is_err(), "{own} as {alg}");
        }
    }
}

#[tokio::test]
async fn key_for_another_use_is_skipped() {
    for (members, served) in [
        (json!({ "use": "sig" }), true),
        (json!({ "use": "enc" }), false),
        (json!({ "use": "tls" }), false),
        (json!({ "use": "" }), false),
        (json!({ "use": "sig", "key_ops": ["verify"] }), true),
        (json!({ "key_ops": ["sign", "verify"] }), true),
        (json!({ "key_ops": [] }), true),
        (json!({ "key_ops": ["sign"] }), false),
        (json!({ "key_ops": ["encrypt", "wrapKey"] }), false),
        (json!({ "use": "sig", "key_ops": ["sign"] }), false),
        (json!({ "use": "enc", "key_ops": ["verify"] }), false),
        (json!({ "use": 1 }), false),
        (json!({ "key_ops": "verify" }), true),
        (json!({ "key_ops": "sign" }), false),
        (json!({ "key_ops": {} }), false),
        (json!({ "use": null, "key_ops": null, "alg": null, "d": null }), true),
        (json!({ "kid": 1 }), false),
    ] {
        for algorithm in ["RS256", "ES384", "EdDSA"] {
            let mut jwk = pair(algorithm).jwk_with(json!({ "kid": "k" }));
            jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            let verified = verifies(jwk, pair(algorithm), &[algorithm]).await;
            assert_eq!(verified.len(), usize::from(served), "{algorithm} {members}");
        }
    }
}

#[tokio::test]
async fn rsa_keys_have_2048_to_8192_bits() {
    let three = Pair::rsa(KeySize::Rsa3072);
    let jwk = three.jwk_with(json!({ "kid": "k" }));
    assert_eq!(verifies(jwk, &three, &["RS256"]).await, ["RS256"]);

    let modulus = |bytes: usize, first: u8| encode([vec![first], vec![0xff; bytes - 1]].concat());
    for n in
        [modulus(128, 0xff), modulus(256, 0x7f), modulus(1_025, 1), modulus(256, 0), String::new()]
    {
        let jwk = json!({ "kty": "RSA", "n": n, "e": "AQAB", "kid": "k" });
        assert_eq!(fault(Keys::from_jwks(set(&[jwk]))), "NoUsableKey");
    }
    for e in ["", "AA", "AQ", "Aw", "AQAA", "AAAD", "AQAAAAAAAAE", "AQAB="] {
        let jwk = RSA.jwk_with(json!({ "e": e, "kid": "k" }));
        assert_eq!(fault(Keys::from_jwks(set(&[jwk]))), "NoUsableKey", "{e}");
    }
}

#[test]
fn points_are_on_the_curve_and_have_full_length() {
    let point = P256.jwk();
    let (x, y) = (point["x"].as_str().unwrap(), point["y"].as_str().unwrap());
    for (x, y) in [(x, x), (y, x), (x, ""), ("", ""), (x, "AA"), (&x[..42], y)] {
        let jwk = P256.jwk_with(json!({ "x": x, "y": y, "kid": "k" }));
        assert_eq!(fault(Keys::from_jwks(set(&[jwk]))), "NoUsableKey", "{x} {y}");
    }
    // The same octets are divided at another place.
    let whole = [decode(x), decode(y)].concat();
    for cut in [31, 33] {
        let (x, y) = whole.split_at(cut);
        let jwk = P256.jwk_with(json!({ "x": encode(x), "y": encode(y), "kid": "k" }));
        assert_eq!(fault(Keys::from_jwks(set(&[jwk]))), "NoUsableKey", "{cut}");
    }
    for crv in ["P-384", "P-521", "Ed25519", "secp256k1"] {
        let jwk = P256.jwk_with(json!({ "crv": crv, "kid": "k" }));
        assert!(Keys::from_jwks(set(&[jwk])).is_err(), "{crv}");
    }
    for crv in ["X25519", "Ed448", "P-256"] {
        assert!(Keys::from_jwks(set(&[ED25519.jwk_with(json!({ "crv": crv }))])).is_err(), "{crv}");
    }
}

/// RFC 9864 section 2.2 gives `EdDSA` on Ed25519 the name `Ed25519`. Both mean the same algorithm.
#[tokio::test]
async fn both_names_of_eddsa_mean_one_algorithm() {
    let names = ["EdDSA", "Ed25519"];
    for alg in [json!("EdDSA"), json!("Ed25519"), Value::Null] {
        let jwk = ED25519.jwk_with(json!({ "kid": "k", "alg": alg }));
        assert_eq!(verifies(jwk, &ED25519, &names).await, names, "{alg}");
    }
    let other = ED25519.jwk_with(json!({ "kid": "k", "alg": "Ed448" }));
    assert!(verifies(other, &ED25519, &names).await.is_empty());
    // Another type of key does not take the name.
    let rsa = RSA.jwk_with(json!({ "kid": "k", "alg": "Ed25519" }));
    assert_eq!(fault(Keys::from_jwks(set(&[rsa]))), "NoUsableKey");
    // `Jwt::algorithms` names both.
    let keys = Keys::from_jwks(set(&[ED25519.jwk_with(json!({ "kid": "k" }))])).unwrap();
    for (allowed, passes) in [(Algorithm::EdDsa, true), (Algorithm::Es256, false)] {
        let layer = AuthLayer::new(jwt_of(keys.clone()).algorithms([allowed]));
        for name in names {
            let token = ED25519.token(&json!({ "alg": name, "kid": "k" }), &claims(json!({})));
            assert_eq!(try_token(&layer, &token).await.passed(), passes, "{name}");
        }
    }
}

#[tokio::test]
async fn p521_key_verifies_es512_only() {
    let among = ["ES256", "ES384", "ES512"];
    let p521 = || P521.jwk_with(json!({ "kid": "k" }));
    assert_eq!(verifies(p521(), &P521, &among).await, ["ES512"]);
    let bound = P521.jwk_with(json!({ "kid": "k", "alg": "ES512", "use": "sig" }));
    assert_eq!(verifies(bound, &P521, &among).await, ["ES512"]);
    for other in ["ES256", "ES384", "EdDSA"] {
        let jwk = P521.jwk_with(json!({ "kid": "k", "alg": other }));
        assert_eq!(fault(Keys::from_jwks(set(&[jwk]))), "NoUsableKey", "{other}");
    }
}

#[tokio::test]
async fn invalid_keys_are_skipped_one_by_one() {
    let good = ED25519.jwk_with(json!({ "kid": "k" }));
    let bad = [
        json!({}),
        json!(null),
        json!("key"),
        json!([1]),
        json!({ "kty": "RSA" }),
        json!({ "kty": "RSA", "n": 1, "e": "AQAB" }),
        json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "kid": "pq" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" }),
        json!({ "kty": "EC", "crv": "P-256", "x": "!", "y": "!" }),
    ];
    assert_eq!(fault(Keys::from_jwks(set(&bad))), "NoUsableKey");
    let mixed = [&bad[..5], &[good], &bad[5..]].concat();
    let layer = AuthLayer::new(jwt_of(Keys::from_jwks(set(&mixed)).unwrap()));
    let header = json!({ "alg": "EdDSA", "kid": "k" });
    assert!(try_token(&layer, &ED25519.token(&header, &claims(json!({})))).await.passed());
}

#[test]
fn malformed_set_is_rejected() {
    let key = ED25519.jwk_with(json!({ "kid": "k" })).to_string();
    for json in [
        String::new(),
        "[]".into(),
        "null".into(),
        "{}".into(),
        r#"{"keys":null}"#.into(),
        r#"{"keys":{}}"#.into(),
        format!(r#"{{"keys":[{key}]}}x"#),
        format!(r#"{{"keys":[{key}],"keys":[{key}]}}"#),
        format!(r#"{{"keys":[{key},{{"kid":"a","kid":"b"}}]}}"#),
        format!("{{\"keys\":{}", "[".repeat(100_000)),
    ] {
        assert_eq!(fault(Keys::from_jwks(&json)), "Malformed", "{json:.60}");
    }
    assert_eq!(fault(Keys::from_jwks(r#"{"keys":[]}"#)), "NoUsableKey");
    assert!(Keys::from_jwks(format!(r#"{{"more":{{}},"keys":[{key}]}}"#)).is_ok());
}

#[tokio::test]
async fn two_keys_with_the_same_kid_are_tried_and_a_third_is_not() {
    let third = Pair::ed25519();
    let keys =
        [&*ED25519, &*ED25519_OTHER, &third].map(|pair| pair.jwk_with(json!({ "kid": "k" })));
    // A key of another type with the same `kid` does not count.
    let keys = [&[RSA.jwk_with(json!({ "kid": "k" }))], &keys[..]].concat();
    let layer = AuthLayer::new(jwt_of(Keys::from_jwks(set(&keys)).unwrap()));
    let header = json!({ "alg": "EdDSA", "kid": "k" });
    assert!(try_token(&layer, &ED25519.token(&header, &claims(json!({})))).await.passed());
    assert!(try_token(&layer, &ED25519_OTHER.token(&header, &claims(json!({})))).await.passed());
    let outcome = try_token(&layer, &third.token(&header, &claims(json!({})))).await;
    assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken));
}

#[tokio::test]
async fn first_64_keys_of_a_set_are_used() {
    let mut keys: Vec<_> =
        (0..63).map(|n| ED25519.jwk_with(json!({ "kid": n.to_string() }))).collect();
    keys.push(ED25519_OTHER.jwk_with(json!({ "kid": "63" })));
    keys.push(ED25519_OTHER.jwk_with(json!({ "kid": "64" })));
    let layer = AuthLayer::new(jwt_of(Keys::from_jwks(set(&keys)).unwrap()));
    for (kid, passes) in [("63", true), ("64", false)] {
        let header = json!({ "alg": "EdDSA", "kid": kid });
        let token = ED25519_OTHER.token(&header, &claims(json!({})));
        assert_eq!(try_token(&layer, &token).await.passed(), passes);
    }
}

#[test]
fn debug_output_of_a_set_shows_only_kids() {
    let keys =
        Keys::from_jwks(set(&[ED25519.jwk_with(json!({ "kid": "k" })), P256.jwk()])).unwrap();
    assert_eq!(format!("{keys:?}"), r#"["k", "-"]"#);
}
