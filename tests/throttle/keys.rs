//! The requests that each kind of limit counts together.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use serde_json::json;
use tower_inference::{
    context::RequestHead,
    identity::{Identity, Proof},
    limits::{Limit, Rate},
    peer::PeerAddress,
};

use crate::{ISSUER, context, from, layer, nobody, passes, send, told, user};

const ONE: Rate = Rate::per_hour(1);

/// Asserts that each request has a counter of its own: it passes once.
async fn are_apart(limit: Limit, made: impl Fn() -> Vec<Request<Empty<Bytes>>>) {
    let (layer, _clock) = layer(limit);
    for (number, request) in made().into_iter().enumerate() {
        assert!(passes(&layer, request).await, "{number}");
    }
    for (number, request) in made().into_iter().enumerate() {
        assert!(!passes(&layer, request).await, "{number}");
    }
}

/// Asserts that all requests share a counter: only the first passes.
async fn are_one(limit: Limit, made: Vec<Request<Empty<Bytes>>>) {
    let (layer, _clock) = layer(limit);
    for (number, request) in made.into_iter().enumerate() {
        assert_eq!(passes(&layer, request).await, number == 0, "{number}");
    }
}

#[tokio::test]
async fn a_principal_is_proof_issuer_and_subject() {
    are_apart(Limit::per_identity(ONE), || {
        vec![
            from(user("user-7")),
            from(user("user-8")),
            from(Identity::new(Proof::Jwt, "https://other.example", "user-7")),
            from(Identity::new(Proof::ApiKey, ISSUER, "user-7")),
            from(Identity::new(Proof::Other("mtls"), ISSUER, "user-7")),
            // The same letters with another boundary.
            from(Identity::new(Proof::Jwt, "a", "bc")),
            from(Identity::new(Proof::Jwt, "ab", "c")),
        ]
    })
    .await;
    // Tenant and claims do not change the principal.
    are_one(Limit::per_identity(ONE), vec![from(user("a")), from(user("a").with_tenant("acme"))])
        .await;
}

#[tokio::test]
async fn a_tenant_belongs_to_its_issuer() {
    are_apart(Limit::per_tenant(ONE), || {
        vec![
            from(user("user-7").with_tenant("acme")),
            from(user("user-7").with_tenant("other")),
            from(Identity::new(Proof::Jwt, "https://other.example", "x").with_tenant("acme")),
        ]
    })
    .await;
    let callers = [user("a"), user("b"), Identity::new(Proof::ApiKey, ISSUER, "a")];
    are_one(Limit::per_tenant(ONE), callers.map(|c| from(c.with_tenant("acme"))).into()).await;
}

#[tokio::test]
async fn a_claim_is_counted_by_value_and_issuer() {
    let plan = |issuer: &str, value: serde_json::Value| {
        from(Identity::new(Proof::ApiKey, issuer, "key-1").with_claim("plan", value))
    };
    are_apart(Limit::per_claim("plan", ONE), || {
        vec![
            plan(ISSUER, json!("gold")),
            plan(ISSUER, json!("free")),
            plan("https://other.example", json!("gold")),
        ]
    })
    .await;
    let gold = |subject| from(user(subject).with_claim("plan", "gold"));
    are_one(Limit::per_claim("plan", ONE), vec![gold("a"), gold("b")]).await;

    // Equal values of two claims have different counters.
    let both = || from(user("a").with_claim("plan", "x").with_claim("team", "x"));
    let (layer, _clock) = layer(Limit::per_claim("plan", ONE));
    let layer = layer.limit(Limit::per_claim("team", Rate::per_hour(2)));
    assert!(passes(&layer, both()).await);
    assert!(passes(&layer, from(user("b").with_claim("plan", "y").with_claim("team", "x"))).await);
    assert!(!passes(&layer, from(user("b").with_claim("plan", "z").with_claim("team", "x"))).await);
}

