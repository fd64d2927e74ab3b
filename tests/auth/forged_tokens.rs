//! Tokens that the issuer did not make.

use proptest::prelude::*;
use serde_json::{Value, json};
use tower_inference::{
    auth::{AuthLayer, Keys},
    rejection::Refusal,
};

use super::{
    Outcome,
    issuer::{
        ALGORITHMS, ED25519, ED25519_OTHER, P256, P384, RSA, RSA_OTHER, claims, decode, encode,
        hs256, pair, set, token,
    },
    jwt, jwt_of, layer, request, send, try_token,
};

/// Asserts that the response equals the response to any other invalid key.
async fn expect_usual_rejection(layer: &AuthLayer, token: &str, what: &str) {
    let usual = try_token(
        layer,
        &RSA_OTHER.token(&json!({ "alg": "RS256", "kid": "RS256" }), &claims(json!({}))),
    )
    .await;
    assert_eq!(usual.refusal(), Some(Refusal::InvalidToken));
    let outcome: Outcome = try_token(layer, token).await;
    assert_eq!(outcome.visible(), usual.visible(), "{what}: {token}");
    assert!(!outcome.passed());
}

#[tokio::test]
async fn every_failure_before_the_signature_has_the_same_response() {
    let layer = layer();
    let valid = token("RS256", json!({}));
    let (signed, signature) = valid.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let claims = claims(json!({}));
    let sign = |header: Value| RSA.token(&header, &claims);

    let cases = [
        ("unknown kid", sign(json!({ "alg": "RS256", "kid": "nobody" }))),
        ("kid of another kind", sign(json!({ "alg": "RS256", "kid": "ES256" }))),
        ("no kid, several keys", sign(json!({ "alg": "RS256", "kid": null }))),
        ("kid is no string", sign(json!({ "alg": "RS256", "kid": 1 }))),
        ("alg of another key", sign(json!({ "alg": "RS384", "kid": "RS256" }))),
        ("unknown alg", sign(json!({ "alg": "RS1", "kid": "RS256" }))),
        ("alg in small letters", sign(json!({ "alg": "rs256", "kid": "RS256" }))),
        ("crit", sign(json!({ "alg": "RS256", "kid": "RS256", "crit": ["exp"] }))),
        ("b64", sign(json!({ "alg": "RS256", "kid": "RS256", "b64": false, "crit": ["b64"] }))),
        ("b64 alone", sign(json!({ "alg": "RS256", "kid": "RS256", "b64": false }))),
        ("other signature", format!("{signed}.{}", encode([0; 256]))),
        ("short signature", format!("{signed}.{}", encode([1]))),
        ("long signature", format!("{signed}.{}", "A".repeat(4_000))),
        ("no signature", format!("{signed}.")),
        ("two parts", signed.to_owned()),
        ("four parts", format!("{valid}.x")),
        ("five parts, as a JWE", format!("{valid}.{header}.{payload}")),
        ("no header", format!(".{payload}.{signature}")),
        ("no payload", format!("{header}..{signature}")),
        ("padding", format!("{valid}=")),
        ("a quote", format!("{valid}\"")),
        ("another letter", format!("{valid}\u{e9}")),
        ("padded header", format!("{header}=.{payload}.{signature}")),
        ("the other alphabet", format!("{}.{payload}.{signature}", header.replace('e', "+"))),
        ("header is no JSON", format!("{}.{payload}.{signature}", encode("alg"))),
        ("header is an array", format!("{}.{payload}.{signature}", encode("[]"))),
        ("not a JWT", "hf_0123456789".to_owned()),
        ("too long", "a".repeat(20_000)),
        (
            "deep header",
            RSA.token_of(
                &format!(
                    r#"{{"alg":"RS256","kid":"RS256","x":{}{}}}"#,
                    "[".repeat(500),
                    "]".repeat(500)
                ),
                &claims.to_string(),
            ),
        ),
        (
            "alg twice",
            RSA.token_of(r#"{"alg":"RS256","kid":"RS256","alg":"RS256"}"#, &claims.to_string()),
        ),
        (
            "kid twice",
            RSA.token_of(r#"{"alg":"RS256","kid":"x","kid":"RS256"}"#, &claims.to_string()),
        ),
        ("header goes on", RSA.token_of(r#"{"alg":"RS256","kid":"RS256"}{}"#, &claims.to_string())),
    ];
    for (what, token) in cases {
        expect_usual_rejection(&layer, &token, what).await;
    }
    let outcome = try_token(&layer, &format!("{signed}.{}", encode([0; 256]))).await;
    assert_eq!(outcome.status, 401);
    assert_eq!(
        outcome.challenge(),
        r#"Bearer error="invalid_token", error_description="invalid bearer token""#,
    );
}

#[tokio::test]
async fn unsigned_token_is_rejected() {
    let layer = layer();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = encode(json!({ "alg": alg, "kid": "RS256" }).to_string());
        let payload = encode(claims(json!({})).to_string());
        for signature in ["", "AA", "none"] {
            expect_usual_rejection(&layer, &format!("{header}.{payload}.{signature}"), alg).await;
        }
    }
}

#[tokio::test]
async fn public_key_is_never_used_as_a_secret() {
    // The set also holds a symmetric key of this name.
    let rsa = RSA.jwk_with(json!({ "kid": "k" }));
    let oct = json!({ "kty": "oct", "k": encode("secret"), "kid": "k", "alg": "HS256" });
    let layer = AuthLayer::new(jwt_of(Keys::from_jwks(set(&[rsa.clone(), oct])).unwrap()));
    let n = decode(rsa["n"].as_str().unwrap());
    let secrets: [&[u8]; 4] = [&n, rsa["n"].as_str().unwrap().as_bytes(), b"secret", b""];
    for secret in secrets {
        for alg in ["HS256", "HS384", "RS256"] {
            let token = hs256(secret, &json!({ "alg": alg, "kid": "k" }), &claims(json!({})));
            let outcome = try_token(&layer, &token).await;
            assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken), "{alg}");
        }
    }
    let honest = RSA.token(&json!({ "alg": "RS256", "kid": "k" }), &claims(json!({})));
    assert!(try_token(&layer, &honest).await.passed());
}

#[tokio::test]
async fn no_algorithm_verifies_with_the_key_of_another() {
    let layer = layer();
    for algorithm in ALGORITHMS {
        for kid in ALGORITHMS.iter().filter(|kid| **kid != algorithm) {
            let header = json!({ "alg": algorithm, "kid": kid });
            let signed = pair(algorithm).token(&header, &claims(json!({})));
            expect_usual_rejection(&layer, &signed, &format!("{algorithm} under {kid}")).await;
        }
    }
}

#[tokio::test]
async fn signature_with_a_related_algorithm_is_rejected() {
    // The key is right. The signature has another RSA algorithm than the header.
    let layer = AuthLayer::new(jwt_of(
        Keys::from_jwks(set(&[RSA.jwk_with(json!({ "kid": "k" }))])).unwrap(),
    ));
    for (named, signed_with) in [("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS512")] {
        let head = encode(json!({ "alg": named, "kid": "k" }).to_string());
        let signed = format!("{head}.{}", encode(claims(json!({})).to_string()));
        let signature = encode(RSA.sign(signed_with, signed.as_bytes()));
        assert!(!try_token(&layer, &format!("{signed}.{signature}")).await.passed());
    }
}

#[tokio::test]
async fn keys_in_the_header_of_a_token_are_never_used() {
    let layer = layer();
    let jwk = ED25519_OTHER.jwk_with(json!({ "kid": "EdDSA", "alg": "EdDSA" }));
    for extra in [
        json!({ "jwk": jwk }),
        json!({ "jku": "https://evil.example/jwks.json" }),
        json!({ "x5u": "https://evil.example/cert.pem" }),
        json!({ "x5c": ["MIIB"] }),
        json!({ "jwk": jwk, "kid": null }),
        json!({ "jwk": jwk, "kid": "../../../../dev/null" }),
        json!({ "jwk": jwk, "kid": "' OR 1=1 --" }),
        json!({ "jwk": jwk, "kid": "k".repeat(8_000) }),
    ] {
        let header = super::issuer::merge(json!({ "alg": "EdDSA", "kid": "EdDSA" }), extra);
        expect_usual_rejection(
            &layer,
            &ED25519_OTHER.token(&header, &claims(json!({}))),
            "brought",
        )
        .await;
        // A valid token may have a link to its keys or their certificate, as those of SAP have.
        if header["jku"].is_string() || header["x5c"].is_array() {
            assert!(try_token(&layer, &ED25519.token(&header, &claims(json!({})))).await.passed());
        }
    }
}

#[tokio::test]
async fn token_with_its_own_key_or_a_link_to_one_is_rejected() {
    let layer = layer();
    let jwk = ED25519.jwk_with(json!({ "kid": "EdDSA", "alg": "EdDSA" }));
    for extra in [json!({ "jwk": jwk }), json!({ "x5u": "https://issuer.example/cert.pem" })] {
        let header = super::issuer::merge(json!({ "alg": "EdDSA", "kid": "EdDSA" }), extra);
        let signed = ED25519.token(&header, &claims(json!({})));
        expect_usual_rejection(&layer, &signed, "own key").await;
    }
}

/// The signatures are valid, so the usual rejection shows that they were not checked.
#[tokio::test]
async fn depth_is_bounded_before_the_signature() {
    let layer = layer();
    let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let header = r#"{"alg":"EdDSA","kid":"EdDSA"}"#;
    let with = |depth| {
        let mut text = claims(json!({})).to_string();
        text.insert_str(1, &format!("\"deep\":{},", nested(depth)));
        ED25519.token_of(header, &text)
    };
    assert!(try_token(&layer, &with(31)).await.passed());
    expect_usual_rejection(&layer, &with(32), "deep payload").await;
    let deep = format!(r#"{{"alg":"EdDSA","kid":"EdDSA","deep":{}}}"#, nested(32));
    let deep = ED25519.token_of(&deep, &claims(json!({})).to_string());
    expect_usual_rejection(&layer, &deep, "deep header").await;
}

#[tokio::test]
async fn numbers_of_any_size_cause_no_overflow() {
    let layer = layer();
    for (number, passed) in [
        ("1e308", true),
        ("123456789012345678901234567890", true),
        ("-123456789012345678901234567890", true),
        ("0.00000000000000000000000000000000000001", true),
        ("1e999", false),
        (&"9".repeat(1_000), false),
    ] {
        let mut text = claims(json!({})).to_string();
        text.insert_str(1, &format!("\"number\":{number},"));
        let token = ED25519.token_of(r#"{"alg":"EdDSA","kid":"EdDSA"}"#, &text);
        assert_eq!(try_token(&layer, &token).await.passed(), passed, "{number}");
    }
}

#[tokio::test]
async fn claims_are_named_only_after_a_valid_signature() {
    let layer = layer();
    for extra in [
        json!({ "iss": "https://other.example" }),
        json!({ "aud": "x" }),
        json!({ "exp": 1 }),
        json!({ "sub": "" }),
    ] {
        let header = json!({ "alg": "EdDSA", "kid": "EdDSA" });
        expect_usual_rejection(&layer, &ED25519_OTHER.token(&header, &claims(extra)), "forged")
            .await;
    }
}

#[tokio::test]
async fn repeated_claim_is_rejected() {
    let layer = layer();
    let whole = claims(json!({})).to_string();
    for more in [
        r#""sub":"admin","#,
        r#""\u0073ub":"admin","#,
        r#""x":{"a":1,"a":2},"#,
        r#""x":1,"x":1,"#,
        r#""aud":["https://gateway.example"],"#,
    ] {
        let mut text = whole.clone();
        text.insert_str(1, more);
        let token = ED25519.token_of(r#"{"alg":"EdDSA","kid":"EdDSA"}"#, &text);
        let outcome = try_token(&layer, &token).await;
        assert_eq!(outcome.refusal(), Some(Refusal::InvalidToken), "{more}");
    }
    for text in ["", "{", "[]", "1", "{}x", "\u{feff}{}"] {
        let token = ED25519.token_of(r#"{"alg":"EdDSA","kid":"EdDSA"}"#, text);
        assert!(!try_token(&layer, &token).await.passed(), "{text}");
    }
}

#[tokio::test]
async fn signature_has_one_encoding() {
    let layer = layer();
    for algorithm in ["ES256", "EdDSA", "RS256"] {
        let valid = token(algorithm, json!({}));
        let last = valid.chars().last().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for other in alphabet.chars().filter(|char| *char != last) {
            let spelled = format!("{}{other}", &valid[..valid.len() - 1]);
            assert!(!try_token(&layer, &spelled).await.passed(), "{algorithm}");
        }
        assert!(try_token(&layer, &valid).await.passed());
    }
}

#[tokio::test]
async fn ecdsa_signature_has_two_numbers_of_full_length() {
    let layer = layer();
    let valid = token("ES256", json!({}));
    let (signed, signature) = valid.rsplit_once('.').unwrap();
    let signature = decode(signature);
    // ASN.1, too short, too long and zero.
    let (r, s) = signature.split_at(32);
    let asn1 = [&[0x30, 70, 2, 33, 0][..], r, &[2, 33, 0], s].concat();
    let grown = [&[0][..], r, &[0], s].concat();
    for forged in
        [&asn1[..], &grown, &signature[..63], &[0; 64], &[0xff; 64], &[r, &[0; 32]].concat()]
    {
        let forged = format!("{signed}.{}", encode(forged));
        assert!(!try_token(&layer, &forged).await.passed());
    }
    assert!(P256.jwk()["crv"] != P384.jwk()["crv"]);
}

#[tokio::test]
async fn token_in_the_query_is_ignored() {
    let mut request = request(&[]);
    let valid = token("EdDSA", json!({}));
    *request.uri_mut() = format!("/v1/models?access_token={valid}").parse().unwrap();
    let outcome = send(&layer(), request).await;
    assert_eq!(outcome.refusal(), Some(Refusal::MissingCredentials));
}

#[tokio::test]
async fn token_in_a_cookie_or_another_header_is_ignored() {
    let valid = token("EdDSA", json!({}));
    for name in ["cookie", "proxy-authorization", "x-access-token", "x-amzn-oidc-data"] {
        let mut request = request(&[]);
        let value = format!("access_token={valid}; Bearer {valid}");
        request.headers_mut().insert(name, value.parse().unwrap());
        let outcome = send(&layer(), request).await;
        assert_eq!(outcome.refusal(), Some(Refusal::MissingCredentials), "{name}");
    }
    let mut request = request(&[]).map(|_| format!("access_token={valid}").into());
    request.headers_mut().insert(
        "content-type",
        http::HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    let outcome = send(&layer(), request).await;
    assert_eq!(outcome.refusal(), Some(Refusal::MissingCredentials));
}

/// An unknown key, another algorithm than the key's and a wrong signature end in one place.
#[tokio::test]
async fn unknown_key_and_wrong_signature_take_one_path() {
    let layer = layer();
    let claims = claims(json!({}));
    let mut seen = Vec::new();
    for (count, (pair, header)) in [
        (&*ED25519, json!({ "alg": "EdDSA", "kid": "nobody" })),
        (&*ED25519, json!({ "alg": "EdDSA", "kid": "RS256" })),
        (&*ED25519_OTHER, json!({ "alg": "EdDSA", "kid": "EdDSA" })),
        (&*RSA_OTHER, json!({ "alg": "RS256", "kid": "RS256" })),
    ]
    .into_iter()
    .enumerate()
    {
        seen.push(try_token(&layer, &pair.token(&header, &claims)).await);
        assert_eq!(layer.counts().unverified, count as u64 + 1, "{header}");
    }
    for outcome in &seen {
        assert_eq!(outcome.visible(), seen[0].visible());
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_header_values_are_rejected_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let layer = AuthLayer::new(jwt());
        let mut request = request(&[]);
        let field = [b"Bearer ".as_slice(), &bytes].concat();
        if let Ok(field) = http::HeaderValue::from_bytes(&field) {
            request.headers_mut().insert("authorization", field);
        }
        prop_assert!(!run(send(&layer, request)).passed());
    }

    #[test]
    fn random_token_parts_are_rejected_without_panic(
        header in proptest::collection::vec(any::<u8>(), 0..60),
        payload in proptest::collection::vec(any::<u8>(), 0..60),
        signature in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let layer = AuthLayer::new(jwt());
        let parts = format!("{}.{}.{}", encode(header), encode(&payload), encode(&signature));
        prop_assert!(!run(try_token(&layer, &parts)).passed());
        let named = encode(r#"{"alg":"ES256","kid":"ES256"}"#);
        let parts = format!("{named}.{}.{}", encode(&payload), encode(&signature));
        prop_assert!(!run(try_token(&layer, &parts)).passed());
    }

    #[test]
    fn signed_random_payload_is_rejected_without_panic(
        payload in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let layer = AuthLayer::new(jwt());
        let signed = format!("{}.{}", encode(r#"{"alg":"EdDSA","kid":"EdDSA"}"#), encode(&payload));
        let signature = encode(ED25519.sign("EdDSA", signed.as_bytes()));
        let token = [signed, signature].join(".");
        prop_assert!(!run(try_token(&layer, &token)).passed());
    }

    #[test]
    fn modified_token_is_rejected(
        algorithm in 0..ALGORITHMS.len(), at in any::<prop::sample::Index>(), to in 0x21_u8..0x7f,
    ) {
        let layer = AuthLayer::new(jwt());
        let valid = token(ALGORITHMS[algorithm], json!({}));
        prop_assert!(run(try_token(&layer, &valid)).passed());
        let mut mutated = valid.clone().into_bytes();
        let at = at.index(mutated.len());
        mutated[at] = to;
        let mutated = String::from_utf8(mutated).unwrap();
        prop_assert_eq!(run(try_token(&layer, &mutated)).passed(), mutated == valid);
    }
}
