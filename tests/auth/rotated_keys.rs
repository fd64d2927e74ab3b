//! Rotation of a key under the same `kid` or without one. One fetch in a cool-down finds the new
//! key. Clients cannot cause more fetches.

use serde_json::{Value, json};
use tower_inference::{
    auth::{AuthLayer, KeySource},
    clock::{FakeClock, SharedClock},
    rejection::Refusal,
};

use super::{
    Outcome, fake_clock,
    fake_provider::FakeProvider,
    issuer::{ED25519, ED25519_OTHER, NOW, P256, Pair, claims, encode, set},
    jwt_of, seconds, settle, try_token,
};

const INVALID: Option<Refusal> = Some(Refusal::InvalidToken);
const UNAVAILABLE: Option<Refusal> = Some(Refusal::IdentityProviderUnavailable);

/// A layer with a token cache and fetched keys.
async fn layer_of(provider: &FakeProvider) -> (AuthLayer, KeySource, FakeClock) {
    let clock = fake_clock();
    let source = provider.source().build().unwrap().clock(SharedClock::new(clock.clone()));
    source.refresh().await.unwrap();
    let jwt = jwt_of(source.clone()).clock(SharedClock::new(clock.clone()));
    (AuthLayer::new(jwt), source, clock)
}

/// A token of this pair. Each `number` makes a different token.
fn signed(pair: &Pair, algorithm: &str, kid: &Value, number: usize) -> String {
    let mut header = json!({ "alg": algorithm });
    if !kid.is_null() {
        header["kid"] = kid.clone();
    }
    let claims = claims(json!({ "exp": NOW + 1_000_000, "jti": number.to_string() }));
    pair.token(&header, &claims)
}

fn one_key(pair: &Pair, kid: &Value) -> String {
    let jwk = if kid.is_null() { pair.jwk() } else { pair.jwk_with(json!({ "kid": kid })) };
    set(&[jwk])
}

fn spawn(layer: &AuthLayer, token: String) -> tokio::task::JoinHandle<Outcome> {
    let layer = layer.clone();
    tokio::spawn(async move { try_token(&layer, &token).await })
}

#[tokio::test]
async fn rotated_key_is_found_by_one_fetch() {
    for kid in [json!("sig"), Value::Null] {
        let provider = FakeProvider::new();
        provider.keys(&one_key(&ED25519, &kid));
        let (layer, _source, clock) = layer_of(&provider).await;
        let warm = signed(&ED25519, "EdDSA", &kid, 0);
        assert!(try_token(&layer, &warm).await.passed());

        provider.keys(&one_key(&ED25519_OTHER, &kid));
        clock.advance(seconds(40));
        // Tokens of the old key stay cached until a request finds the new key.
        assert!(try_token(&layer, &warm).await.passed());
        assert_eq!(provider.calls(), 1);
        assert!(try_token(&layer, &signed(&ED25519_OTHER, "EdDSA", &kid, 1)).await.passed());
        assert_eq!(provider.calls(), 2);
        assert!(try_token(&layer, &signed(&ED25519_OTHER, "EdDSA", &kid, 2)).await.passed());
        // Tokens of the old key are rejected even if they were cached.
        for token in [warm, signed(&ED25519, "EdDSA", &kid, 3)] {
            assert_eq!(try_token(&layer, &token).await.refusal(), INVALID, "{kid}");
        }
        assert_eq!(provider.calls(), 2);
    }
}

#[tokio::test]
async fn key_that_is_rotated_to_another_algorithm_is_found() {
    for kid in [json!("sig"), Value::Null] {
        let provider = FakeProvider::new();
        provider.keys(&one_key(&ED25519, &kid));
        let (layer, _source, _clock) = layer_of(&provider).await;
        provider.keys(&one_key(&P256, &kid));
        assert!(try_token(&layer, &signed(&P256, "ES256", &kid, 0)).await.passed());
        assert_eq!(provider.calls(), 2);
    }
}

