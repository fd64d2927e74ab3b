//! Fetched keys: when they are fetched, which requests wait and how failures end.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use serde_json::json;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    auth::{AuthLayer, KeySource, KeysError, RemoteKeys},
    client::HttpsClient,
    clock::{FakeClock, SharedClock},
    payload::Payload,
    rejection::Refusal,
};

use super::{
    Outcome, bearer, fake_clock,
    fake_provider::{FakeProvider, JWKS_URI, client_with_other_types},
    issuer::{ED25519, ISSUER, claims, set, token},
    jwt_of, seconds,
    support::{Probe, ScriptedBody, Step},
    try_token,
};

/// A layer with the provider's keys and its clock.
fn layer_of(remote: RemoteKeys) -> (AuthLayer, KeySource, FakeClock) {
    let clock = fake_clock();
    let source = remote.build().unwrap().clock(SharedClock::new(clock.clone()));
    // Without a token cache each request needs the keys.
    let jwt = jwt_of(source.clone()).clock(SharedClock::new(clock.clone())).max_cache_bytes(0);
    (AuthLayer::new(jwt), source, clock)
}

fn ed(kid: &str) -> String {
    // The expiry is later than any time of a test.
    let claims = claims(json!({ "exp": super::NOW + 1_000_000 }));
    ED25519.token(&json!({ "alg": "EdDSA", "kid": kid }), &claims)
}

fn one_key(kid: &str) -> String {
    set(&[ED25519.jwk_with(json!({ "kid": kid }))])
}

const UNAVAILABLE: Option<Refusal> = Some(Refusal::IdentityProviderUnavailable);
const INVALID: Option<Refusal> = Some(Refusal::InvalidToken);

fn spawn(layer: &AuthLayer, token: String) -> tokio::task::JoinHandle<Outcome> {
    let layer = layer.clone();
    tokio::spawn(async move { try_token(&layer, &token).await })
}

/// Lets every other task run until it waits.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

// === First keys ===

#[tokio::test]
async fn first_requests_share_one_fetch() {
    let provider = FakeProvider::new();
    provider.hold();
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
        let held = token("EdDSA", json!({}));
        let requests: Vec<_> = (0..32).map(|_| spawn(&layer, held.clone())).collect();
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
    let held = ed("EdDSA");
    for (fetches, pause) in [1_u64, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
        let outcome = try_token(&layer, &held).await;
        assert_eq!(outcome.refusal(), UNAVAILABLE);
        assert_eq!(outcome.status, 503);
        assert_eq!(outcome.headers["retry-after"], pause.to_string());
        assert!(!outcome.headers.contains_key("www-authenticate"));
        assert_eq!(provider.calls(), fetches + 1);
        // No fetch starts during the delay.
        clock.advance(seconds(pause) - Duration::from_millis(1));
        let outcome = try_token(&layer, &held).await;
        assert_eq!((outcome.refusal(), provider.calls()), (UNAVAILABLE, fetches + 1));
        assert_eq!(outcome.headers["retry-after"], "1");
        clock.advance(Duration::from_millis(1));
    }
    assert!(!source.is_ready());
    provider.fail(false);
    assert!(try_token(&layer, &held).await.passed());

    // After a success the delays start at one second again.
    provider.fail(true);
    clock.advance(seconds(86_400));
    let outcome = try_token(&layer, &held).await;
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
    assert_eq!(source.refresh().await, Err(KeysError::Timeout));
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
    assert_eq!(source.refresh().await, Err(KeysError::Timeout));
}

// === Unknown keys ===

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
    provider.hold();
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

// === Age ===

#[tokio::test]
async fn one_request_fetches_aged_keys_and_the_others_proceed() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source());
    source.refresh().await.unwrap();
    clock.advance(seconds(3_600) - Duration::from_millis(1));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    assert_eq!(provider.calls(), 1);

    clock.advance(Duration::from_millis(1));
    provider.hold();
    let one = spawn(&layer, ed("EdDSA"));
    settle().await;
    assert!(!one.is_finished());
    for _ in 0..10 {
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
        clock.advance(seconds(1));
    }
    provider.release();
    assert!(one.await.unwrap().passed());
    assert_eq!(provider.calls(), 2);
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    assert_eq!(provider.calls(), 2);
}

