//! A key that was renewed under its old `kid`, or without one: found by one fetch in a cool-down,
//! which nobody can turn into more.

use serde_json::{Value, json};
use tower_inference::{
    auth::{AuthLayer, KeySource},
    clock::{FakeClock, SharedClock},
    rejection::Refusal,
};

use super::{
    Outcome, fake_clock, jwt_of,
    mint::{ED25519, ED25519_OTHER, NOW, P256, Pair, claims, encode, set},
    provider::Provider,
    seconds, try_token,
};

const INVALID: Option<Refusal> = Some(Refusal::InvalidToken);
const UNAVAILABLE: Option<Refusal> = Some(Refusal::IdentityProviderUnavailable);

/// A layer that remembers what held, over keys that are there.
async fn layer_of(provider: &Provider) -> (AuthLayer, KeySource, FakeClock) {
    let clock = fake_clock();
    let source = provider.source().build().unwrap().clock(SharedClock::new(clock.clone()));
    source.refresh().await.unwrap();
    let jwt = jwt_of(source.clone()).clock(SharedClock::new(clock.clone()));
    (AuthLayer::new(jwt), source, clock)
}

/// A token of this pair, that is another one for each `number`.
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

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_renewed_key_is_found_by_one_fetch() {
    for kid in [json!("sig"), Value::Null] {
        let provider = Provider::new();
        provider.keys(&one_key(&ED25519, &kid));
        let (layer, _source, clock) = layer_of(&provider).await;
        let warm = signed(&ED25519, "EdDSA", &kid, 0);
        assert!(try_token(&layer, &warm).await.passed());

        provider.keys(&one_key(&ED25519_OTHER, &kid));
        clock.advance(seconds(40));
        // Until somebody notices, tokens of the old key are remembered.
        assert!(try_token(&layer, &warm).await.passed());
        assert_eq!(provider.calls(), 1);
        assert!(try_token(&layer, &signed(&ED25519_OTHER, "EdDSA", &kid, 1)).await.passed());
        assert_eq!(provider.calls(), 2);
        assert!(try_token(&layer, &signed(&ED25519_OTHER, "EdDSA", &kid, 2)).await.passed());
        // No token outlives its key, remembered or not.
        for token in [warm, signed(&ED25519, "EdDSA", &kid, 3)] {
            assert_eq!(try_token(&layer, &token).await.refusal(), INVALID, "{kid}");
        }
        assert_eq!(provider.calls(), 2);
    }
}

#[tokio::test]
async fn a_key_that_is_renewed_with_another_algorithm_is_found() {
    for kid in [json!("sig"), Value::Null] {
        let provider = Provider::new();
        provider.keys(&one_key(&ED25519, &kid));
        let (layer, _source, _clock) = layer_of(&provider).await;
        provider.keys(&one_key(&P256, &kid));
        assert!(try_token(&layer, &signed(&P256, "ES256", &kid, 0)).await.passed());
        assert_eq!(provider.calls(), 2);
    }
}

#[tokio::test]
async fn keys_without_a_kid_overlap_while_they_are_renewed() {
    let provider = Provider::new();
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
    clock.advance(seconds(3_600));
    assert_eq!(try_token(&layer, &old(1)).await.refusal(), INVALID);
    assert!(try_token(&layer, &new(0)).await.passed());
}

#[tokio::test]
async fn forged_signatures_cost_one_fetch_in_a_cool_down() {
    for kid in [json!("sig"), Value::Null] {
        let provider = Provider::new();
        provider.keys(&one_key(&ED25519, &kid));
        let (layer, _source, clock) = layer_of(&provider).await;
        let warm = signed(&ED25519, "EdDSA", &kid, 0);
        assert!(try_token(&layer, &warm).await.passed());
        for round in 2..5 {
            for number in 0..200 {
                // Forgeries, keys that are nowhere, and an algorithm that the key is not for.
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
async fn concurrent_forgeries_share_the_fetch_and_valid_tokens_do_not_wait_for_it() {
    let provider = Provider::new();
    let kid = json!("sig");
    provider.keys(&one_key(&ED25519, &kid));
    let (layer, _source, _clock) = layer_of(&provider).await;
    provider.hold();
    let forged: Vec<_> = (0..100)
        .map(|number| spawn(&layer, signed(&ED25519_OTHER, "EdDSA", &kid, number)))
        .collect();
    settle().await;
    assert!(forged.iter().all(|request| !request.is_finished()));
    // Neither a new token nor one that is remembered.
    let held = signed(&ED25519, "EdDSA", &kid, 0);
    for _ in 0..2 {
        assert!(try_token(&layer, &held).await.passed());
    }
    provider.release();
    for request in forged {
        assert_eq!(request.await.unwrap().refusal(), INVALID);
    }
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_renewed_key_is_fetched_once_on_many_threads() {
    let kid = json!("sig");
    for _ in 0..50 {
        let provider = Provider::new();
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
async fn while_the_provider_is_away_the_old_keys_serve_and_forgeries_are_refused_at_once() {
    let provider = Provider::new();
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
async fn the_request_that_fetched_the_first_keys_does_not_fetch_for_its_signature() {
    let provider = Provider::new();
    provider.keys(&one_key(&ED25519, &json!("sig")));
    let source = provider.source().build().unwrap();
    let layer = AuthLayer::new(jwt_of(source));
    let forged = signed(&ED25519_OTHER, "EdDSA", &json!("sig"), 0);
    assert_eq!(try_token(&layer, &forged).await.refusal(), INVALID);
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn a_signature_that_cannot_be_read_makes_nobody_fetch() {
    let provider = Provider::new();
    let (layer, _source, _clock) = layer_of(&provider).await;
    let held = super::mint::token("EdDSA", json!({}));
    let (signed, _) = held.rsplit_once('.').unwrap();
    for signature in ["A", "AA=", "+/+/", &encode([7; 2_000])] {
        let outcome = try_token(&layer, &format!("{signed}.{signature}")).await;
        assert_eq!(outcome.refusal(), INVALID);
    }
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn an_unknown_key_and_a_bad_signature_look_the_same_from_outside() {
    let provider = Provider::new();
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

// === What the client is told of keys that are not there ===

#[tokio::test]
async fn a_provider_that_was_reached_is_not_called_unreachable() {
    let unreachable = "cannot be reached";
    let useless = "was reached, and its response has no keys that can be used";
    let oct = r#"{"keys":[{"kty":"oct","k":"AA"}]}"#;
    let (answers, away) = (
        [(200, "<html>"), (200, r#"{"keys":[]}"#), (200, oct), (301, ""), (404, ""), (500, "")],
        [(200, "", unreachable)],
    );
    let cases = answers.into_iter().map(|(status, body)| (status, body, useless)).chain(away);
    for (status, body, said) in cases {
        let provider = Provider::new();
        provider.keys(body);
        provider.status(status);
        provider.fail(said == unreachable);
        let layer = AuthLayer::new(jwt_of(provider.source().build().unwrap()));
        // The one that fetched, and one that comes in the pause after it.
        for _ in 0..2 {
            let outcome = try_token(&layer, &super::mint::token("EdDSA", json!({}))).await;
            assert_eq!(outcome.refusal(), UNAVAILABLE);
            assert_eq!(outcome.status, 503);
            assert_eq!(outcome.headers["retry-after"], "1");
            let told = outcome.json();
            assert!(told["detail"].as_str().unwrap().contains(said), "{status} {body}: {told}");
            assert_eq!(told.to_string().contains(unreachable), said == unreachable, "{told}");
        }
        assert_eq!(provider.calls(), 1);
    }
}
