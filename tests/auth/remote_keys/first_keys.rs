//! The first fetch and its failures.

use super::*;

#[tokio::test]
async fn first_requests_share_one_fetch() {
    let provider = FakeProvider::new();
    provider.pause();
    let (layer, source, _clock) = layer_of(provider.source());
    assert!(!source.is_ready());
    let requests: Vec<_> = (0..100).map(|_| spawn(&layer, token("EdDSA", json!({})))).collect();
    settle().await;
    assert_eq!(provider.calls(), 1);
    provider.release();
    for request in requests {
        assert!(request.await.unwrap().passed());
    }
    assert_eq!(provider.calls(), 1);
    assert!(source.is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_requests_share_one_fetch_on_many_threads() {
    for _ in 0..50 {
        let provider = FakeProvider::new();
        let (layer, _source, _clock) = layer_of(provider.source());
        let valid = token("EdDSA", json!({}));
        let requests: Vec<_> = (0..32).map(|_| spawn(&layer, valid.clone())).collect();
        for request in requests {
            assert!(request.await.unwrap().passed());
        }
        assert_eq!(provider.calls(), 1);
    }
}

#[tokio::test]
async fn malformed_token_causes_no_fetch() {
    let provider = FakeProvider::new();
    let (layer, _source, _clock) = layer_of(provider.source());
    for token in ["nonsense", "a.b.c", "a b", "\"", ""] {
        assert_eq!(try_token(&layer, token).await.status.as_u16() / 100, 4);
    }
    assert_eq!(provider.calls(), 0);
}

#[tokio::test]
async fn failed_fetches_are_retried_with_a_growing_delay_until_one_succeeds() {
    let provider = FakeProvider::new();
    provider.fail(true);
    let (layer, source, clock) = layer_of(provider.source());
    let valid = ed("EdDSA");
    for (fetches, pause) in [1_u64, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
        let outcome = try_token(&layer, &valid).await;
        assert_eq!(outcome.refusal(), UNAVAILABLE);
        assert_eq!(outcome.status, 503);
        assert_eq!(outcome.headers["retry-after"], pause.to_string());
        assert!(!outcome.headers.contains_key("www-authenticate"));
        assert_eq!(provider.calls(), fetches + 1);
        // No fetch starts during the delay.
        clock.advance(seconds(pause) - Duration::from_millis(1));
        let outcome = try_token(&layer, &valid).await;
        assert_eq!((outcome.refusal(), provider.calls()), (UNAVAILABLE, fetches + 1));
        assert_eq!(outcome.headers["retry-after"], "1");
        clock.advance(Duration::from_millis(1));
    }
    assert!(!source.is_ready());
    provider.fail(false);
    assert!(try_token(&layer, &valid).await.passed());

    // After a success the delays start at one second again.
    provider.fail(true);
    clock.advance(seconds(86_400));
    let outcome = try_token(&layer, &valid).await;
    assert_eq!(
        (outcome.refusal(), &outcome.headers["retry-after"]),
        (UNAVAILABLE, &"1".parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn slow_fetch_ends_at_the_timeout() {
    let provider = FakeProvider::new();
    provider.delay(seconds(3_600));
    let (layer, source, _clock) = layer_of(provider.source());
    let start = tokio::time::Instant::now();
    assert_eq!(try_token(&layer, &ed("EdDSA")).await.refusal(), UNAVAILABLE);
    assert_eq!(start.elapsed(), Duration::from_millis(1_500));
    assert_eq!(fault(source.refresh().await), "Timeout");
    assert_eq!(provider.dropped(), 2);

    // Discovery has two responses.
    provider.delay(Duration::from_millis(900));
    let remote = RemoteKeys::discovery(ISSUER, provider.client());
    let (layer, _source, _clock) = layer_of(remote.fetch_timeout(seconds(1)));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
}

#[tokio::test(start_paused = true)]
async fn endless_body_ends_at_the_timeout() {
    let body = || ScriptedBody::new([Step::Data(b"{"), Step::Stall]);
    let client = service_fn(move |_: Request<Empty<Bytes>>| async move {
        Ok::<_, std::io::Error>(Response::new(body()))
    });
    let (_layer, source, _clock) = layer_of(RemoteKeys::jwks(JWKS_URI, client));
    assert_eq!(fault(source.refresh().await), "Timeout");
}