#[tokio::test]
async fn stale_keys_stay_in_use_up_to_max_stale_age() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source().max_stale_age(seconds(7_200)));
    source.refresh().await.unwrap();
    provider.fail(true);
    clock.advance(seconds(3_600));
    for pause in [1, 2, 4, 8, 16, 30, 30] {
        let calls = provider.calls();
        for _ in 0..5 {
            assert!(try_token(&layer, &ed("EdDSA")).await.passed());
        }
        assert_eq!(provider.calls(), calls + 1);
        clock.advance(seconds(pause));
    }
    clock.advance(seconds(3_500) - Duration::from_millis(1));
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
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(150_000));
    for (text, error) in [
        ("", KeysError::Malformed),
        ("<html>", KeysError::Malformed),
        ("{}", KeysError::Malformed),
        ("{\"keys\":[]}", KeysError::NoUsableKey),
        ("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"}]}", KeysError::NoUsableKey),
        (&large, KeysError::TooLarge),
    ] {
        provider.keys(text);
        assert_eq!(source.refresh().await, Err(error));
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    }
    provider.keys(&super::issuer::jwks());
    for status in [201, 204, 301, 302, 304, 307, 404, 500, 503] {
        provider.status(status);
        assert_eq!(source.refresh().await, Err(KeysError::Status(status)));
    }
    provider.status(200);
    provider.fail(true);
    assert_eq!(source.refresh().await, Err(KeysError::Unreachable));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_on_many_threads_cause_one_failed_fetch_for_aged_keys() {
    for _ in 0..50 {
        let provider = FakeProvider::new();
        let (layer, source, clock) = layer_of(provider.source());
        source.refresh().await.unwrap();
        provider.fail(true);
        clock.advance(seconds(3_600));
        let requests: Vec<_> = (0..32).map(|_| spawn(&layer, ed("EdDSA"))).collect();
        for request in requests {
            assert!(request.await.unwrap().passed());
        }
        assert_eq!(provider.calls(), 2);
    }
}

#[tokio::test]
async fn request_that_has_waited_does_not_wait_again() {
    let provider = FakeProvider::new();
    provider.hold();
    let (layer, _source, clock) = layer_of(provider.source());
    // The first request that passes ages the keys while the others resume.
    let service = layer.layer(service_fn(move |_request: Request<Full<Bytes>>| {
        clock.advance(seconds(3_600));
        async { Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::default())) }
    }));
    let claims = claims(json!({ "exp": super::NOW + 100_000 }));
    let held = ED25519.token(&json!({ "alg": "EdDSA", "kid": "EdDSA" }), &claims);
    let requests: Vec<_> =
        (0..3).map(|_| tokio::spawn(service.clone().oneshot(bearer(&held)))).collect();
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

// === Bounds ===

#[tokio::test]
async fn response_body_is_bounded() {
    let set = super::issuer::jwks();
    let provider = FakeProvider::new();
    let (_, source, _) = layer_of(provider.source().max_body_bytes(set.len()));
    assert_eq!(source.refresh().await, Ok(()));
    let (_, source, _) = layer_of(provider.source().max_body_bytes(set.len() - 1));
    assert_eq!(source.refresh().await, Err(KeysError::TooLarge));

    // An endless body and a body that announces its length.
    let bodies: [fn() -> ScriptedBody; 2] = [
        || ScriptedBody::new((0..1_000).map(|_| Step::Data(&[b' '; 1_000]))),
        || ScriptedBody::new([Step::Stall]).announce(150_001),
    ];
    for body in bodies {
        let client = service_fn(move |_: Request<Empty<Bytes>>| async move {
            Ok::<_, std::io::Error>(Response::new(body()))
        });
        let (_, source, _) = layer_of(RemoteKeys::jwks(JWKS_URI, client));
        assert_eq!(source.refresh().await, Err(KeysError::TooLarge));
    }
}

