//! Each check of a token with accepted and rejected values.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tower_inference::{
    auth::{Algorithm, AuthLayer, ClaimMapping, Jwt, Keys},
    clock::SharedClock,
    identity::Proof,
    rejection::Refusal,
};

use super::{
    fake_clock,
    issuer::{self, ALGORITHMS, AUDIENCE, ED25519, ISSUER, NOW, RSA, claims, jwks, set, token},
    jwt, jwt_of, layer, seconds, try_token,
};

/// Asserts that a token with these claims is accepted or has this rejection.
async fn expect(layer: &AuthLayer, extra: Value, rejected: Option<(Refusal, &str)>) {
    let outcome = try_token(layer, &token("EdDSA", extra.clone())).await;
    match rejected {
        None => assert!(outcome.passed(), "{extra}: {outcome:?}"),
        Some((refusal, detail)) => {
            assert_eq!(outcome.refusal(), Some(refusal), "{extra}");
            assert!(outcome.json()["detail"].as_str().unwrap().contains(detail), "{extra}");
            assert!(!outcome.passed());
        }
    }
}

const INVALID: Refusal = Refusal::InvalidToken;

#[tokio::test]
async fn every_algorithm_is_verified_and_has_its_name() {
    for algorithm in ALGORITHMS {
        let outcome = try_token(&layer(), &token(algorithm, json!({}))).await;
        assert!(outcome.passed(), "{algorithm}: {outcome:?}");
    }
    let names: Vec<_> = Algorithm::ALL.iter().map(|algorithm| algorithm.as_str()).collect();
    assert_eq!(names, ALGORITHMS);
}

#[tokio::test]
async fn only_accepted_algorithms_are_verified() {
    let layer = AuthLayer::new(jwt().algorithms([Algorithm::Es256, Algorithm::Ps384]));
    for algorithm in ALGORITHMS {
        let outcome = try_token(&layer, &token(algorithm, json!({}))).await;
        assert_eq!(outcome.passed(), ["ES256", "PS384"].contains(&algorithm), "{algorithm}");
    }
}

#[tokio::test]
async fn identity_has_the_claims_of_the_token() {
    let layer = AuthLayer::new(jwt().claims(ClaimMapping::new().tenant("org")));
    let extra = json!({
        "scope": "infer models:read",
        "scp": ["extra"],
        "org": "acme",
        "groups": ["a", "b"],
        "exp": NOW + 300,
    });
    let outcome = try_token(&layer, &token("RS256", extra)).await;
    let identity = outcome.identity.unwrap();
    assert_eq!(identity.proof(), Proof::Jwt);
    assert_eq!(identity.issuer(), ISSUER);
    assert_eq!(identity.subject(), "user-7");
    assert_eq!(identity.tenant(), Some("acme"));
    assert_eq!(identity.scopes().collect::<Vec<_>>(), ["infer", "models:read", "extra"]);
    assert_eq!(identity.claim("groups"), Some(&json!(["a", "b"])));
    assert_eq!(identity.claim("aud"), Some(&json!(AUDIENCE)));
    assert_eq!(identity.claim("none"), None);
    assert_eq!(identity.expires_at(), Some(UNIX_EPOCH + seconds(NOW + 300)));
}

#[tokio::test]
async fn issuer_is_compared_exactly() {
    let layer = layer();
    expect(&layer, json!({ "iss": ISSUER }), None).await;
    for iss in [json!("https://issuer.example/"), json!("https://other.example"), json!("")] {
        expect(&layer, json!({ "iss": iss }), Some((INVALID, "iss"))).await;
    }
    expect(&layer, json!({ "iss": null }), Some((INVALID, "iss"))).await;
    expect(&layer, json!({ "iss": [ISSUER] }), Some((INVALID, "claim `iss` is not a string")))
        .await;
}

#[tokio::test]
async fn audience_must_be_configured() {
    let layer = AuthLayer::new(jwt().additional_audiences(["https://second.example", ""]));
    for aud in [
        json!(AUDIENCE),
        json!("https://second.example"),
        json!([AUDIENCE]),
        json!(["https://else.example", AUDIENCE]),
    ] {
        expect(&layer, json!({ "aud": aud }), None).await;
    }
    for aud in [json!("https://else.example"), json!(""), json!([]), json!([""]), json!(null)] {
        expect(&layer, json!({ "aud": aud }), Some((INVALID, "aud"))).await;
    }
    for aud in [json!([AUDIENCE, 1]), json!(1), json!({ "a": AUDIENCE })] {
        let named = Some((INVALID, "claim `aud` is not a string or an array of strings"));
        expect(&layer, json!({ "aud": aud }), named).await;
    }
}

