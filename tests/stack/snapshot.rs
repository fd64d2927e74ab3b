//! The state of a stack at one moment.

use std::{
    fs,
    future::pending,
    pin::pin,
    task::{Context, Waker},
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body as AxumBody, extract::State, routing::get};
use http_body_util::BodyExt;
use tower_inference::{
    auth::{AuthLayer, Jwt, KeySource, RemoteKeys},
    cache::{Cacheable, MemoryTier},
    clock::{FakeClock, SharedClock},
    hf::{HfTokenLayer, TokenSource},
    memory_limit::MemoryLimit,
    secret::Secret,
    stack::Gateway,
    stalled_reader::StalledReaderLayer,
};

use super::*;

fn request(body: &str) -> Request<Full<Bytes>> {
    let request = Request::post("/v1/completions").header(header::CONTENT_TYPE, "application/json");
    request.body(Full::from(body.to_owned())).unwrap()
}

#[test]
fn a_stack_without_layers_has_no_state() {
    let all = format!("{:?}", Stack::new().cache(None).auth(None).hf_token(None).snapshot());
    assert!(!all.contains("Some"), "{all}");
}

#[tokio::test]
async fn the_sizes_of_each_layer_are_shown() {
    let cache = CacheLayer::new("upstream", Scope::Shared)
        .cacheable(Cacheable::always())
        .memory(MemoryTier::new().max_bytes(1 << 20));
    let stack = Stack::new()
        .stalled_reader(StalledReaderLayer::new())
        .payload(PayloadLayer::new().memory_limit(MemoryLimit::new(1 << 22)))
        .cache(cache)
        .upstream(UpstreamLayer::new().max_in_flight(7));
    let gateway = stack.boxed(service_fn(|request: Request<Payload>| async move {
        if request.body().bytes().unwrap().ends_with(b"7}") {
            return pending().await;
        }
        let mut response = Response::new(Full::<Bytes>::from(COMPLETION));
        response.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        Ok::<_, Infallible>(response)
    }));
    let now = gateway.snapshot();
    assert_eq!((now.cache_entries(), now.cache_bytes()), (Some(0), Some(0)));
    assert_eq!((now.max_cache_bytes(), now.max_payload_bytes()), (Some(1 << 20), Some(1 << 22)));
    assert_eq!((now.upstream_in_flight(), now.max_upstream_in_flight()), (Some(0), Some(7)));

    // An open response has its slot, its payload and its shared call.
    let Ok(response) = gateway.clone().oneshot(request(r#"{"model":"m","prompt":"a"}"#)).await;
    assert_eq!(gateway.snapshot().open_responses(), Some(1));
    response.into_body().collect().await.unwrap();
    let now = gateway.snapshot();
    assert_eq!((now.open_responses(), now.cache_entries()), (Some(0), Some(1)));
    assert!(now.cache_bytes().unwrap() > COMPLETION.len() as u64);
    assert_eq!((now.payload_bytes(), now.cache_in_flight()), (Some(0), Some(0)));
    // The stack and its gateway show one state.
    assert_eq!(stack.snapshot().cache_bytes(), now.cache_bytes());

    let large = format!(r#"{{"model":"m","prompt":"{}","seed":7}}"#, "x".repeat(100_000));
    let mut waiting = pin!(gateway.clone().oneshot(request(&large)));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let now = gateway.snapshot();
    assert_eq!((now.upstream_in_flight(), now.cache_in_flight()), (Some(1), Some(1)));
    assert!(now.payload_bytes().unwrap() >= large.len(), "{now:?}");
}

const COMPLETION: &str = r#"{"object":"text_completion","choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

#[tokio::test]
async fn the_ages_of_keys_and_token_are_shown() {
    let clock = FakeClock::new(SystemTime::now());
    let shared = SharedClock::new(clock.clone());
    let issuer = service_fn(|_: Request<Full<Bytes>>| async {
        let keys = include_str!("../data/jwks.json");
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(keys)))
    });
    let remote = RemoteKeys::jwks("https://issuer.example/keys", issuer).build().unwrap();
    let keys = remote.clock(shared.clone());
    let path = std::env::temp_dir().join(format!("tower-inference-age-{}", std::process::id()));
    fs::write(&path, "first").unwrap();
    let token = TokenSource::file(&path).unwrap().clock(shared);
    let hf_token = HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), token);
    let stack = Stack::new()
        .auth(AuthLayer::new(Jwt::new(keys.clone(), "https://issuer.example", "gateway")))
        .hf_token(hf_token.clone());
    let without_auth = Stack::new().payload(PayloadLayer::bytes()).hf_token(hf_token);
    let ages = || (stack.snapshot().keys_age(), stack.snapshot().token_age());

    assert_eq!(ages(), (None, Some(Duration::ZERO)));
    clock.advance(Duration::from_secs(60));
    keys.refresh().await.unwrap();
    assert_eq!(ages(), (Some(Duration::ZERO), Some(Duration::from_secs(60))));
    clock.advance(Duration::from_secs(30));
    assert_eq!(ages(), (Some(Duration::from_secs(30)), Some(Duration::from_secs(90))));

    // A request finds the new token.
    fs::write(&path, "second").unwrap();
    assert_eq!(status(without_auth.layer(service_fn(upstream)), "{}").await, StatusCode::OK);
    assert_eq!(ages(), (Some(Duration::from_secs(30)), Some(Duration::ZERO)));
    fs::remove_file(path).unwrap();
}

#[test]
fn keys_and_tokens_without_a_source_that_changes_have_no_age() {
    let keys = KeySource::file("tests/data/jwks.json").unwrap();
    let token = TokenSource::value(Secret::new("hf_fixed")).unwrap();
    let stack = Stack::new()
        .auth(AuthLayer::new(Jwt::new(keys, "https://issuer.example", "gateway")))
        .hf_token(HfTokenLayer::new("https://router.huggingface.co".parse().unwrap(), token));
    let now = stack.snapshot();
    assert_eq!((now.keys_age(), now.token_age()), (None, None));
}

/// Ten lines.
async fn state(State(gateway): State<Gateway>) -> String {
    let now = gateway.snapshot();
    format!(
        "{} of {} in flight, {} entries, {:?}\n",
        now.upstream_in_flight().unwrap_or_default(),
        now.max_upstream_in_flight().unwrap_or_default(),
        now.cache_entries().unwrap_or_default(),
        now.keys_age(),
    )
}

#[tokio::test]
async fn a_handler_prints_it() {
    let gateway = Stack::new()
        .payload(PayloadLayer::bytes())
        .upstream(UpstreamLayer::new())
        .boxed(service_fn(upstream));
    let app = Router::new().route("/state", get(state)).with_state(gateway);
    let request = Request::get("/state").body(AxumBody::empty()).unwrap();
    let Ok(response) = app.oneshot(request).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "0 of 1024 in flight, 0 entries, None\n");
}
