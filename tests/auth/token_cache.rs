//! The cache of verified tokens.

use std::time::UNIX_EPOCH;

use serde_json::json;
use tower_inference::{
    auth::{AuthLayer, Keys},
    clock::SharedClock,
    rejection::Refusal,
};

use super::{
    fake_clock,
    issuer::{ED25519, ED25519_OTHER, ISSUER, NOW, claims, jwks, set, token},
    jwt, jwt_of, seconds, settle, try_token,
};
use crate::fake_provider::FakeProvider;

#[tokio::test]
async fn cached_token_expires_at_the_exact_second() {
    let clock = fake_clock();
    for leeway in [0, 30] {
        let clock = clock.clone();
        clock.set_wall(UNIX_EPOCH + seconds(NOW));
        let jwt = jwt().clock(SharedClock::new(clock.clone())).leeway(seconds(leeway));
        let layer = AuthLayer::new(jwt);
        let valid = token("EdDSA", json!({ "exp": NOW + 300 }));
        assert!(try_token(&layer, &valid).await.passed());
        clock.advance(seconds(299 + leeway));
        assert!(try_token(&layer, &valid).await.passed());
        clock.advance(seconds(1));
        assert_eq!(try_token(&layer, &valid).await.refusal(), Some(Refusal::ExpiredToken));
    }
}

#[tokio::test]
async fn setting_the_clock_back_does_not_extend_a_token() {
    let clock = fake_clock();
    let layer = AuthLayer::new(jwt().clock(SharedClock::new(clock.clone())));
    let valid = token("EdDSA", json!({ "exp": NOW + 300 }));
    assert!(try_token(&layer, &valid).await.passed());
    clock.advance(seconds(200));
    clock.set_wall(UNIX_EPOCH + seconds(NOW));
    // The monotonic clock leaves 100 seconds.
    assert!(try_token(&layer, &valid).await.passed());
    clock.advance(seconds(100));
    clock.set_wall(UNIX_EPOCH + seconds(NOW));
    for _ in 0..2 {
        assert_eq!(try_token(&layer, &valid).await.refusal(), Some(Refusal::ExpiredToken));
    }
}

#[tokio::test]
async fn token_expires_when_the_clock_is_set_ahead_until_it_is_corrected() {
    let clock = fake_clock();
    let layer = AuthLayer::new(jwt().clock(SharedClock::new(clock.clone())));
    let valid = token("EdDSA", json!({ "exp": NOW + 300 }));
    assert!(try_token(&layer, &valid).await.passed());
    clock.set_wall(UNIX_EPOCH + seconds(NOW + 300));
    assert!(!try_token(&layer, &valid).await.passed());
    clock.set_wall(UNIX_EPOCH + seconds(NOW));
    assert!(try_token(&layer, &valid).await.passed());
    // Before `iat`.
    clock.set_wall(UNIX_EPOCH + seconds(NOW - 11));
    assert_eq!(try_token(&layer, &valid).await.refusal(), Some(Refusal::InvalidToken));
}

#[tokio::test]
async fn two_layers_do_not_share_a_cache() {
    let clock = SharedClock::new(fake_clock());
    let open = AuthLayer::new(jwt().clock(clock.clone()));
    let strict = AuthLayer::new(jwt().clock(clock.clone()).required_scopes(["infer"]).unwrap());
    let elsewhere = tower_inference::auth::Jwt::new(Keys::from_jwks(jwks()).unwrap(), ISSUER, "b");
    let elsewhere = AuthLayer::new(elsewhere.clock(clock));
    let valid = token("EdDSA", json!({}));
    for _ in 0..2 {
        assert!(try_token(&open, &valid).await.passed());
        assert_eq!(try_token(&strict, &valid).await.refusal(), Some(Refusal::InsufficientScope));
        assert_eq!(try_token(&elsewhere, &valid).await.refusal(), Some(Refusal::InvalidToken));
    }
}

