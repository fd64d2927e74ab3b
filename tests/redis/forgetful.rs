//! Servers that lose counters by a flush, an empty restart or an eviction.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    cache::{RedisCache, Tier},
    context::RequestContext,
    identity::{Identity, Proof},
    limits::{Limit, Quota, Rate, RedisStore, Store, Subject},
    payload::Payload,
    rejection::{Refusal, Rejection, RejectionFormat},
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
};

use super::{
    gateway::{Gateway, HASHING, NAMESPACE, Shared, burst, passing, patient, quota, secret},
    logged::{self, changes},
    server::{Brand, Server},
    shared::against_each,
};

against_each! {
    a_flushed_server_gives_no_quota_anew
    a_flushed_server_gives_no_burst_anew
    a_reset_by_one_replica_holds_for_the_other
    leases_of_a_flushed_server_are_not_given_anew
}

fn flush(shared: &Shared) {
    for server in shared.servers() {
        server.wire().must("FLUSHALL");
    }
}

async fn a_flushed_server_gives_no_quota_anew(shared: Shared) {
    let gateways = shared.gateways(&quota(20));
    assert_eq!(gateways[0].passing("a", 12).await, 12);
    assert_eq!(gateways[1].passing("a", 6).await, 6);
    flush(&shared);
    // The second has counted six itself, and the first tells the server of its twelve.
    assert_eq!(gateways[1].passing("a", 1).await, 1);
    assert_eq!(gateways[0].passing("a", 20).await, 8, "twelve of twenty are known to be used");
    assert_eq!(gateways[1].passing("a", 20).await, 0);
    flush(&shared);
    assert_eq!(gateways[0].passing("a", 5).await, 0, "it has counted twenty itself");
    assert_eq!(gateways[1].passing("b", 20).await, 20, "another caller has a quota of its own");
}

async fn a_flushed_server_gives_no_burst_anew(shared: Shared) {
    let gateways = shared.gateways(&burst(20));
    assert_eq!(gateways[0].passing("a", 15).await, 15);
    for _ in 0..3 {
        flush(&shared);
    }
    assert_eq!(gateways[0].passing("a", 10).await, 5);
    flush(&shared);
    assert_eq!(gateways[0].passing("a", 10).await, 0);
    assert_eq!(passing(&gateways[1..], "b", 30).await, 20);
}

fn subject(caller: &str) -> Subject {
    Subject::identity(&Identity::new(Proof::Jwt, "https://issuer.example", caller).principal())
}

async fn a_reset_by_one_replica_holds_for_the_other(shared: Shared) {
    for limit in [burst(5), quota(5)] {
        let [first, second] = shared.gateways(&limit);
        assert_eq!(first.passing("a", 9).await, 5);
        second.0.reset("identity", &subject("a")).await.unwrap();
        // The first has counted five itself: before the reset.
        assert_eq!(first.passing("a", 9).await, 5);
        assert_eq!(second.passing("a", 9).await, 0);
        flush(&shared);
        assert_eq!(first.passing("a", 9).await, 0, "five after the reset");
    }
}

async fn leases_of_a_flushed_server_are_not_given_anew(shared: Shared) {
    let store: Store = shared.store().lease(10).into();
    let gateway = Gateway::new(burst(40), store.clone());
    assert_eq!(gateway.passing("a", 20).await, 20);
    flush(&shared);
    let passed = gateway.passing("a", 60).await;
    assert!(passed <= 20, "{passed}");
    assert_eq!(gateway.passing("a", 10).await, 0);
}

fn store(server: &Server) -> RedisStore {
    patient(RedisStore::single(secret(&server.address()), secret(HASHING)).unwrap())
}