#[tokio::test]
async fn broken_body_is_an_error() {
    let client = service_fn(|_: Request<Empty<Bytes>>| async {
        Ok::<_, std::io::Error>(Response::new(ScriptedBody::new([Step::Data(b"{"), Step::Error])))
    });
    let (_, source, _) = layer_of(RemoteKeys::jwks(JWKS_URI, client));
    assert_eq!(source.refresh().await, Err(KeysError::Unreachable));
    let (_, source, _) = layer_of(RemoteKeys::jwks(JWKS_URI, client_with_other_types()));
    assert_eq!(source.refresh().await, Ok(()));
}

#[tokio::test]
async fn number_of_waiting_requests_is_bounded() {
    let provider = FakeProvider::new();
    provider.hold();
    let (layer, source, _clock) = layer_of(provider.source().max_waiting(3));
    let waiting: Vec<_> = (0..3).map(|_| spawn(&layer, ed("EdDSA"))).collect();
    settle().await;
    let outcome = try_token(&layer, &ed("EdDSA")).await;
    assert_eq!(outcome.refusal(), UNAVAILABLE);
    assert_eq!(outcome.headers["retry-after"], "1");
    assert_eq!(source.refresh().await, Err(KeysError::Busy));
    provider.release();
    for request in waiting {
        assert!(request.await.unwrap().passed());
    }

    // The wait permits of dropped requests are returned.
    let provider = FakeProvider::new();
    provider.hold();
    let (layer, source, _clock) = layer_of(provider.source().max_waiting(1));
    for _ in 1..10 {
        let gone = spawn(&layer, ed("EdDSA"));
        settle().await;
        gone.abort();
        assert!(gone.await.is_err());
        // All requests joined the same fetch.
        assert_eq!((provider.calls(), provider.dropped()), (1, 0));
    }
    provider.release();
    assert_eq!(source.refresh().await, Ok(()));
}

// === Cancellation ===

