//! Limits that replicas share on each kind of server.

use std::time::{Duration, Instant};

use tower_inference::limits::{Limit, Quota, Rate};

use super::gateway::{Gateway, HASHING, NAMESPACE, Shared, burst, passing, quota};

/// Runs each of these tests against each kind of server.
macro_rules! against_each {
    ($($test:ident)*) => {
        against_each!(redis: $($test)*);
        against_each!(redis_cluster: $($test)*);
        against_each!(valkey: $($test)*);
        against_each!(valkey_cluster: $($test)*);
    };
    ($server:ident: $($test:ident)*) => {
        mod $server {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(shared) = super::Shared::$server() {
                        super::$test(shared).await;
                    }
                }
            )*
        }
    };
}

pub(super) use against_each;

against_each! {
    a_burst_is_shared_exactly
    a_rate_is_never_passed_together
    a_quota_is_shared_exactly
    a_rejection_by_one_limit_takes_nothing_from_the_others
    with_leases_the_overshoot_is_bounded_and_few_requests_touch_the_server
    every_key_ends_by_itself_and_tells_nothing
    other_versions_are_left_alone
    one_script_decides_all_limits
    who_has_nothing_left_is_told_when_it_comes_again
    a_reset_is_seen_by_the_other
}

async fn a_burst_is_shared_exactly(shared: Shared) {
    let gateways = shared.gateways(&burst(30));
    assert_eq!(passing(&gateways, "a", 60).await, 30);
    assert_eq!(passing(&gateways, "b", 60).await, 30, "another caller has a burst of its own");
    assert_eq!(passing(&gateways, "a", 5).await, 0);
}

async fn a_rate_is_never_passed_together(shared: Shared) {
    let (rate, most) = (50, 20);
    let limit = Limit::per_identity(Rate::per_second(rate).burst(most));
    let gateways = shared.gateways(&limit);
    let begin = Instant::now();
    let mut passed = 0;
    for _ in 0..5 {
        passed += passing(&gateways, "a", 40).await;
    }
    let grown = begin.elapsed().as_secs_f64() * f64::from(rate);
    assert!(passed >= 20, "{passed}");
    assert!(passed as f64 <= f64::from(most) + grown, "{passed} where {grown} had grown");
}

async fn a_quota_is_shared_exactly(shared: Shared) {
    let gateways = shared.gateways(&quota(25));
    assert_eq!(passing(&gateways, "a", 40).await, 25);
}

async fn a_rejection_by_one_limit_takes_nothing_from_the_others(shared: Shared) {
    let [first, second] = shared.gateways(&burst(20)).map(|Gateway(layer)| {
        let global = Limit::global(Rate::per_day(1).burst(8));
        Gateway(layer.limit(global).limit(Limit::global(Quota::per_month(30)).name("quota")))
    });
    assert_eq!(passing(&[first, second], "a", 30).await, 8);
    let alone = shared.gateways(&burst(20));
    assert_eq!(passing(&alone, "a", 30).await, 12, "eight of twenty are taken");
    let quota = shared.gateways(&Limit::global(Quota::per_month(30)).name("quota"));
    assert_eq!(passing(&quota, "b", 30).await, 22, "eight of thirty are taken");
}

async fn with_leases_the_overshoot_is_bounded_and_few_requests_touch_the_server(shared: Shared) {
    let (lease, requests) = (20, 400);
    let gateways = [(), ()].map(|()| Gateway::new(burst(10_000), shared.store().lease(lease)));
    let begin = Instant::now();
    for gateway in &gateways {
        assert_eq!(gateway.passing("a", requests).await, requests);
    }
    // One call for each lease of each replica, and one for each that ended unused (after a second).
    let ended = begin.elapsed().as_secs() + 2;
    let most = 2 * (requests as u64 / u64::from(lease) + ended);
    let scripts = shared.scripts();
    assert!(scripts <= most, "{scripts} calls for {} requests", 2 * requests);
    assert!(scripts >= 2);

    let gateways = [(), ()].map(|()| Gateway::new(burst(100), shared.store().lease(lease)));
    let overshoot = 2 * lease as usize;
    let passed = passing(&gateways, "b", 200).await;
    assert!((1..=100 + overshoot).contains(&passed), "{passed}");
    let mut passed = 0;
    for gateway in gateways.iter().cycle().take(300) {
        passed += usize::from(gateway.passes("c").await);
    }
    assert!((100 - overshoot..=100 + overshoot).contains(&passed), "{passed}");
}

