//! Fetches for tokens that no key verifies.

use super::*;

#[tokio::test]
async fn requests_with_an_unknown_key_share_one_fetch() {
    let provider = FakeProvider::new();
    provider.keys(&one_key("old"));
    let (layer, _source, _clock) = layer_of(provider.source());
    assert!(try_token(&layer, &ed("old")).await.passed());

    provider.keys(&set(&[
        ED25519.jwk_with(json!({ "kid": "old" })),
        ED25519.jwk_with(json!({ "kid": "new" })),
    ]));
    provider.pause();
    let requests: Vec<_> = (0..100).map(|_| spawn(&layer, ed("new"))).collect();
    settle().await;
    // Requests with a known key do not wait.
    assert!(try_token(&layer, &ed("old")).await.passed());
    provider.release();
    for request in requests {
        assert!(request.await.unwrap().passed());
    }
    assert_eq!(provider.calls(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_with_an_unknown_key_share_one_fetch_on_many_threads() {
    for _ in 0..50 {
        let provider = FakeProvider::new();
        provider.keys(&one_key("old"));
        let (layer, source, _clock) = layer_of(provider.source());
        source.refresh().await.unwrap();
        provider.keys(&one_key("new"));
        let requests: Vec<_> = (0..32).map(|_| spawn(&layer, ed("new"))).collect();
        for request in requests {
            assert!(request.await.unwrap().passed());
        }
        assert_eq!(provider.calls(), 2);
    }
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_in_a_cool_down() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source().cool_down(seconds(30)));
    // The fetch at startup does not start the cool-down.
    source.refresh().await.unwrap();
    assert_eq!(provider.calls(), 1);
    for round in 2..5 {
        for number in 0..10 {
            let outcome = try_token(&layer, &ed(&format!("nobody-{number}"))).await;
            assert_eq!((outcome.refusal(), provider.calls()), (INVALID, round));
        }
        clock.advance(seconds(30) - Duration::from_millis(1));
        assert_eq!(try_token(&layer, &ed("nobody")).await.refusal(), INVALID);
        assert_eq!(provider.calls(), round);
        clock.advance(Duration::from_millis(1));
    }
}

#[tokio::test]
async fn failed_fetch_for_an_unknown_key_starts_the_cool_down_and_keeps_the_keys() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source());
    source.refresh().await.unwrap();
    provider.fail(true);
    for _ in 0..5 {
        assert_eq!(try_token(&layer, &ed("nobody")).await.refusal(), INVALID);
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
        clock.advance(seconds(5));
    }
    assert_eq!(provider.calls(), 2);
    provider.fail(false);
    clock.advance(seconds(5));
    provider.keys(&one_key("new"));
    assert!(try_token(&layer, &ed("new")).await.passed());
    assert_eq!(provider.calls(), 3);
}

#[tokio::test]
async fn request_that_fetched_the_first_keys_does_not_fetch_again() {
    let provider = FakeProvider::new();
    let (layer, _source, _clock) = layer_of(provider.source());
    assert_eq!(try_token(&layer, &ed("nobody")).await.refusal(), INVALID);
    assert_eq!(provider.calls(), 1);
    assert_eq!(try_token(&layer, &ed("nobody")).await.refusal(), INVALID);
    assert_eq!(provider.calls(), 2);
}

#[tokio::test]
async fn minimum_cool_down_is_a_second() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source().cool_down(Duration::ZERO));
    source.refresh().await.unwrap();
    for _ in 0..10 {
        try_token(&layer, &ed("nobody")).await;
    }
    assert_eq!(provider.calls(), 2);
    clock.advance(seconds(1));
    try_token(&layer, &ed("nobody")).await;
    assert_eq!(provider.calls(), 3);
}
