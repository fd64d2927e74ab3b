//! Reading, resetting and inheriting the state of limits.

use std::{net::IpAddr, time::Duration};

use http::Request;
use tower_inference::{
    context::RequestHead,
    limits::{Limit, LimitError, Rate, Subject},
    peer::PeerAddress,
    throttle::ThrottleLayer,
};

use crate::{ISSUER, context, from, layer, nobody, passes, user};

#[tokio::test]
async fn reading_the_state_takes_nothing() {
    let (layer, clock) = layer(Limit::per_identity(Rate::per_minute(2)));
    let subject = Subject::identity(&user("a").principal());
    for _ in 0..3 {
        let state = layer.limit_state("identity", &subject).await.unwrap();
        assert_eq!((state.allows, state.remaining, state.capacity), (true, 2, 2));
        assert_eq!((state.retry_after, state.reset_after), (Duration::ZERO, Duration::ZERO));
    }
    assert!(passes(&layer, from(user("a"))).await);
    assert!(passes(&layer, from(user("a"))).await);
    let state = layer.limit_state("identity", &subject).await.unwrap();
    assert_eq!((state.allows, state.remaining), (false, 0));
    assert_eq!(state.retry_after, Duration::from_secs(30));
    assert_eq!(state.reset_after, Duration::from_secs(60));
    // The wait is exact to the nanosecond.
    clock.advance(state.retry_after - Duration::from_nanos(1));
    assert!(!passes(&layer, from(user("a"))).await);
    clock.advance(Duration::from_nanos(1));
    assert!(passes(&layer, from(user("a"))).await);
}

#[tokio::test]
async fn each_kind_of_subject_is_found_and_reset() {
    let one = Rate::per_hour(1);
    let acme = || user("a").with_tenant("acme").with_claim("plan", "gold");
    let request = || {
        let mut request = from(acme());
        context(&mut request).set_route("chat");
        let address: std::net::SocketAddr = "192.0.2.7:1".parse().unwrap();
        request.extensions_mut().insert(address);
        request.headers_mut().insert("x-project", "p".parse().unwrap());
        request
    };
    let project = |head: &RequestHead<'_>| head.headers().get("x-project").cloned();
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let cases = [
        (Limit::per_identity(one), Subject::identity(&acme().principal())),
        (Limit::per_tenant(one), Subject::tenant(ISSUER, "acme")),
        (Limit::per_claim("plan", one), Subject::claim(ISSUER, "gold")),
        (Limit::per_peer(PeerAddress::connection(), one), Subject::address(address)),
        (Limit::per_key(project, one), Subject::key(*b"p")),
        (Limit::per_route(one), Subject::route("chat")),
        (Limit::global(one), Subject::global()),
    ];
    for (limit, subject) in &cases {
        let (layer, _clock) = layer(limit.clone().name("it"));
        assert!(passes(&layer, request()).await);
        assert!(!layer.limit_state("it", subject).await.unwrap().allows, "{subject:?}");
        assert!(!passes(&layer, request()).await);
        layer.reset("it", subject).await.unwrap();
        assert!(passes(&layer, request()).await, "{subject:?}");
        for (_, other) in cases.iter().filter(|(_, other)| other != subject) {
            let state = layer.limit_state("it", other).await;
            assert!(matches!(state, Err(LimitError::WrongSubject { .. })), "{state:?}");
            let reset = layer.reset("it", other).await;
            assert!(matches!(reset, Err(LimitError::WrongSubject { .. })), "{reset:?}");
        }
    }
}

#[tokio::test]
async fn a_reset_clears_one_key_in_all_tiers() {
    let plans = [("gold", Rate::per_hour(1))];
    let (layer, _clock) = layer(Limit::per_identity(Rate::per_hour(1)).by_plan(plans));
    let gold = || from(user("a").with_plan("gold"));
    assert!(passes(&layer, gold()).await);
    assert!(passes(&layer, from(user("b"))).await);
    layer.reset("identity", &Subject::identity(&user("a").principal())).await.unwrap();
    assert!(passes(&layer, gold()).await);
    assert!(!passes(&layer, from(user("b"))).await);
}

#[tokio::test]
async fn unknown_names_are_errors() {
    let (layer, _clock) = layer(Limit::global(Rate::per_hour(1)));
    let global = Subject::global();
    let known = vec!["global".into()];
    let unknown = LimitError::NoSuchLimit { name: "other".into(), known };
    assert_eq!(unknown.to_string(), "the layer has no limit `other`; its limits: global");
    assert_eq!(layer.limit_state("other", &global).await, Err(unknown.clone()));
    assert_eq!(layer.reset("other", &global).await, Err(unknown));
    let tier = global.tier("gold");
    let unknown = LimitError::NoSuchTier { name: "gold".into(), known: Vec::new() };
    assert_eq!(layer.limit_state("global", &tier).await, Err(unknown));
}

#[tokio::test]
async fn a_replacement_keeps_state_and_counts() {
    let (old, clock) = layer(Limit::per_identity(Rate::per_minute(2)));
    assert!(passes(&old, from(user("a"))).await);
    assert!(passes(&old, from(user("a"))).await);
    assert!(!passes(&old, from(user("a"))).await);

    // The numbers, the limits and their order change.
    let new = ThrottleLayer::new(Limit::global(Rate::per_hour(100)))
        .limit(Limit::per_identity(Rate::per_minute(4)))
        .inherit_state(&old);
    let [identity, global] = &new.counts()[..] else { panic!() };
    assert_eq!((&*identity.name, identity.allowed, identity.rejected), ("identity", 2, 1));
    assert_eq!((&*global.name, global.allowed, global.rejected), ("global", 0, 0));
    // The new limit has the old one's debt of a minute.
    assert!(!passes(&new, from(user("a"))).await);
    clock.advance(Duration::from_secs(15));
    assert!(passes(&new, from(user("a"))).await);
    assert!(!passes(&new, from(user("a"))).await);
    // Both layers count together while both serve.
    clock.advance(Duration::from_secs(15));
    assert!(passes(&new, from(user("b"))).await);
    assert!(passes(&old, from(user("b"))).await);
    assert_eq!(old.counts()[0], new.counts()[0]);
}

#[tokio::test]
async fn a_renamed_limit_starts_from_zero() {
    let (old, _clock) = layer(Limit::global(Rate::per_hour(1)));
    assert!(passes(&old, nobody()).await);
    let new = ThrottleLayer::new(Limit::global(Rate::per_hour(1)).name("all")).inherit_state(&old);
    assert!(passes(&new, Request::new(http_body_util::Empty::new())).await);
    assert!(!passes(&new, nobody()).await);
}
