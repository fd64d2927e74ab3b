//! How long a fetched set is used: `cache-control`, `etag` and fetches ahead of need.

use super::*;

/// Advances the clock and sends a request. Returns the number of fetches.
async fn calls_after(pause: u64, of: &(FakeProvider, AuthLayer, FakeClock)) -> usize {
    let (provider, layer, clock) = of;
    clock.advance(seconds(pause));
    assert!(try_token(layer, &ed("EdDSA")).await.passed());
    settle().await;
    provider.calls()
}

async fn fetched(
    field: Option<(&'static str, &'static str)>,
) -> (FakeProvider, AuthLayer, FakeClock) {
    let provider = FakeProvider::new();
    if let Some((name, value)) = field {
        provider.field(name, value);
    }
    let (layer, source, clock) = layer_of(provider.source());
    source.refresh().await.unwrap();
    (provider, layer, clock)
}

#[tokio::test]
async fn cache_control_is_honoured_between_a_minute_and_the_maximum_age() {
    for (value, age) in [
        ("public, max-age=300", 300),
        ("max-age=5", 60),
        ("no-store", 60),
        ("no-cache", 60),
        ("max-age=86400", 600),
        ("private", 600),
    ] {
        let of = fetched(Some(("cache-control", value))).await;
        assert_eq!(calls_after(age - 1, &of).await, 1, "{value}");
        assert_eq!(calls_after(1, &of).await, 2, "{value}");
    }
    let of = fetched(None).await;
    assert_eq!((calls_after(599, &of).await, calls_after(1, &of).await), (1, 2));
}

#[tokio::test]
async fn unchanged_set_is_renewed_by_its_tag() {
    let of = fetched(Some(("etag", "W/\"v1\""))).await;
    let (provider, layer, clock) = &of;
    // A body that cannot be used shows that it is not sent.
    provider.keys("not JSON");
    assert_eq!(calls_after(600, &of).await, 2);
    assert_eq!(calls_after(599, &of).await, 2);
    assert_eq!(calls_after(1, &of).await, 3);
    // The same tokens stay cached: the generation of the keys is the same.
    provider.field("etag", "\"v2\"");
    provider.keys(&one_key("new"));
    clock.advance(seconds(600));
    assert!(try_token(layer, &ed("EdDSA")).await.passed());
    settle().await;
    assert_eq!(try_token(layer, &ed("EdDSA")).await.refusal(), INVALID);
    assert!(try_token(layer, &ed("new")).await.passed());
}

#[tokio::test]
async fn tag_is_sent_to_the_address_that_gave_it() {
    let provider = FakeProvider::new();
    provider.field("etag", "\"v1\"");
    let (_, source, _) = layer_of(RemoteKeys::discovery(ISSUER, provider.client()));
    source.refresh().await.unwrap();
    source.refresh().await.unwrap();
    // Another address has another set, which may have the same tag by chance.
    provider.document(&format!(
        r#"{{"issuer":"{ISSUER}","jwks_uri":"https://keys.example/other.json"}}"#
    ));
    provider.keys("not JSON");
    assert_eq!(fault(source.refresh().await), "Malformed");
}

/// The number of fetches at each of `times` on tokio's clock. The keys never age on their own clock.
async fn fetches(source: &KeySource, provider: &FakeProvider, times: &[u64]) -> Vec<usize> {
    let fresh = tokio::spawn({
        let source = source.clone();
        async move { source.keep_fresh().await }
    });
    let start = tokio::time::Instant::now();
    let mut fetches = Vec::new();
    for time in times {
        tokio::time::sleep_until(start + seconds(*time)).await;
        settle().await;
        fetches.push(provider.calls());
    }
    // Dropping the future stops it.
    fresh.abort();
    assert!(fresh.await.unwrap_err().is_cancelled());
    tokio::time::sleep(seconds(86_400)).await;
    assert_eq!(provider.calls(), *fetches.last().unwrap());
    fetches
}

#[tokio::test(start_paused = true)]
async fn keep_fresh_fetches_at_75_to_90_percent_of_the_age() {
    let provider = FakeProvider::new();
    let (_layer, source, _clock) = layer_of(provider.source());
    let counts = fetches(&source, &provider, &[0, 449, 541, 899, 1_081]).await;
    assert_eq!(counts, [1, 1, 2, 2, 3]);
    // A shorter age of the response counts.
    let provider = FakeProvider::new();
    provider.field("cache-control", "max-age=60");
    let (_layer, source, _clock) = layer_of(provider.source());
    assert_eq!(fetches(&source, &provider, &[0, 44, 55, 88, 109]).await, [1, 1, 2, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn keep_fresh_retries_with_a_growing_delay() {
    let provider = FakeProvider::new();
    provider.fail(true);
    let (_layer, source, _clock) = layer_of(provider.source());
    // The delays of 1, 2 and 4 seconds grow by up to a quarter.
    let counts = fetches(&source, &provider, &[0, 1, 2, 3, 4, 6, 9]).await;
    assert_eq!(counts, [1, 1, 2, 2, 3, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn keep_fresh_retries_soon_while_the_keys_are_fresh() {
    let provider = FakeProvider::new();
    let (_layer, source, _clock) = layer_of(provider.source());
    source.refresh().await.unwrap();
    provider.fail(true);
    // The first try is at most at 540 seconds. The delays of 1 and 2 seconds grow by up to a quarter.
    let counts = fetches(&source, &provider, &[449, 545]).await;
    assert!(counts[0] == 1 && counts[1] >= 4, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn keep_fresh_leaves_a_fetch_to_the_request_that_made_it() {
    let provider = FakeProvider::new();
    let (_layer, source, clock) = layer_of(provider.source());
    let fetching = {
        let source = source.clone();
        tokio::spawn(async move {
            tokio::time::sleep(seconds(400)).await;
            clock.advance(seconds(400));
            source.refresh().await
        })
    };
    // Without the other fetch there would be one by 540 seconds.
    assert_eq!(fetches(&source, &provider, &[399, 401, 840]).await, [1, 2, 2]);
    assert_eq!(fetching.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn keep_fresh_times_differ_between_replicas() {
    let mut times = std::collections::BTreeSet::new();
    for _ in 0..16 {
        let provider = FakeProvider::new();
        let (_layer, source, _clock) = layer_of(provider.source());
        let start = tokio::time::Instant::now();
        let counting = async {
            while provider.calls() < 2 {
                tokio::time::sleep(seconds(1)).await;
            }
            start.elapsed().as_secs()
        };
        tokio::select! {
            elapsed = counting => times.insert(elapsed),
            () = source.keep_fresh() => unreachable!("it never returns"),
        };
    }
    // Sixteen times out of 90 seconds.
    assert!(times.len() > 4, "{times:?}");
}

#[tokio::test]
async fn keep_fresh_returns_for_keys_that_need_no_fetch() {
    let keys = tower_inference::auth::Keys::from_jwks(crate::issuer::jwks()).unwrap();
    KeySource::from(keys).keep_fresh().await;
}
