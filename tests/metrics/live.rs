//! State that is published before a scrape.

use std::{
    convert::Infallible,
    fs,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    access_log::{AccessLogLayer, Sink},
    auth::{AuthLayer, Jwt, RemoteKeys},
    cache::{CacheLayer, Cacheable, Scope},
    clock::{FakeClock, SharedClock},
    fallback::{FallbackLayer, Target},
    hf::{FetchedToken, HfTokenLayer, Stage, TokenSource},
    limits::{Limit, Rate},
    metrics::Metrics,
    payload::PayloadLayer,
    secret::Secret,
    stack::{Snapshot, Stack},
    test_util::{TestResponse, TestUpstream},
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    upstream::UpstreamLayer,
};

use super::{Scrape, recorder, with};

fn scraped(snapshot: &Snapshot) -> Scrape {
    let metrics = Metrics::new();
    let recorder = recorder(&metrics);
    metrics::with_local_recorder(&recorder, || snapshot.publish(&metrics));
    Scrape::of(&recorder)
}

#[tokio::test]
async fn ages_and_failures_of_keys_are_shown() {
    let clock = FakeClock::new(SystemTime::now());
    let client = service_fn(|_: Request<Full<Bytes>>| async {
        let mut response = Response::new(Full::<Bytes>::default());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        Ok::<_, Infallible>(response)
    });
    let keys = RemoteKeys::jwks("https://issuer.example/keys", client).build().unwrap();
    let keys = keys.clock(SharedClock::new(clock.clone()));
    let stack = Stack::new().auth(AuthLayer::new(Jwt::new(keys.clone(), "https://i.example", "g")));
    let shown = |name: &str, scrape: &Scrape| {
        scrape.value(&format!("tower_inference_keys_{name}{{keys=\"issuer.example\"}}"))
    };
    let now = scraped(&stack.snapshot());
    assert_eq!((shown("ready", &now), shown("failures_total", &now)), (0.0, 0.0));
    assert!(!now.text.contains("keys_age"));
    for _ in 0..3 {
        keys.refresh().await.unwrap_err();
        clock.advance(Duration::from_secs(60));
    }
    let now = scraped(&stack.snapshot());
    assert_eq!((shown("ready", &now), shown("failures_total", &now)), (0.0, 3.0));
}