#[tokio::test]
async fn client_id_is_the_audience_only_without_aud() {
    let with = AuthLayer::new(jwt().client_id_as_audience());
    expect(&with, json!({ "aud": null, "client_id": AUDIENCE }), None).await;
    expect(&with, json!({ "aud": null, "client_id": "x" }), Some((INVALID, "aud"))).await;
    expect(&with, json!({ "aud": "x", "client_id": AUDIENCE }), Some((INVALID, "aud"))).await;
    expect(&with, json!({ "aud": [], "client_id": AUDIENCE }), Some((INVALID, "aud"))).await;
    expect(&with, json!({ "token_use": "access" }), None).await;
    expect(&with, json!({ "token_use": "id" }), Some((INVALID, "token_use"))).await;

    let without = layer();
    let cognito = json!({ "aud": null, "client_id": AUDIENCE });
    expect(&without, cognito, Some((INVALID, "aud"))).await;
    expect(&without, json!({ "token_use": "id" }), None).await;
}

#[tokio::test]
async fn any_audience_is_accepted_only_when_configured() {
    let layer = AuthLayer::new(jwt().dangerous_any_audience().additional_audiences(["ignored"]));
    expect(&layer, json!({ "aud": "https://else.example" }), None).await;
    expect(&layer, json!({ "aud": null }), None).await;
    expect(&layer, json!({ "iss": "x" }), Some((INVALID, "iss"))).await;
}

#[tokio::test]
async fn token_expires_at_the_exact_second() {
    let expired = Some((Refusal::ExpiredToken, "expired"));
    let layer = layer();
    expect(&layer, json!({ "exp": NOW + 1 }), None).await;
    expect(&layer, json!({ "exp": NOW }), expired).await;
    expect(&layer, json!({ "exp": NOW - 1 }), expired).await;
    expect(&layer, json!({ "exp": NOW as f64 + 0.5 }), None).await;
    expect(&layer, json!({ "exp": null }), Some((INVALID, "exp"))).await;

    let lenient = AuthLayer::new(jwt().leeway(seconds(30)));
    expect(&lenient, json!({ "exp": NOW - 29 }), None).await;
    expect(&lenient, json!({ "exp": NOW - 30 }), expired).await;

    // The maximum is five minutes.
    let most = AuthLayer::new(jwt().leeway(seconds(86_400)));
    expect(&most, json!({ "exp": NOW - 299 }), None).await;
    expect(&most, json!({ "exp": NOW - 300 }), expired).await;
}

#[tokio::test]
async fn default_leeway_is_30_seconds() {
    let jwt = Jwt::new(Keys::from_jwks(jwks()).unwrap(), ISSUER, AUDIENCE)
        .clock(SharedClock::new(fake_clock()));
    let layer = AuthLayer::new(jwt);
    expect(&layer, json!({ "exp": NOW - 29, "nbf": NOW + 30 }), None).await;
    expect(&layer, json!({ "exp": NOW - 30 }), Some((Refusal::ExpiredToken, ""))).await;
    expect(&layer, json!({ "nbf": NOW + 31 }), Some((INVALID, "nbf"))).await;
}

#[tokio::test]
async fn token_is_rejected_before_nbf_and_iat() {
    let layer = layer();
    for name in ["nbf", "iat"] {
        expect(&layer, json!({ name: NOW }), None).await;
        expect(&layer, json!({ name: 0 }), None).await;
        expect(&layer, json!({ name: NOW + 1 }), Some((INVALID, name))).await;
        expect(&layer, json!({ name: NOW as f64 + 0.5 }), Some((INVALID, name))).await;
        expect(&layer, json!({ name: null }), None).await;
    }
}