#[tokio::test]
async fn old_and_new_key_without_kid_are_both_accepted() {
    let provider = FakeProvider::new();
    provider.keys(&set(&[ED25519.jwk()]));
    let (layer, _source, clock) = layer_of(&provider).await;
    let (old, new) = (
        |number| signed(&ED25519, "EdDSA", &Value::Null, number),
        |number| signed(&ED25519_OTHER, "EdDSA", &Value::Null, number),
    );
    provider.keys(&set(&[ED25519_OTHER.jwk(), ED25519.jwk()]));
    assert!(try_token(&layer, &new(0)).await.passed());
    assert!(try_token(&layer, &old(1)).await.passed());
    assert_eq!(provider.calls(), 2);
    provider.keys(&set(&[ED25519_OTHER.jwk()]));
    clock.advance(seconds(600));
    // The request that starts the fetch.
    assert!(try_token(&layer, &old(1)).await.passed());
    settle().await;
    assert_eq!(try_token(&layer, &old(1)).await.refusal(), INVALID);
    assert!(try_token(&layer, &new(0)).await.passed());
}

#[tokio::test]
async fn forged_signatures_cause_one_fetch_in_a_cool_down() {
    for kid in [json!("sig"), Value::Null] {
        let provider = FakeProvider::new();
        provider.keys(&one_key(&ED25519, &kid));
        let (layer, _source, clock) = layer_of(&provider).await;
        let warm = signed(&ED25519, "EdDSA", &kid, 0);
        assert!(try_token(&layer, &warm).await.passed());
        for round in 2..5 {
            for number in 0..200 {
                // A forged signature. An unknown key. An algorithm of another key type.
                let forged = match number % 3 {
                    0 => signed(&ED25519_OTHER, "EdDSA", &kid, number),
                    1 => signed(&ED25519_OTHER, "EdDSA", &json!("nowhere"), number),
                    _ => signed(&P256, "ES256", &kid, number),
                };
                assert_eq!(try_token(&layer, &forged).await.refusal(), INVALID);
                assert_eq!(provider.calls(), round);
            }
            assert!(try_token(&layer, &warm).await.passed());
            clock.advance(seconds(30));
        }
    }
}