/// The attack of the issue: in one server, the responses of the cache evict the counters.
#[tokio::test]
async fn a_quota_survives_a_server_that_evicts_it() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        let store: Store = store(&server).into();
        let gateway = Gateway::new(quota(200), store.clone());
        assert_eq!(gateway.passing("a", 200).await, 200);
        let mut wire = server.wire();
        wire.must("CONFIG SET maxmemory-policy allkeys-lru");
        let used = wire.must("INFO memory").text();
        let used = used.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        let most = used.trim().parse::<u64>().unwrap() + (2 << 20);
        wire.must(&format!("CONFIG SET maxmemory {most}"));

        let cache = patient_cache(&server);
        let mut key = [0; 32];
        let counters = || server.keys().iter().filter(|key| key.starts_with('{')).count();
        for number in 0..10_000_u32 {
            if counters() == 0 {
                break;
            }
            for place in 0..20 {
                key[..4].copy_from_slice(&(number * 20 + place).to_le_bytes());
                let value = Bytes::from(vec![b'x'; 16 << 10]);
                assert!(cache.put(key, value, Duration::from_secs(600)).await);
            }
        }
        assert_eq!(counters(), 0, "the server has evicted the quota");
        assert_eq!(gateway.passing("a", 20).await, 0, "{brand:?}");
        assert_eq!(store.redis_counts().unwrap().restored, 20);
    }
}

fn patient_cache(server: &Server) -> RedisCache {
    RedisCache::single(secret(&server.address())).unwrap().read_timeout(Duration::from_secs(10))
}

#[tokio::test]
async fn a_server_that_restarts_empty_grants_nothing_again() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(mut server) = brand.start() else { continue };
        let store: Store = store(&server).decision_timeout(Duration::from_millis(300)).into();
        let gateway = Gateway::new(quota(5), store.clone());
        assert_eq!(gateway.passing("a", 9).await, 5);
        server.end();
        assert_eq!(gateway.ask("a").await.0, StatusCode::SERVICE_UNAVAILABLE);
        server.begin();
        let back = async {
            loop {
                match gateway.ask("a").await.0 {
                    StatusCode::SERVICE_UNAVAILABLE => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    status => return status,
                }
            }
        };
        let status = tokio::time::timeout(Duration::from_secs(20), back).await.unwrap();
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{brand:?}");
    }
}

/// What budgets settle, up and down, is part of what a replica has counted.
#[tokio::test]
async fn a_budget_survives_a_flush() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        for allowance in
            [Limit::global(Quota::per_month(100)), Limit::global(Rate::per_day(1).burst(100))]
        {
            let store: Store = store(&server).into();
            let layer = TokenBudgetLayer::new(allowance).store(store.clone());
            let left =
                async || layer.limit_state("global", &Subject::global()).await.unwrap().remaining;
            // Seventeen are reserved; nine are used, and then 46.
            chat(&layer, 6, 3).await;
            chat(&layer, 40, 6).await;
            let settled = async {
                while store.redis_counts().unwrap().settled < 2 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), settled).await.expect("never settled");
            assert_eq!(left().await, 100 - 9 - 46);
            server.wire().must("FLUSHALL");
            assert_eq!(left().await, 100 - 9 - 46, "{brand:?}");
            chat(&layer, 7, 10).await;
            assert_eq!(left().await, 100 - 9 - 46 - 17, "{brand:?}");
            server.wire().must("FLUSHALL");
        }
    }
}

async fn chat(layer: &TokenBudgetLayer, prompt: u64, completion: u64) {
    let usage = format!(
        r#"{{"choices":[],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}}}"#
    );
    let inner = service_fn(move |_| {
        let body = Full::new(Bytes::from(usage.clone()));
        let answer = Response::builder().header(CONTENT_TYPE, "application/json");
        std::future::ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
    });
    let body = r#"{"model":"m","messages":[{"role":"user","content":"abcd"}],"max_tokens":10}"#;
    let request = Request::post("/v1/chat/completions").header(CONTENT_TYPE, "application/json");
    let request = request.body(Payload::buffered(body)).unwrap();
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().collect().await.unwrap();
}