#[tokio::test]
async fn extreme_dates_are_rejected_without_overflow() {
    let layer = AuthLayer::new(jwt().leeway(seconds(300)));
    for number in ["253402300800", "18446744073709551615", "1e19", "1e308", "1e999", "-1", "-1e308"]
    {
        for name in ["exp", "nbf", "iat"] {
            let mut text = claims(json!({ name: null })).to_string();
            text.insert_str(1, &format!(r#""{name}":{number},"#));
            let token = ED25519.token_of(r#"{"alg":"EdDSA","kid":"EdDSA"}"#, &text);
            let outcome = try_token(&layer, &token).await;
            assert_eq!(outcome.refusal(), Some(INVALID), "{name}: {number}");
        }
    }
    expect(&layer, json!({ "exp": 253_402_300_799_u64 }), None).await;
}

#[tokio::test]
async fn subject_is_required() {
    let layer = layer();
    expect(&layer, json!({ "sub": "" }), Some((INVALID, "sub"))).await;
    expect(&layer, json!({ "sub": null }), Some((INVALID, "sub"))).await;
    expect(&layer, json!({ "sub": 7 }), Some((INVALID, "claim `sub` is not a string"))).await;
}

#[tokio::test]
async fn every_required_scope_is_checked() {
    let layer = AuthLayer::new(jwt().required_scopes(["infer", "models:read"]).unwrap());
    let lacks = Some((Refusal::InsufficientScope, "missing scope `"));
    for extra in [
        json!({ "scope": "infer models:read" }),
        json!({ "scope": "a models:read b infer" }),
        json!({ "scp": "models:read infer" }),
        json!({ "scp": ["models:read", "infer"] }),
        json!({ "scope": "infer", "scp": ["models:read"] }),
        json!({ "scope": ["models:read", "infer"] }),
        json!({ "scope": ["infer"], "scp": "models:read" }),
    ] {
        expect(&layer, extra, None).await;
    }
    for extra in [
        json!({}),
        json!({ "scope": "" }),
        json!({ "scope": "infer" }),
        json!({ "scope": "infer,models:read" }),
        json!({ "scope": "infer models:read:all" }),
        json!({ "scope": "Infer models:read" }),
        json!({ "scp": ["infer models:read"] }),
        json!({ "roles": ["infer", "models:read"] }),
    ] {
        expect(&layer, extra, lacks).await;
    }
    let named = Some((INVALID, "claim `scope` is not a string or an array of strings"));
    for scope in [json!(["infer", "models:read", 7]), json!({ "infer": true }), json!(1)] {
        expect(&layer, json!({ "scope": scope }), named).await;
    }
}

#[tokio::test]
async fn rejection_names_the_first_missing_scope() {
    let layer = AuthLayer::new(jwt().required_scopes(["infer", "models:read"]).unwrap());
    for (scope, missing) in [("infer", "models:read"), ("models:read", "infer"), ("", "infer")] {
        let detail = format!("missing scope `{missing}`");
        let rejected = Some((Refusal::InsufficientScope, detail.as_str()));
        expect(&layer, json!({ "scope": scope }), rejected).await;
    }
}

#[tokio::test]
async fn scopes_are_checked_last() {
    let layer = AuthLayer::new(jwt().required_scopes(["infer"]).unwrap());
    expect(&layer, json!({ "exp": NOW }), Some((Refusal::ExpiredToken, ""))).await;
    expect(&layer, json!({ "aud": "x", "exp": NOW }), Some((INVALID, "aud"))).await;
}

#[tokio::test]
async fn tenant_claim_is_absent_or_a_non_empty_string() {
    let layer = AuthLayer::new(jwt().claims(ClaimMapping::new().tenant("org")));
    let outcome = try_token(&layer, &token("ES256", json!({}))).await;
    assert_eq!(outcome.identity.unwrap().tenant(), None);
    for org in [json!(""), json!(7), json!(["acme"]), json!({})] {
        expect(
            &layer,
            json!({ "org": org }),
            Some((INVALID, "claim `org` is not a non-empty string")),
        )
        .await;
    }
    // A claim that is checked anyway can name the tenant.
    let layer = AuthLayer::new(jwt().claims(ClaimMapping::new().tenant("client_id")));
    let outcome = try_token(&layer, &token("ES256", json!({ "client_id": "c" }))).await;
    assert_eq!(outcome.identity.unwrap().tenant(), Some("c"));
}

#[tokio::test]
async fn other_token_types_are_rejected() {
    let with = |kind: Value| {
        let header =
            issuer::merge(json!({ "alg": "RS256", "kid": "RS256" }), json!({ "typ": kind }));
        RSA.token(&header, &claims(json!({})))
    };
    let layer = layer();
    for kind in
        [json!(null), json!("JWT"), json!("jwt"), json!("at+jwt"), json!("application/AT+JWT")]
    {
        assert!(try_token(&layer, &with(kind)).await.passed());
    }
    for kind in ["logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "JWE", "", "at+jwt, JWT"] {
        let outcome = try_token(&layer, &with(json!(kind))).await;
        assert_eq!(outcome.refusal(), Some(INVALID), "{kind}");
        assert!(
            outcome.challenge().contains("header `typ` is not an accepted token type"),
            "{}",
            outcome.challenge()
        );
    }
    let layer = AuthLayer::new(jwt().token_types(["wimse+jwt"]));
    assert!(try_token(&layer, &with(json!("WIMSE+jwt"))).await.passed());
    assert!(!try_token(&layer, &with(json!("JWT"))).await.passed());
    assert!(!try_token(&layer, &with(json!(null))).await.passed());
}

#[tokio::test]
async fn strict_access_tokens_follow_rfc_9068() {
    let layer = AuthLayer::new(jwt().strict_access_tokens());
    let sign = |kind: &str, extra: Value| {
        let header = json!({ "alg": "RS256", "kid": "RS256", "typ": kind });
        RSA.token(&header, &issuer::merge(claims(json!({ "client_id": "c", "jti": "j" })), extra))
    };
    assert!(try_token(&layer, &sign("at+jwt", json!({}))).await.passed());
    assert!(try_token(&layer, &sign("application/at+jwt", json!({}))).await.passed());
    assert!(!try_token(&layer, &sign("JWT", json!({}))).await.passed());
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        let outcome = try_token(&layer, &sign("at+jwt", json!({ name: null }))).await;
        assert_eq!(outcome.refusal(), Some(INVALID), "{name}");
        assert!(outcome.challenge().contains(&format!("claim `{name}` ")), "{name}");
    }
    // `aud` is required even if any audience is accepted.
    let any = AuthLayer::new(jwt().strict_access_tokens().dangerous_any_audience());
    assert!(try_token(&any, &sign("at+jwt", json!({ "aud": "x" }))).await.passed());
    assert!(!try_token(&any, &sign("at+jwt", json!({ "aud": null }))).await.passed());
    for name in ["client_id", "jti"] {
        assert!(!try_token(&layer, &sign("at+jwt", json!({ name: "" }))).await.passed());
    }
}

#[tokio::test]
async fn token_beyond_the_maximum_length_is_rejected() {
    let valid = token("EdDSA", json!({ "pad": "x".repeat(1_000) }));
    let layer = |bytes| AuthLayer::new(jwt().max_token_bytes(bytes));
    assert!(try_token(&layer(valid.len()), &valid).await.passed());
    assert!(!try_token(&layer(valid.len() - 1), &valid).await.passed());

    let default = super::layer();
    let long = |pad: usize| token("EdDSA", json!({ "pad": "x".repeat(pad) }));
    assert!(try_token(&default, &long(11_000)).await.passed());
    let long = long(12_500);
    assert!(long.len() > 16 << 10);
    assert!(!try_token(&default, &long).await.passed());
}

#[tokio::test]
async fn clock_before_1970_rejects_every_token() {
    let clock = tower_inference::clock::FakeClock::new(UNIX_EPOCH - Duration::from_secs(1));
    let layer = AuthLayer::new(jwt().clock(SharedClock::new(clock)));
    let outcome = try_token(&layer, &token("EdDSA", json!({}))).await;
    assert_eq!(outcome.refusal(), Some(Refusal::ExpiredToken));
}

#[tokio::test]
async fn token_without_kid_is_verified_with_at_most_two_keys() {
    let header = json!({ "alg": "ES256" });
    let unnamed = issuer::P256.token(&header, &claims(json!({})));
    let es256 = issuer::P256.jwk_with(json!({ "kid": "one" }));
    let other = aws_lc_rs::signature::EcdsaKeyPair::generate(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    );
    let second = issuer::Pair::Ec("P-256", other.unwrap()).jwk_with(json!({ "kid": "two" }));
    let rsa = RSA.jwk_with(json!({ "kid": "three" }));

    let layer = |keys: &[Value]| AuthLayer::new(jwt_of(Keys::from_jwks(set(keys)).unwrap()));
    assert!(try_token(&layer(&[rsa.clone(), es256.clone()]), &unnamed).await.passed());
    // An issuer without `kid` publishes its old and its new key in either order.
    assert!(try_token(&layer(&[es256.clone(), second.clone()]), &unnamed).await.passed());
    assert!(try_token(&layer(&[second.clone(), es256.clone()]), &unnamed).await.passed());
    let third = aws_lc_rs::signature::EcdsaKeyPair::generate(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    );
    let third = issuer::Pair::Ec("P-256", third.unwrap()).jwk();
    assert!(!try_token(&layer(&[es256, second, third]), &unnamed).await.passed());
    assert!(!try_token(&layer(&[rsa]), &unnamed).await.passed());
}
