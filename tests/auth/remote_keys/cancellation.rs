//! Requests and fetches that are dropped.

use super::*;

#[tokio::test]
async fn dropped_request_does_not_stop_the_fetch_of_the_others() {
    for first_to_go in 0..4 {
        let provider = FakeProvider::new();
        provider.pause();
        let (layer, _source, _clock) = layer_of(provider.source());
        let mut requests: Vec<_> = (0..4).map(|_| spawn(&layer, ed("EdDSA"))).collect();
        settle().await;
        let gone = requests.remove(first_to_go);
        gone.abort();
        assert!(gone.await.is_err());
        provider.release();
        for request in requests {
            assert!(request.await.unwrap().passed());
        }
        assert_eq!((provider.calls(), provider.dropped()), (1, 0));
    }
}

#[tokio::test]
async fn fetch_without_waiters_continues_with_the_next_request() {
    let provider = FakeProvider::new();
    provider.pause();
    let (layer, source, clock) = layer_of(provider.source());
    let all_go = async || {
        let requests: Vec<_> = (0..4).map(|_| spawn(&layer, ed("EdDSA"))).collect();
        settle().await;
        for request in requests {
            request.abort();
            assert!(request.await.is_err());
        }
    };
    all_go().await;
    all_go().await;
    assert_eq!((provider.calls(), provider.dropped()), (1, 0));

    // The response can no longer arrive in time. The next request starts a new fetch without a
    // delay.
    clock.advance(seconds(3));
    all_go().await;
    assert_eq!((provider.calls(), provider.dropped()), (2, 1));
    provider.release();
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    assert_eq!(provider.calls(), 2);

    // Dropping the source drops the fetch and its task.
    provider.pause();
    clock.advance(seconds(600));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    settle().await;
    assert_eq!((provider.calls(), provider.dropped()), (3, 1));
    drop((layer, source));
    settle().await;
    assert_eq!((provider.calls(), provider.dropped()), (3, 2));
}

#[tokio::test]
async fn fetch_for_aged_keys_does_not_need_the_request_that_started_it() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source());
    source.refresh().await.unwrap();
    provider.pause();
    clock.advance(seconds(600));
    let service = layer.layer(service_fn(|_request: Request<Full<Bytes>>| {
        std::future::pending::<Result<Response<Full<Bytes>>, std::io::Error>>()
    }));
    let one = tokio::spawn(service.oneshot(bearer(&ed("EdDSA"))));
    settle().await;
    one.abort();
    assert!(one.await.is_err());
    provider.release();
    settle().await;
    assert_eq!((provider.calls(), provider.dropped()), (2, 0));
    assert_eq!(source.age(), Some(Duration::ZERO));
}

#[tokio::test]
async fn client_that_disconnects_does_not_keep_others_from_rotated_keys() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source());
    source.refresh().await.unwrap();
    provider.keys(&one_key("new"));
    // A token with an unknown key and an invalid signature.
    let junk = "eyJhbGciOiJFZERTQSIsImtpZCI6InplcyJ9.e30.AAAA";
    for _ in 0..3 {
        provider.pause();
        let disconnecting = spawn(&layer, junk.to_owned());
        settle().await;
        disconnecting.abort();
        assert!(disconnecting.await.is_err());
        clock.advance(seconds(10));
    }
    provider.release();
    assert!(try_token(&layer, &ed("new")).await.passed());
    // The number of fetches is bounded.
    assert!(provider.calls() <= 1 + 4, "{}", provider.calls());
}

#[tokio::test]
async fn keys_are_fetched_before_they_become_unusable() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source().max_stale_age(seconds(600)));
    source.refresh().await.unwrap();
    for _ in 0..10 {
        clock.advance(seconds(301));
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
        settle().await;
    }
    assert_eq!(provider.calls(), 1 + 10);
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

#[tokio::test]
async fn request_that_is_never_polled_again_does_not_delay_the_others() {
    let provider = FakeProvider::new();
    provider.pause();
    let (layer, _source, _clock) = layer_of(provider.source());
    let valid = ed("EdDSA");
    let mut idle = pin!(try_token(&layer, &valid));
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&flag));
    // The request starts the fetch and is not polled again.
    assert!(idle.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let other = spawn(&layer, ed("EdDSA"));
    settle().await;
    provider.release();
    assert!(other.await.unwrap().passed());
    assert!(flag.0.load(SeqCst));
    assert!(idle.await.passed());
    assert_eq!(provider.calls(), 1);
}

#[tokio::test]
async fn panic_of_the_client_fails_one_request() {
    let provider = FakeProvider::new();
    let panics = Arc::new(AtomicBool::new(true));
    let client = {
        let (panics, client) = (Arc::clone(&panics), provider.client());
        service_fn(move |request| {
            let (panics, mut client) = (Arc::clone(&panics), client.clone());
            async move {
                tokio::task::yield_now().await;
                assert!(!panics.load(SeqCst), "expected by the test");
                client.call(request).await
            }
        })
    };
    let (layer, _source, clock) = layer_of(RemoteKeys::jwks(JWKS_URI, client));
    let requests: Vec<_> = (0..4).map(|_| spawn(&layer, ed("EdDSA"))).collect();
    let mut panicked = 0;
    for request in requests {
        match request.await {
            Ok(outcome) => assert_eq!(outcome.refusal(), UNAVAILABLE),
            Err(_) => panicked += 1,
        }
    }
    assert_eq!(panicked, 1);
    panics.store(false, SeqCst);
    clock.advance(seconds(1));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
}