async fn every_key_ends_by_itself_and_tells_nothing(shared: Shared) {
    let layers = shared.gateways(&burst(9)).map(|Gateway(layer)| {
        let tenant = Limit::per_tenant(Quota::per_day(50));
        Gateway(layer.limit(tenant).limit(Limit::global(Rate::per_minute(1_000))))
    });
    for caller in ["subject-in-clear", "203.0.113.77"] {
        for gateway in &layers {
            assert!(gateway.passes(caller).await);
        }
    }
    let keys = shared.keys();
    assert!(keys.len() >= 4, "two identities, a tenant and all: {keys:?}");
    for (server, key) in keys {
        let left = server.wire().must(&format!("TTL {key}")).number();
        // A quota of a day is kept for a second one: what was overused is carried into it.
        assert!((1..=3 * 86_400).contains(&left), "{key} ends in {left} s");
        assert!(key.starts_with(&format!("{{{NAMESPACE}}}:v1:")), "{key}");
        let value = server.value(&key);
        let seen = format!("{key} {}", String::from_utf8_lossy(&value));
        for clear in ["clear", "203.0.113.77", "issuer", "identity", HASHING] {
            assert!(!seen.contains(clear), "{clear}: {seen}");
        }
    }
}

async fn other_versions_are_left_alone(shared: Shared) {
    let gateways = shared.gateways(&burst(10));
    assert_eq!(passing(&gateways, "a", 2).await, 4);
    // As if an older and a newer one had counted the same caller, in ways of their own.
    let mut others = Vec::new();
    for (server, key) in shared.keys() {
        for version in [":v0:", ":v2:"] {
            let other = key.replacen(":v1:", version, 1);
            assert_ne!(other, key);
            server.wire().must(&format!("SET {other} another-layout"));
            others.push((server, other));
        }
    }
    assert_eq!(others.len(), 2);
    assert_eq!(passing(&gateways, "a", 20).await, 6);
    for (server, key) in others {
        assert_eq!(server.value(&key), b"another-layout");
    }
}

async fn one_script_decides_all_limits(shared: Shared) {
    let [gateway, _] = shared.gateways(&burst(100));
    let Gateway(layer) = gateway;
    let layer = layer
        .limit(Limit::per_tenant(Quota::per_day(500)))
        .limit(Limit::global(Rate::per_minute(1_000)))
        .limit(Limit::global(Quota::per_month(1_000)).name("month"));
    let gateway = Gateway(layer);
    assert!(gateway.passes("a").await);
    let before = shared.scripts();
    assert_eq!(gateway.passing("a", 20).await, 20);
    assert_eq!(shared.scripts() - before, 20);
}

async fn who_has_nothing_left_is_told_when_it_comes_again(shared: Shared) {
    let limit = Limit::per_identity(Rate::per_minute(30).burst(2));
    let [first, second] = shared.gateways(&limit);
    assert_eq!((first.passing("a", 1).await, second.passing("a", 1).await), (1, 1));
    let subject = subject("a");
    let state = first.0.limit_state("identity", &subject).await.unwrap();
    assert!(!state.allows);
    assert_eq!((state.remaining, state.capacity), (0, 2));
    assert!(state.retry_after > Duration::ZERO && state.retry_after <= Duration::from_secs(2));
    assert!(state.reset_after > state.retry_after && state.reset_after <= Duration::from_secs(4));
}

async fn a_reset_is_seen_by_the_other(shared: Shared) {
    let [first, second] = shared.gateways(&burst(3));
    assert_eq!(first.passing("a", 5).await, 3);
    assert_eq!(second.passing("a", 5).await, 0);
    second.0.reset("identity", &subject("a")).await.unwrap();
    assert_eq!(second.passing("a", 5).await, 3);
    assert_eq!(first.passing("a", 5).await, 0);
}

fn subject(caller: &str) -> tower_inference::limits::Subject {
    use tower_inference::{
        identity::{Identity, Proof},
        limits::Subject,
    };
    Subject::identity(&Identity::new(Proof::Jwt, "https://issuer.example", caller).principal())
}