/// Guesses of a token are counted after the fact.
#[tokio::test]
async fn failures_survive_a_flush() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        let store: Store = store(&server).into();
        let limit = Limit::global(Rate::per_day(1).burst(5)).failed_authentications();
        let layer = ThrottleLayer::new(limit).store(store.clone());
        let inner = service_fn(|mut request: Request<()>| {
            let context = RequestContext::ensure(request.extensions_mut());
            let responder = RejectionFormat::default().for_request(&request);
            let rejection = Rejection::new(Refusal::InvalidToken);
            std::future::ready(Ok::<_, Infallible>(
                responder.respond::<Full<Bytes>>(rejection, &context),
            ))
        });
        let guess = async || layer.layer(inner).oneshot(Request::new(())).await.unwrap().status();
        for guesses in 1..=5 {
            assert_eq!(guess().await, StatusCode::UNAUTHORIZED);
            let settled = async {
                while store.redis_counts().unwrap().settled < guesses {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), settled).await.expect("never settled");
        }
        assert_eq!(guess().await, StatusCode::TOO_MANY_REQUESTS);
        server.wire().must("FLUSHALL");
        assert_eq!(guess().await, StatusCode::TOO_MANY_REQUESTS, "{brand:?}");
    }
}

/// Warned of once, and again when it changes; whoever may not ask is not warned, and served.
#[tokio::test]
async fn an_evicting_server_is_logged() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        logged::listen();
        let set = |policy: &str, most: u64| {
            let mut wire = server.wire();
            wire.must(&format!("CONFIG SET maxmemory-policy {policy}"));
            wire.must(&format!("CONFIG SET maxmemory {most}"));
        };
        let limits = async |address: String| {
            changes();
            let store = RedisStore::single(secret(&address), secret(HASHING)).unwrap();
            let gateway = Gateway::new(burst(5), patient(store));
            assert!(gateway.passes("warned").await);
            server.wire().must("FLUSHALL");
            changes()
        };
        let cached = async || {
            changes();
            assert!(patient_cache(&server).remove([0; 32]).await);
            changes()
        };
        let large = 1 << 30;
        for (policy, most, for_limits, for_cache) in [
            ("noeviction", 0, 0, 0),
            ("allkeys-lru", 0, 0, 0),
            ("noeviction", large, 0, 1),
            ("allkeys-lru", large, 1, 0),
            ("volatile-ttl", large, 1, 0),
        ] {
            set(policy, most);
            let said = limits(server.address()).await;
            assert_eq!(said.len(), for_limits, "{policy} {most}: {said:?}");
            assert!(said.iter().all(|line| line.contains("WARN") && line.contains("noeviction")));
            let said = cached().await;
            assert_eq!(said.len(), for_cache, "{policy} {most}: {said:?}");
            assert!(said.iter().all(|line| line.contains("WARN") && line.contains("allkeys-lru")));
        }
        // A user of the access list that the docs state.
        let user = format!(
            "ACL SETUSER gateway reset on >password-in-clear ~{{{NAMESPACE}}}:* +eval +evalsha +script|load +time +get +set +del"
        );
        server.wire().must(&user);
        let address = format!("redis://gateway:password-in-clear@127.0.0.1:{}", server.port);
        assert_eq!(limits(address.clone()).await, Vec::<String>::new());
        server.wire().must("ACL SETUSER gateway +info");
        assert_eq!(limits(address).await.len(), 1);
    }
}

#[tokio::test]
async fn an_evicting_server_is_logged_once_per_change() {
    let Some(server) = Brand::Redis.start() else { return };
    logged::listen();
    let mut wire = server.wire();
    wire.must("CONFIG SET maxmemory 1073741824");
    wire.must("CONFIG SET maxmemory-policy allkeys-lru");
    let store = store(&server).decision_timeout(Duration::from_millis(300));
    let gateway = Gateway::new(burst(50), store);
    let back = async || {
        let back = async {
            while gateway.ask("a").await.0 != StatusCode::OK {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), back).await.expect("never there again");
        changes().iter().filter(|line| line.contains("evicts")).count()
    };
    let away = async || {
        server.hang();
        assert_eq!(gateway.ask("a").await.0, StatusCode::SERVICE_UNAVAILABLE);
        server.go_on();
    };
    assert_eq!(back().await, 1);
    away().await;
    assert_eq!(back().await, 0, "the same as before");
    wire.must("CONFIG SET maxmemory-policy noeviction");
    away().await;
    assert_eq!(back().await, 0, "all is well");
    wire.must("CONFIG SET maxmemory-policy allkeys-lfu");
    away().await;
    assert_eq!(back().await, 1, "no more");
}