#[tokio::test]
async fn concurrent_forgeries_share_one_fetch_and_valid_tokens_do_not_wait() {
    let provider = FakeProvider::new();
    let kid = json!("sig");
    provider.keys(&one_key(&ED25519, &kid));
    let (layer, _source, _clock) = layer_of(&provider).await;
    provider.pause();
    let forged: Vec<_> = (0..100)
        .map(|number| spawn(&layer, signed(&ED25519_OTHER, "EdDSA", &kid, number)))
        .collect();
    settle().await;
    assert!(forged.iter().all(|request| !request.is_finished()));
    // A new token passes and then a cached one.
    let valid = signed(&ED25519, "EdDSA", &kid, 0);
    for _ in 0..2 {
        assert!(try_token(&layer, &valid).await.passed());
    }
    provider.release();
    for request in forged {
        assert_eq!(request.await.unwrap().refusal(), INVALID);
    }
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotated_key_is_fetched_once_on_many_threads() {
    let kid = json!("sig");
    for _ in 0..50 {
        let provider = FakeProvider::new();
        provider.keys(&one_key(&ED25519, &kid));
        let (layer, _source, _clock) = layer_of(&provider).await;
        provider.keys(&one_key(&ED25519_OTHER, &kid));
        let requests: Vec<_> = (0..32)
            .map(|number| spawn(&layer, signed(&ED25519_OTHER, "EdDSA", &kid, number)))
            .collect();
        for request in requests {
            assert!(request.await.unwrap().passed());
        }
        assert_eq!(provider.calls(), 2);
    }
}

#[tokio::test]
async fn unreachable_provider_keeps_old_keys_in_use_and_forgeries_rejected() {
    let provider = FakeProvider::new();
    let kid = json!("sig");
    provider.keys(&one_key(&ED25519, &kid));
    let (layer, _source, _clock) = layer_of(&provider).await;
    provider.fail(true);
    for number in 0..20 {
        let forged = signed(&ED25519_OTHER, "EdDSA", &kid, number);
        assert_eq!(try_token(&layer, &forged).await.refusal(), INVALID);
        assert!(try_token(&layer, &signed(&ED25519, "EdDSA", &kid, number)).await.passed());
    }
    assert_eq!(provider.calls(), 2);
}

#[tokio::test]
async fn request_that_fetched_the_first_keys_does_not_fetch_for_its_signature() {
    let provider = FakeProvider::new();
    provider.keys(&one_key(&ED25519, &json!("sig")));
    let source = provider.source().build().unwrap();
    let layer = AuthLayer::new(jwt_of(source));
    let forged = signed(&ED25519_OTHER, "EdDSA", &json!("sig"), 0);
    assert_eq!(try_token(&layer, &forged).await.refusal(), INVALID);
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn malformed_signature_causes_no_fetch() {
    let provider = FakeProvider::new();
    let (layer, _source, _clock) = layer_of(&provider).await;
    let valid = super::issuer::token("EdDSA", json!({}));
    let (signed, _) = valid.rsplit_once('.').unwrap();
    for signature in ["A", "AA=", "+/+/", &encode([7; 2_000])] {
        let outcome = try_token(&layer, &format!("{signed}.{signature}")).await;
        assert_eq!(outcome.refusal(), INVALID);
    }
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn unknown_key_and_invalid_signature_have_the_same_response() {
    let provider = FakeProvider::new();
    let (layer, _source, clock) = layer_of(&provider).await;
    for fetches in [true, false] {
        let outcomes = [
            signed(&ED25519_OTHER, "EdDSA", &json!("EdDSA"), 0),
            signed(&ED25519_OTHER, "EdDSA", &json!("nowhere"), 0),
            signed(&ED25519, "EdDSA", &json!("ES256"), 0),
        ];
        let mut seen = Vec::new();
        for token in outcomes {
            if fetches {
                clock.advance(seconds(30));
            }
            let calls = provider.calls();
            let outcome = try_token(&layer, &token).await;
            assert_eq!(provider.calls(), calls + usize::from(fetches));
            seen.push((outcome.status, outcome.headers, outcome.body));
        }
        assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:?}");
    }
}

// === Rejections without keys ===

#[tokio::test]
async fn detail_tells_whether_the_provider_was_reached() {
    let unreachable = "cannot be reached";
    let useless = "the identity provider's response has no usable keys";
    let oct = r#"{"keys":[{"kty":"oct","k":"AA"}]}"#;
    let (responses, unreachable_server) = (
        [(200, "<html>"), (200, r#"{"keys":[]}"#), (200, oct), (301, ""), (404, ""), (500, "")],
        [(200, "", unreachable)],
    );
    let cases = responses
        .into_iter()
        .map(|(status, body)| (status, body, useless))
        .chain(unreachable_server);
    for (status, body, expected) in cases {
        let provider = FakeProvider::new();
        provider.keys(body);
        provider.status(status);
        provider.fail(expected == unreachable);
        let layer = AuthLayer::new(jwt_of(provider.source().build().unwrap()));
        // The request that fetches and a request during the delay after it.
        for _ in 0..2 {
            let outcome = try_token(&layer, &super::issuer::token("EdDSA", json!({}))).await;
            assert_eq!(outcome.refusal(), UNAVAILABLE);
            assert_eq!(outcome.status, 503);
            assert_eq!(outcome.headers["retry-after"], "1");
            let json = outcome.json();
            assert!(json["detail"].as_str().unwrap().contains(expected), "{status} {body}: {json}");
            assert_eq!(json.to_string().contains(unreachable), expected == unreachable, "{json}");
        }
        assert_eq!(provider.calls(), 1);
    }
}