#[tokio::test]
async fn callers_without_tenant_or_claim_share_their_issuers_counter() {
    let other = || from(Identity::new(Proof::Jwt, "https://other.example", "a"));
    for limit in [Limit::per_tenant(ONE), Limit::per_claim("plan", ONE)] {
        let (layer, _clock) = layer(limit);
        assert!(passes(&layer, from(user("a"))).await);
        assert!(!passes(&layer, from(user("b"))).await);
        // A claim that is no string counts as missing.
        assert!(!passes(&layer, from(user("c").with_claim("plan", 7))).await);
        assert!(passes(&layer, other()).await);
        assert!(!passes(&layer, other()).await);
    }
}

#[tokio::test]
async fn unauthenticated_requests_are_rejected_where_callers_are_counted() {
    for limit in [Limit::per_identity(ONE), Limit::per_tenant(ONE), Limit::per_claim("plan", ONE)] {
        let (layer, _clock) = layer(limit);
        let response = send(&layer, nobody()).await;
        assert_eq!(response.status(), 401);
        assert_eq!(told(&response).0, "missing-credentials");
        assert!(response.headers().contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn peers_are_counted_by_address() {
    let at = |address: &str| {
        let mut request = nobody();
        let address: IpAddr = address.parse().unwrap();
        request.extensions_mut().insert(SocketAddr::new(address, 1));
        request
    };
    let limit = || Limit::per_peer(PeerAddress::connection(), ONE);
    are_apart(limit(), || vec![at("192.0.2.1"), at("192.0.2.2"), at("2001:db8::1")]).await;
    // Unknown addresses share a counter.
    are_one(limit(), vec![nobody(), nobody()]).await;
}

#[tokio::test]
async fn routes_are_counted_by_name() {
    let on = |route: &'static str| {
        let mut request = nobody();
        context(&mut request).set_route(route);
        request
    };
    are_apart(Limit::per_route(ONE), || vec![on("chat"), on("embeddings"), nobody()]).await;
    are_one(Limit::per_route(ONE), vec![nobody(), nobody()]).await;
}

#[tokio::test]
async fn a_key_function_selects_the_counter() {
    let project = |head: &RequestHead<'_>| head.headers().get("x-project").cloned();
    let of = |project: &str| {
        let mut request = nobody();
        request.headers_mut().insert("x-project", project.parse().unwrap());
        request
    };
    are_apart(Limit::per_key(project, ONE), || vec![of("a"), of("b"), nobody()]).await;

    // The function sees the whole head and the caller.
    let seen = |head: &RequestHead<'_>| {
        assert_eq!((head.method().as_str(), head.uri().path()), ("GET", "/"));
        assert_eq!(head.extensions().get(), Some(&7_u8));
        head.identity().map(|caller| caller.subject().to_owned())
    };
    let by = |subject| {
        let mut request = from(user(subject));
        request.extensions_mut().insert(7_u8);
        request
    };
    are_apart(Limit::per_key(seen, ONE), || vec![by("a"), by("b")]).await;
}

#[tokio::test]
async fn several_limits_share_one_key_lookup() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let limit = Limit::per_key(move |_| Some([count.fetch_add(1, Relaxed) as u8 / 8]), ONE);
    let (layer, _clock) = layer(limit.clone());
    let layer = layer.limit(limit.clone().name("b")).limit(limit.name("c").shadow());
    assert!(passes(&layer, nobody()).await);
    assert!(!passes(&layer, nobody()).await);
    assert_eq!(calls.load(Relaxed), 2);
}

#[tokio::test]
async fn the_global_limit_counts_all_requests() {
    are_one(Limit::global(ONE), vec![from(user("a")), from(user("b")), nobody()]).await;
}

#[tokio::test]
async fn kinds_of_limits_with_one_name_have_different_counters() {
    // Two layers with one store count the same text as a route and as a key.
    let (one, _clock) = layer(Limit::per_route(ONE).name("x"));
    let key = |_: &RequestHead<'_>| Some("chat");
    let other = one.clone().limit(Limit::per_key(key, ONE).name("y"));
    let chat = || {
        let mut request = nobody();
        context(&mut request).set_route("chat");
        request
    };
    assert!(passes(&one, chat()).await);
    // Both layers count the route.
    assert!(!passes(&other, chat()).await);
}