#[tokio::test]
async fn keys_have_an_age_once_they_are_fetched() {
    let clock = FakeClock::new(SystemTime::now());
    let issuer = service_fn(|_: Request<Full<Bytes>>| async {
        let keys = include_str!("../data/jwks.json");
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(keys)))
    });
    let keys = RemoteKeys::jwks("https://issuer.example/keys", issuer).build().unwrap();
    let keys = keys.clock(SharedClock::new(clock.clone()));
    let stack = Stack::new().auth(AuthLayer::new(Jwt::new(keys.clone(), "https://i.example", "g")));
    keys.refresh().await.unwrap();
    clock.advance(Duration::from_secs(90));
    let now = scraped(&stack.snapshot());
    assert_eq!(now.value(r#"tower_inference_keys_age_seconds{keys="issuer.example"}"#), 90.0);
    assert_eq!(now.value(r#"tower_inference_keys_ready{keys="issuer.example"}"#), 1.0);
}

#[tokio::test]
async fn ages_and_failures_of_tokens_are_shown_by_stage() {
    let path = std::env::temp_dir().join(format!("tower-inference-metrics-{}", std::process::id()));
    fs::write(&path, "hf_first").unwrap();
    let clock = FakeClock::new(SystemTime::now());
    let file = TokenSource::file(&path).unwrap().clock(SharedClock::new(clock.clone()));
    let fetched = TokenSource::fetch(|| async { Err::<FetchedToken, _>("the vault is sealed") });
    let stage = |name: &str, source| {
        Stage::new(name, format!("https://{name}.example").parse().unwrap(), source)
    };
    let (file, fetched) = (stage("file", file), stage("vault", fetched));
    let stack = Stack::new()
        .payload(PayloadLayer::new())
        .fallback(FallbackLayer::new([Target::new(file.clone()), Target::new(fetched.clone())]))
        .upstream(UpstreamLayer::new())
        .hf_token(HfTokenLayer::stage(file.clone()));
    assert!(!fetched.is_ready());
    // The first fetch runs in a task of its source.
    while stack.snapshot().tokens().iter().all(|token| token.failures == 0) {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(5));
    let now = scraped(&stack.snapshot());
    let shown = |name: &str, target: &str| {
        now.value(&format!("tower_inference_token_{name}{{target=\"{target}\"}}"))
    };
    assert_eq!((shown("ready", "file"), shown("age_seconds", "file")), (1.0, 5.0));
    assert_eq!((shown("ready", "vault"), shown("failures_total", "vault")), (0.0, 1.0));
    assert_eq!(now.value(r#"tower_inference_target_cooling_down{target="vault"}"#), 0.0);

    // A file that becomes invalid.
    fs::write(&path, "two words").unwrap();
    clock.advance(Duration::from_secs(5));
    let _last_good = file.is_ready();
    let now = scraped(&stack.snapshot());
    assert_eq!(now.value(r#"tower_inference_token_failures_total{target="file"}"#), 1.0);
    fs::remove_file(path).unwrap();
}

#[test]
fn decisions_of_limits_and_savings_of_the_cache_are_sums() {
    let metrics = Metrics::new();
    let recorder = recorder(&metrics);
    let body: Value = serde_json::from_str(
        r#"{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#,
    )
    .unwrap();
    let cache = CacheLayer::new("upstream", Scope::Shared).cacheable(Cacheable::always());
    let stack = Stack::new()
        .access_log(AccessLogLayer::sink(metrics.clone()))
        .peer_throttle(ThrottleLayer::new(Limit::global(Rate::per_hour(1_000)).name("peers")))
        .throttle(
            ThrottleLayer::new(Limit::global(Rate::per_hour(3)).name("all"))
                .limit(Limit::global(Rate::per_hour(1)).name("trial").shadow()),
        )
        .payload(PayloadLayer::new())
        .cache(cache)
        .token_budget(TokenBudgetLayer::new(Limit::global(Rate::per_day(100_000)).name("tokens")))
        .upstream(UpstreamLayer::new().max_in_flight(7));
    with(&recorder, async {
        let service = stack.layer(TestUpstream::new(TestResponse::json(body)));
        for _ in 0..5 {
            let request = Request::post("/v1/completions")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from_static(
                    br#"{"model":"m","prompt":"a","max_tokens":9}"#,
                )));
            let Ok(response) = service.clone().oneshot(request.unwrap()).await;
            let _ended = response.into_body().collect().await;
        }
        // Publishing again changes no sum.
        stack.snapshot().publish(&metrics);
        stack.snapshot().publish(&metrics);
    });
    let now = Scrape::of(&recorder);
    let decided = |layer: &str, limit: &str, decision: &str| {
        now.value(&format!(
            "tower_inference_limit_decisions_total{{layer=\"{layer}\",limit=\"{limit}\",decision=\"{decision}\"}}"
        ))
    };
    assert_eq!(decided("peer_throttle", "peers", "allowed"), 5.0);
    assert_eq!(decided("throttle", "all", "allowed"), 3.0);
    assert_eq!(decided("throttle", "all", "rejected"), 2.0);
    assert!(decided("throttle", "trial", "shadow_rejected") >= 2.0);
    // Hits spend no tokens.
    assert_eq!(decided("token_budget", "tokens", "allowed"), 1.0);
    let budget = |name: &str| {
        now.value(&format!("tower_inference_budget_{name}_tokens_total{{limit=\"tokens\"}}"))
    };
    let (reserved, charged, refunded) = (budget("reserved"), budget("charged"), budget("refunded"));
    // The prompt was estimated at one token, and the upstream counts nine.
    assert_eq!((charged, refunded), (12.0, 0.0));
    assert!((10.0..12.0).contains(&reserved), "{reserved}");
    // The same fact from the records.
    assert_eq!(
        now.value(r#"tower_inference_limited_requests_total{limit="all",mode="enforced"}"#),
        2.0
    );
    assert_eq!(now.sum("tower_inference_cache_requests_total", &[r#"result="hit""#]), 2.0);
    assert_eq!(now.value(r#"tower_inference_cache_saved_tokens_total{route=""}"#), 24.0);
    assert_eq!(now.value(r#"tower_inference_cache_stored_total{route=""}"#), 1.0);
    assert_eq!(now.value("tower_inference_cache_entries"), 1.0);
    assert_eq!(now.value("tower_inference_upstream_slots"), 7.0);
    assert_eq!(now.value("tower_inference_upstream_queued_requests"), 0.0);
}

#[tokio::test]
async fn requests_at_a_target_are_shown() {
    let token = || TokenSource::value(Secret::new("hf_example")).unwrap();
    let stage =
        |name: &str| Stage::new(name, format!("https://{name}.example").parse().unwrap(), token());
    let stack = Stack::new()
        .payload(PayloadLayer::new())
        .fallback(FallbackLayer::new([
            Target::new(stage("a")).max_in_flight(5),
            Target::new(stage("b")),
        ]))
        .upstream(UpstreamLayer::new())
        .hf_token(HfTokenLayer::stage(stage("a")));
    let service = stack.layer(TestUpstream::new(TestResponse::json(Value::Null).then_stalls()));
    let request = Request::post("/v1/chat/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from_static(br#"{"model":"m","messages":[]}"#)));
    let Ok(open) = service.oneshot(request.unwrap()).await;
    let now = scraped(&stack.snapshot());
    assert_eq!(now.value(r#"tower_inference_target_in_flight_requests{target="a"}"#), 1.0);
    assert_eq!(now.value(r#"tower_inference_target_in_flight_requests{target="b"}"#), 0.0);
    assert_eq!(now.value("tower_inference_upstream_in_flight_requests"), 1.0);
    drop(open);
}

#[test]
fn lost_lines_of_a_log_are_shown() {
    let metrics = Metrics::new();
    let recorder = recorder(&metrics);
    let sink = Sink::new(std::io::sink()).unwrap().max_lines(0);
    sink.text("lost");
    metrics::with_local_recorder(&recorder, || {
        metrics.dropped_lines("access_log", sink.dropped_lines());
    });
    let lost =
        Scrape::of(&recorder).value(r#"tower_inference_log_dropped_lines_total{log="access_log"}"#);
    assert_eq!(lost, 1.0);
}

/// Tokens in flight are reserved and neither charged nor refunded.
#[test]
fn tokens_of_a_budget_are_settled_at_the_end() {
    let metrics = Metrics::new();
    let recorder = recorder(&metrics);
    let usage = r#"{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":4,"total_tokens":5}}"#;
    let body: Value = serde_json::from_str(usage).unwrap();
    let budget = TokenBudgetLayer::new(Limit::global(Rate::per_day(100_000)).name("enforced"))
        .limit(Limit::global(Rate::per_day(1)).name("trial").shadow());
    let stack = Stack::new().token_budget(budget).upstream(UpstreamLayer::new());
    with(&recorder, async {
        let service = stack.layer(TestUpstream::new(TestResponse::json(body)));
        let send = || {
            let request = Request::post("/v1/completions")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(Bytes::from_static(
                    br#"{"model":"m","prompt":"a","max_tokens":9}"#,
                )));
            service.clone().oneshot(request.unwrap())
        };
        let published = || {
            stack.snapshot().publish(&metrics);
            let now = Scrape::of(&recorder);
            ["reserved", "charged", "refunded"].map(|name| {
                now.value(&format!(
                    "tower_inference_budget_{name}_tokens_total{{limit=\"enforced\"}}"
                ))
            })
        };
        let Ok(open) = send().await;
        let [reserved, charged, refunded] = published();
        assert!(reserved > 9.0, "{reserved}");
        assert_eq!((charged, refunded), (0.0, 0.0));
        let _ended = open.into_body().collect().await;
        assert_eq!(published(), [reserved, 5.0, reserved - 5.0]);
        // A client that leaves before the end is charged for what has come, and the sums agree.
        let Ok(left) = send().await;
        drop(left);
        let [again, charged, refunded] = published();
        assert_eq!((again, charged + refunded), (2.0 * reserved, 2.0 * reserved));
        let trial = Scrape::of(&recorder)
            .value("tower_inference_budget_reserved_tokens_total{limit=\"trial\"}");
        assert_eq!(trial, 0.0, "a limit in shadow takes nothing beyond its capacity");
    });
}
