//! Fetches of aged keys and unusable responses.

use super::*;

#[tokio::test]
async fn aged_keys_are_fetched_once_and_no_request_waits() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source());
    source.refresh().await.unwrap();
    clock.advance(seconds(600) - Duration::from_millis(1));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    assert_eq!(provider.calls(), 1);

    clock.advance(Duration::from_millis(1));
    provider.pause();
    for _ in 0..10 {
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
        settle().await;
        assert_eq!(provider.calls(), 2);
        clock.advance(seconds(1));
    }
    provider.release();
    settle().await;
    assert_eq!(source.age(), Some(Duration::ZERO));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    assert_eq!((provider.calls(), provider.dropped()), (2, 0));
}

/// The key is removed, no new key appears and no other request comes.
#[tokio::test]
async fn withdrawn_key_stops_working_once_the_new_set_has_arrived() {
    for discovered in [true, false] {
        let provider = FakeProvider::new();
        let remote = if discovered {
            RemoteKeys::discovery(ISSUER, provider.client())
        } else {
            provider.source()
        };
        let clock = fake_clock();
        let source = remote.build().unwrap().clock(SharedClock::new(clock.clone()));
        // With a cache of tokens.
        let layer = AuthLayer::new(jwt_of(source).clock(SharedClock::new(clock.clone())));
        let warm = ed("EdDSA");
        assert!(try_token(&layer, &warm).await.passed());
        provider.keys(&set(&[crate::issuer::P256.jwk_with(json!({ "kid": "ES256" }))]));
        clock.advance(seconds(599));
        assert!(try_token(&layer, &warm).await.passed());
        assert_eq!(provider.calls(), 1);
        clock.advance(seconds(1));
        // The request that starts the fetch passes although the response never waits for anything.
        assert!(try_token(&layer, &warm).await.passed());
        settle().await;
        assert_eq!(provider.calls(), 2);
        assert_eq!(try_token(&layer, &warm).await.refusal(), INVALID);
        // The rejected token may be one of a new key.
        clock.advance(seconds(31));
        assert_eq!(try_token(&layer, &warm).await.refusal(), INVALID);
    }
}

#[test]
fn fetch_for_aged_keys_outlives_the_runtime_that_started_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source());
    runtime().block_on(source.refresh()).unwrap();
    clock.advance(seconds(600));
    provider.pause();
    runtime().block_on(async {
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
        settle().await;
    });
    // The task ended with its runtime. The next request that may fetch continues the fetch.
    provider.release();
    clock.advance(seconds(1));
    runtime().block_on(async {
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
        settle().await;
    });
    assert_eq!((provider.calls(), provider.dropped()), (2, 0));
    assert_eq!(source.age(), Some(Duration::ZERO));
}

#[tokio::test]
async fn stale_keys_stay_in_use_up_to_max_stale_age() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source().max_stale_age(seconds(7_200)));
    source.refresh().await.unwrap();
    provider.fail(true);
    clock.advance(seconds(600));
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        let calls = provider.calls();
        for _ in 0..5 {
            assert!(try_token(&layer, &ed("EdDSA")).await.passed());
            settle().await;
        }
        assert_eq!(provider.calls(), calls + 1);
        clock.advance(seconds(pause));
    }
    clock.advance(seconds(6_500) - Duration::from_millis(1));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    assert!(source.is_ready());
    clock.advance(seconds(30));
    assert!(!source.is_ready());
    assert_eq!(try_token(&layer, &ed("EdDSA")).await.refusal(), UNAVAILABLE);
    provider.fail(false);
    clock.advance(seconds(30));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
}

#[tokio::test]
async fn unusable_response_never_replaces_usable_keys() {
    let provider = FakeProvider::new();
    let (layer, source, _clock) = layer_of(provider.source());
    source.refresh().await.unwrap();
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(512 << 10));
    for (text, error) in [
        ("", "Malformed"),
        ("<html>", "Malformed"),
        ("{}", "Malformed"),
        ("{\"keys\":[]}", "NoUsableKey"),
        ("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}", "NoUsableKey"),
        (&large, "TooLarge"),
    ] {
        provider.keys(text);
        assert_eq!(fault(source.refresh().await), error);
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    }
    provider.keys(&crate::issuer::jwks());
    for status in [201, 204, 301, 302, 304, 307, 404, 500, 503] {
        provider.status(status);
        let received = source.refresh().await.unwrap_err();
        assert_eq!(received.fault, KeysFault::Status(status));
    }
    provider.status(200);
    provider.fail(true);
    assert_eq!(fault(source.refresh().await), "Unreachable");
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_on_many_threads_cause_one_failed_fetch_for_aged_keys() {
    for _ in 0..50 {
        let provider = FakeProvider::new();
        let (layer, source, clock) = layer_of(provider.source());
        source.refresh().await.unwrap();
        provider.fail(true);
        clock.advance(seconds(600));
        let requests: Vec<_> = (0..32).map(|_| spawn(&layer, ed("EdDSA"))).collect();
        for request in requests {
            assert!(request.await.unwrap().passed());
        }
        // The task runs on another thread.
        while provider.calls() < 2 {
            tokio::task::yield_now().await;
        }
        settle().await;
        assert_eq!(provider.calls(), 2);
    }
}

#[tokio::test]
async fn request_that_has_waited_does_not_wait_again() {
    let provider = FakeProvider::new();
    provider.pause();
    let (layer, _source, clock) = layer_of(provider.source());
    // The first request that passes ages the keys while the others resume.
    let service = layer.layer(service_fn(move |_request: Request<Full<Bytes>>| {
        clock.advance(seconds(600));
        async { Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::default())) }
    }));
    let claims = claims(json!({ "exp": crate::NOW + 100_000 }));
    let valid = ED25519.token(&json!({ "alg": "EdDSA", "kid": "EdDSA" }), &claims);
    let requests: Vec<_> =
        (0..3).map(|_| tokio::spawn(service.clone().oneshot(bearer(&valid)))).collect();
    settle().await;
    provider.release();
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn maximum_ages_do_not_overflow() {
    let provider = FakeProvider::new();
    let remote = provider.source().max_age(Duration::MAX).max_stale_age(Duration::MAX);
    let (layer, _source, clock) = layer_of(remote);
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    clock.advance(seconds(900_000));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    assert_eq!(provider.calls(), 1);
}