#[tokio::test]
async fn dropped_request_does_not_stop_the_fetch_of_the_others() {
    for first_to_go in 0..4 {
        let provider = FakeProvider::new();
        provider.hold();
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
    provider.hold();
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

    // The response can no longer arrive in time. The next request starts a new fetch without a delay.
    clock.advance(seconds(3));
    all_go().await;
    assert_eq!((provider.calls(), provider.dropped()), (2, 1));
    provider.release();
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    assert_eq!(provider.calls(), 2);

    // Dropping the source drops the fetch.
    provider.hold();
    clock.advance(seconds(3_600));
    let one = spawn(&layer, ed("EdDSA"));
    settle().await;
    one.abort();
    assert!(one.await.is_err());
    assert_eq!((provider.calls(), provider.dropped()), (3, 1));
    drop((layer, source));
    assert_eq!((provider.calls(), provider.dropped()), (3, 2));
}

#[tokio::test]
async fn fetch_for_aged_keys_without_waiters_continues_with_the_next_request() {
    let provider = FakeProvider::new();
    let (layer, source, clock) = layer_of(provider.source());
    source.refresh().await.unwrap();
    provider.hold();
    clock.advance(seconds(3_600));
    let one = spawn(&layer, ed("EdDSA"));
    settle().await;
    one.abort();
    assert!(one.await.is_err());
    provider.release();
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    assert_eq!((provider.calls(), provider.dropped()), (2, 0));
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
        provider.hold();
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
    provider.hold();
    let (layer, _source, _clock) = layer_of(provider.source());
    let held = ed("EdDSA");
    let mut idle = pin!(try_token(&layer, &held));
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

// === Discovery ===

#[tokio::test]
async fn discovery_finds_the_keys() {
    let provider = FakeProvider::new();
    let (layer, source, _clock) = layer_of(RemoteKeys::discovery(ISSUER, provider.client()));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    let document = format!("{ISSUER}/.well-known/openid-configuration");
    assert_eq!(provider.seen(), [document.as_str(), JWKS_URI]);

    for (document, error) in [
        (
            r#"{"issuer":"https://evil.example","jwks_uri":"https://keys.example/jwks.json"}"#,
            KeysError::IssuerMismatch,
        ),
        (
            r#"{"issuer":"https://issuer.example/","jwks_uri":"https://keys.example/jwks.json"}"#,
            KeysError::IssuerMismatch,
        ),
        (
            r#"{"issuer":"https://issuer.example","jwks_uri":"http://keys.example/jwks.json"}"#,
            KeysError::InsecureUrl,
        ),
        (
            r#"{"issuer":"https://issuer.example","jwks_uri":"http://127.0.0.1/jwks.json"}"#,
            KeysError::InsecureUrl,
        ),
        (
            r#"{"issuer":"https://issuer.example","jwks_uri":"file:///etc/passwd"}"#,
            KeysError::InvalidUrl,
        ),
        (r#"{"issuer":"https://issuer.example"}"#, KeysError::Malformed),
        (
            r#"{"issuer":"https://issuer.example","issuer":"https://issuer.example","jwks_uri":"https://keys.example"}"#,
            KeysError::Malformed,
        ),
    ] {
        provider.document(document);
        let calls = provider.calls();
        assert_eq!(source.refresh().await, Err(error), "{document}");
        assert_eq!(provider.calls(), calls, "the keys were asked for");
        assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    }
}

#[test]
fn insecure_and_invalid_addresses_are_rejected() {
    let client = || FakeProvider::new().client();
    let built = |remote: RemoteKeys| remote.build().map(|_| ());
    for address in
        ["https://a.example", "http://127.0.0.1:8080", "http://[::1]", "http://localhost/x"]
    {
        assert_eq!(built(RemoteKeys::discovery(address, client())), Ok(()), "{address}");
        assert_eq!(built(RemoteKeys::jwks(address, client())), Ok(()), "{address}");
    }
    let plain = "http://a.example";
    let insecure = Err(KeysError::InsecureUrl);
    assert_eq!(built(RemoteKeys::discovery(plain, client())), insecure);
    assert_eq!(built(RemoteKeys::jwks(plain, client())), insecure);
    assert_eq!(built(RemoteKeys::jwks(plain, client()).dangerous_plain_http()), Ok(()));
    for address in ["", "/keys", "ftp://a.example", "https://user:secret@a.example"] {
        let invalid = Err(KeysError::InvalidUrl);
        assert_eq!(built(RemoteKeys::jwks(address, client()).dangerous_plain_http()), invalid);
    }
}

#[tokio::test]
async fn https_client_can_fetch_keys() {
    // This checks the types. No server listens on the port.
    let client = HttpsClient::builder().dangerous_plain_http().build::<Payload>().unwrap();
    let source = RemoteKeys::discovery("http://127.0.0.1:9", client).build().unwrap();
    assert_eq!(source.refresh().await, Err(KeysError::Unreachable));
}

// === Contract ===

#[tokio::test]
async fn ready_instance_is_called_after_the_wait() {
    let provider = FakeProvider::new();
    provider.hold();
    let (layer, _source, _clock) = layer_of(provider.source());
    let mut service = layer.layer(Probe::new(|_request: Request<Full<Bytes>>| {
        Response::new(Full::<Bytes>::default())
    }));
    let mut waiting = Vec::new();
    for _ in 0..3 {
        std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
            .await
            .unwrap();
        waiting.push(tokio::spawn(service.call(bearer(&ed("EdDSA")))));
    }
    settle().await;
    provider.release();
    for response in waiting {
        assert_eq!(response.await.unwrap().unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn request_can_be_dropped_at_any_point() {
    let provider = FakeProvider::new();
    provider.hold();
    let (layer, _source, _clock) = layer_of(provider.source());
    let mut service = layer.layer(Probe::new(|_request: Request<Full<Bytes>>| {
        Response::new(Full::<Bytes>::default())
    }));
    std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
        .await
        .unwrap();
    // Before and after the first poll.
    drop(service.call(bearer(&ed("EdDSA"))));
    std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
        .await
        .unwrap();
    let mut future = Box::pin(service.call(bearer(&ed("EdDSA"))));
    let polled =
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
    assert!(polled);
    drop(future);
    provider.release();
}
