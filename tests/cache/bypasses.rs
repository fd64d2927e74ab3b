//! The reasons of bypasses, which `cache-status` gives to a client that wonders why it has no hit.

use tower_inference::cache::{Cacheable, ClientControl, Freshness};

use super::*;

const BODY: &str = r#"{"model":"m","temperature":0,"messages":[]}"#;

/// Returns the status of a second request after the same one.
async fn again(layer: &CacheLayer, request: impl Fn() -> Request<Payload>) -> String {
    let upstream = Upstream::numbers();
    body_of(layer, &upstream, request()).await;
    let response = send(layer, &upstream, request()).await;
    let status = response.headers()["cache-status"].to_str().unwrap();
    status.strip_prefix("tower-inference; ").unwrap().to_owned()
}

fn with(mut request: Request<Payload>, name: &'static str, value: &str) -> Request<Payload> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

#[tokio::test]
async fn a_request_learns_why_it_has_no_hit() {
    let identity = || layer(Scope::Identity).0;
    assert_eq!(again(&identity(), plain).await, "hit; ttl=300");
    for (body, detail) in [
        (r#"{"model":"m","messages":[]}"#, "not-deterministic"),
        (r#"{"model":"m","temperature":1,"messages":[]}"#, "not-deterministic"),
        (r#"{"model":"m","temperature":0,"messages":[],"store":true}"#, "stateful"),
        ("text", "not-json"),
    ] {
        let status = again(&identity(), || post(Some(user("a")), CHAT, body)).await;
        assert_eq!(status, format!("fwd=bypass; detail={detail}"), "{body}");
    }
    let always = identity().cacheable(Cacheable::always());
    let stateful = r#"{"model":"m","messages":[],"background":true}"#;
    assert_eq!(
        again(&always, || post(Some(user("a")), CHAT, stateful)).await,
        "fwd=bypass; detail=stateful"
    );
}

#[tokio::test]
async fn a_setting_is_named_as_the_reason() {
    let identity = || layer(Scope::Identity).0;
    for (layer, detail) in [
        (identity().cacheable(Cacheable::by(|_| false)), "not-selected"),
        (identity().freshness(Freshness::new().ttl(Duration::ZERO)), "no-time-to-live"),
        (identity().client_control(ClientControl::new(|_| true)), "no-store"),
        (layer(Scope::by(|_| None)).0.cache_status(), "no-scope"),
    ] {
        let status = again(&layer, || with(plain(), "cache-control", "no-store")).await;
        assert_eq!(status, format!("fwd=bypass; detail={detail}"));
    }
}

#[tokio::test]
async fn a_missing_caller_is_named_as_the_reason() {
    let anonymous = || post(None, CHAT, BODY);
    let unverified = || with(anonymous(), "authorization", "Bearer x");
    let tenantless = || post(Some(Identity::new(Proof::Jwt, ISSUER, "a")), CHAT, BODY);
    let expired = || {
        let expires_at = std::time::UNIX_EPOCH;
        post(Some(user("a").with_expires_at(expires_at)), CHAT, BODY)
    };
    let of = |scope| layer(scope).0.cache_status();
    for scope in [Scope::Identity, Scope::Tenant] {
        assert_eq!(
            again(&of(scope.clone()), anonymous).await,
            "fwd=bypass; detail=without-identity"
        );
        assert_eq!(
            again(&of(scope), unverified).await,
            "fwd=bypass; detail=unverified-credentials"
        );
    }
    for scope in [Scope::Shared, Scope::by(|_| None)] {
        assert_eq!(
            again(&of(scope), unverified).await,
            "fwd=bypass; detail=unverified-credentials"
        );
    }
    assert_eq!(again(&of(Scope::Tenant), tenantless).await, "fwd=bypass; detail=no-tenant");
    let status = again(&of(Scope::Identity), expired).await;
    assert_eq!(status, "fwd=bypass; detail=expired-identity");
}

#[tokio::test]
async fn a_cache_inside_of_another_one_is_bypassed() {
    let ((outer, _), (inner, _)) = (layer(Scope::Identity), layer(Scope::Identity));
    let service = outer.layer(inner.layer(Upstream::numbers()));
    let response = service.oneshot(plain()).await.unwrap();
    let members: Vec<_> = response.headers().get_all("cache-status").iter().collect();
    assert_eq!(
        members,
        ["tower-inference; fwd=bypass; detail=nested", "tower-inference; fwd=miss"]
    );
}