#[tokio::test]
async fn token_leaves_the_cache_when_the_keys_change() {
    let provider = FakeProvider::new();
    let old = ED25519.jwk_with(json!({ "kid": "k" }));
    provider.keys(&set(std::slice::from_ref(&old)));
    let clock = fake_clock();
    let source = provider.source().max_age(seconds(60)).build().unwrap();
    let jwt = jwt_of(source).clock(SharedClock::new(clock.clone()));
    let layer = AuthLayer::new(jwt);

    let header = json!({ "alg": "EdDSA", "kid": "k" });
    let valid = ED25519.token(&header, &claims(json!({})));
    assert!(try_token(&layer, &valid).await.passed());

    // A fetch of the same keys keeps the cache. A new key under the same `kid` clears it.
    clock.advance(seconds(60));
    assert!(try_token(&layer, &valid).await.passed());
    settle().await;
    provider.keys(&set(&[ED25519_OTHER.jwk_with(json!({ "kid": "k" }))]));
    clock.advance(seconds(59));
    assert!(try_token(&layer, &valid).await.passed());
    clock.advance(seconds(1));
    // The request that starts the fetch does not wait for it.
    assert!(try_token(&layer, &valid).await.passed());
    settle().await;
    assert_eq!(try_token(&layer, &valid).await.refusal(), Some(Refusal::InvalidToken));
    // The rejected token may have a new key.
    assert_eq!(provider.calls(), 4);
}

#[tokio::test]
async fn token_leaves_the_cache_when_the_kid_of_its_key_changes() {
    let provider = FakeProvider::new();
    provider.keys(&set(&[ED25519.jwk_with(json!({ "kid": "k" }))]));
    let source = provider.source().build().unwrap();
    let layer = AuthLayer::new(jwt_of(source.clone()));
    let valid = ED25519.token(&json!({ "alg": "EdDSA", "kid": "k" }), &claims(json!({})));
    assert!(try_token(&layer, &valid).await.passed());
    provider.keys(&set(&[ED25519.jwk_with(json!({ "kid": "l" }))]));
    source.refresh().await.unwrap();
    assert_eq!(try_token(&layer, &valid).await.refusal(), Some(Refusal::InvalidToken));
}

#[tokio::test]
async fn token_passes_without_a_cache() {
    let layer = AuthLayer::new(jwt().max_cache_bytes(0));
    let valid = token("EdDSA", json!({}));
    for _ in 0..3 {
        assert!(try_token(&layer, &valid).await.passed());
    }
}

#[tokio::test]
async fn cached_token_does_not_validate_a_similar_token() {
    // Two ECDSA signatures of the same claims differ.
    let layer = AuthLayer::new(jwt());
    let (one, two) = (token("ES256", json!({})), token("ES256", json!({})));
    assert_ne!(one, two);
    assert!(try_token(&layer, &one).await.passed());
    let (signed, _) = one.rsplit_once('.').unwrap();
    let (_, other) = token("ES256", json!({ "sub": "admin" }))
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert!(!try_token(&layer, &format!("{signed}.{other}")).await.passed());
    // The cached signature with other claims.
    let admin = token("ES256", json!({ "sub": "admin" }));
    let (admin, _) = admin.rsplit_once('.').unwrap();
    let (_, signature) = one.rsplit_once('.').unwrap();
    assert!(!try_token(&layer, &format!("{admin}.{signature}")).await.passed());
}

#[tokio::test]
async fn tokens_pass_beyond_the_size_of_the_cache() {
    let layer = AuthLayer::new(jwt().max_cache_bytes(64 << 10));
    let first = token("EdDSA", json!({ "sub": "first" }));
    assert!(try_token(&layer, &first).await.passed());
    for number in 0..1_000 {
        let valid = token("EdDSA", json!({ "sub": number.to_string() }));
        let outcome = try_token(&layer, &valid).await;
        assert_eq!(outcome.identity.unwrap().subject(), number.to_string());
    }
    assert!(try_token(&layer, &first).await.passed());
}
