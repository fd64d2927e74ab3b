//! Keys in the forms that providers write.

use super::*;

/// A P-256 pair with a leading zero octet in a coordinate. One pair in 128 has it.
fn with_a_zero() -> (Pair, [Vec<u8>; 2]) {
    loop {
        let pair = aws_lc_rs::signature::EcdsaKeyPair::generate(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        );
        let pair = Pair::Ec("P-256", pair.unwrap());
        let point = ["x", "y"].map(|name| decode(pair.jwk()[name].as_str().unwrap()));
        if point.iter().any(|coordinate| coordinate[0] == 0) {
            return (pair, point);
        }
    }
}

#[tokio::test]
async fn every_common_form_of_a_key_is_the_same_key() {
    let (n, e) = (decode(&spelled("n")), decode(&spelled("e")));
    let standard = |octets: &[u8]| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        STANDARD.encode(octets)
    };
    let (zero, point) = with_a_zero();
    let stripped = point.clone().map(|coordinate| {
        encode(&coordinate[coordinate.iter().take_while(|octet| **octet == 0).count()..])
    });
    let grown = point.map(|coordinate| encode([&[0], &coordinate[..]].concat()));
    let rows: [(&str, &str, &str, &Pair, Value); 13] = [
        ("a zero before n", "MicahParks/jwkset#23", "RS256", &RSA, json!({ "n": signed("n") })),
        ("a zero before e", "RFC 7518 section 6.3.1.1", "RS256", &RSA, json!({ "e": "AAEAAQ" })),
        (
            "n in four zeros more",
            "openidconnect-rs#53",
            "RS256",
            &RSA,
            json!({ "n": encode([&[0; 4], &n[..]].concat()) }),
        ),
        ("padding", "MicahParks/keyfunc#30", "RS256", &RSA, json!({ "n": padded(&spelled("n")) })),
        (
            "the standard alphabet",
            "Keats/jsonwebtoken#153",
            "RS256",
            &RSA,
            json!({ "n": standard(&n), "e": standard(&e) }),
        ),
        (
            "coordinates without leading zeros",
            "keycloak/keycloak#14933, jwt/ruby-jwt#585",
            "ES256",
            &zero,
            json!({ "x": stripped[0], "y": stripped[1] }),
        ),
        (
            "coordinates with a sign octet",
            "eudi-srv-web-issuing-eudiw-py#106",
            "ES256",
            &zero,
            json!({ "x": grown[0], "y": grown[1] }),
        ),
        ("x5t with padding", "square/go-jose#373", "RS256", &RSA, json!({ "x5t": "wCAFGc-Zw=" })),
        (
            "x5c that is no certificate",
            "MicahParks/jwkset#55",
            "RS256",
            &RSA,
            json!({ "x5c": ["LS0"] }),
        ),
        ("x5c that is no array", "RFC 7517 section 4", "RS256", &RSA, json!({ "x5c": "LS0" })),
        (
            "key_ops as a string",
            "JanssenProject/jans#3777",
            "RS256",
            &RSA,
            json!({ "key_ops": "verify" }),
        ),
        (
            "null for what is not there",
            "Abblix/Oidc.Server#263",
            "EdDSA",
            &ED25519,
            json!({ "alg": null, "use": null, "key_ops": null, "d": null, "x5t": null }),
        ),
        ("what no RFC has", "RFC 7517 section 4", "RS256", &RSA, json!({ "acr": [], "exp": 7 })),
    ];
    for (name, source, algorithm, pair, members) in rows {
        let mut jwk = pair.jwk_with(json!({ "kid": "k" }));
        jwk.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let row = format!("{name} ({source})");
        let keys = Keys::from_jwks(set(&[jwk])).unwrap_or_else(|error| panic!("{row}: {error}"));
        let plain = Keys::from_jwks(set(&[pair.jwk_with(json!({ "kid": "k" }))])).unwrap();
        assert_eq!(keys, plain, "{row}");
        let layer = AuthLayer::new(jwt_of(keys));
        let header = json!({ "alg": algorithm, "kid": "k" });
        let outcome = try_token(&layer, &pair.token(&header, &claims(json!({})))).await;
        assert!(outcome.passed(), "{row}: {outcome:?}");
    }
}

#[tokio::test]
async fn unsupported_keys_do_not_affect_the_others() {
    let rows: [(&str, Value); 14] = [
        ("Ed448", json!({ "kty": "OKP", "crv": "Ed448", "x": encode([1; 57]), "alg": "EdDSA" })),
        ("X25519", json!({ "kty": "OKP", "crv": "X25519", "x": encode([1; 32]) })),
        ("X448", json!({ "kty": "OKP", "crv": "X448", "x": encode([1; 56]) })),
        (
            "secp256k1",
            json!({ "kty": "EC", "crv": "secp256k1", "x": encode([1; 32]), "y": encode([1; 32]) }),
        ),
        (
            "P-521",
            json!({ "kty": "EC", "crv": "P-521", "x": encode([1; 66]), "y": encode([1; 66]) }),
        ),
        ("ML-DSA", json!({ "kty": "AKP", "alg": "ML-DSA-65", "pub": encode([1; 1_952]) })),
        ("oct", json!({ "kty": "oct", "k": encode("secret"), "alg": "HS256" })),
        ("RSA-OAEP", RSA_OTHER.jwk_with(json!({ "alg": "RSA-OAEP", "use": "enc" }))),
        ("RSA1_5", RSA_OTHER.jwk_with(json!({ "alg": "RSA1_5" }))),
        ("ECDH-ES", P384.jwk_with(json!({ "alg": "ECDH-ES+A256KW" }))),
        ("RS1", RSA_OTHER.jwk_with(json!({ "alg": "RS1" }))),
        ("none", RSA_OTHER.jwk_with(json!({ "alg": "none" }))),
        ("a weak key", json!({ "kty": "RSA", "n": encode([0xff; 128]), "e": "AQAB" })),
        ("no kty", json!({ "n": spelled("n"), "e": "AQAB" })),
    ];
    let ours = RSA.jwk_with(json!({ "kid": "k" }));
    for (name, theirs) in rows {
        // The other key has the same `kid` and comes first.
        let theirs = merge(theirs, json!({ "kid": "k" }));
        let alone = Keys::from_jwks(set(std::slice::from_ref(&theirs)));
        assert_eq!(fault(alone), "NoUsableKey", "{name}");
        let keys = Keys::from_jwks(set(&[theirs, ours.clone()])).unwrap();
        let layer = AuthLayer::new(jwt_of(keys));
        let header = json!({ "alg": "RS256", "kid": "k" });
        let outcome = try_token(&layer, &RSA.token(&header, &claims(json!({})))).await;
        assert!(outcome.passed(), "{name}");
    }
}

#[tokio::test]
async fn repeated_key_does_not_displace_another() {
    let (one, other) =
        (RSA_OTHER.jwk_with(json!({ "kid": "k" })), RSA.jwk_with(json!({ "kid": "k" })));
    let keys = Keys::from_jwks(set(&[one.clone(), one.clone(), one, other])).unwrap();
    let layer = AuthLayer::new(jwt_of(keys));
    let header = json!({ "alg": "RS256", "kid": "k" });
    assert!(try_token(&layer, &RSA.token(&header, &claims(json!({})))).await.passed());
}
