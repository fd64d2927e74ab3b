//! The order of limits, and that a rejection takes nothing.

use std::time::Duration;

use http::Request;
use tower_inference::{
    context::RequestHead,
    limits::{Limit, Rate, Subject},
    peer::PeerAddress,
};

use crate::{context, from, layer, nobody, passes, send, told, user};

#[tokio::test]
async fn the_narrowest_limit_is_named_in_any_order_of_setters() {
    let none = Rate::per_second(0);
    let key = |_: &RequestHead<'_>| Some("x");
    let all = [
        Limit::per_identity(none),
        Limit::per_claim("plan", none),
        Limit::per_tenant(none),
        Limit::per_peer(PeerAddress::connection(), none),
        Limit::per_key(key, none),
        Limit::per_route(none),
        Limit::global(none),
    ];
    let names = ["identity", "claim", "tenant", "peer", "key", "route", "global"];
    for first in 0..all.len() {
        // The widest comes first here.
        let mut limits = all[first..].iter().rev().cloned();
        let (mut layer, _clock) = layer(limits.next().unwrap());
        for limit in limits {
            layer = layer.limit(limit);
        }
        let counted: Vec<_> = layer.counts().into_iter().map(|counts| counts.name).collect();
        assert_eq!(counted.iter().map(AsRef::as_ref).collect::<Vec<_>>(), names[first..]);
        let mut request = from(user("a"));
        let context = context(&mut request);
        assert!(!passes(&layer, request).await);
        assert_eq!(context.outcome().limited_by.as_deref(), Some(names[first]));
    }
}

#[tokio::test]
async fn a_rejection_takes_nothing_from_other_limits() {
    let (layer, _clock) = layer(Limit::per_identity(Rate::per_hour(3)));
    let layer = layer.limit(Limit::global(Rate::per_hour(1)));
    let principal = Subject::identity(&user("a").principal());
    assert!(passes(&layer, from(user("a"))).await);
    for _ in 0..5 {
        assert!(!passes(&layer, from(user("a"))).await);
    }
    assert_eq!(layer.limit_state("identity", &principal).await.unwrap().remaining, 2);
    // In the other direction, a narrow rejection takes nothing of the wide limit.
    let (layer, _clock) = crate::layer(Limit::per_identity(Rate::per_hour(1)));
    let layer = layer.limit(Limit::global(Rate::per_hour(3)));
    assert!(passes(&layer, from(user("a"))).await);
    for _ in 0..5 {
        assert!(!passes(&layer, from(user("a"))).await);
    }
    assert!(passes(&layer, from(user("b"))).await);
    assert!(passes(&layer, from(user("c"))).await);
    assert!(!passes(&layer, from(user("d"))).await);
}

#[tokio::test]
async fn retry_after_is_the_longest_wait() {
    let (layer, clock) = layer(Limit::per_identity(Rate::per_second(1)));
    let layer = layer.limit(Limit::per_tenant(Rate::per_minute(1)));
    assert!(passes(&layer, from(user("a"))).await);
    let refused = send(&layer, from(user("a"))).await;
    assert_eq!(told(&refused), ("throttled", "at most 1 request a second", Some("60")));
    clock.advance(Duration::from_secs(59));
    let refused = send(&layer, from(user("a"))).await;
    assert_eq!(told(&refused), ("throttled", "at most 1 request a minute", Some("1")));
    clock.advance(Duration::from_secs(1));
    assert!(passes(&layer, from(user("a"))).await);
}

#[tokio::test]
async fn a_short_wait_does_not_hide_a_long_one() {
    let (layer, clock) = layer(Limit::per_identity(Rate::per_minute(1)));
    let layer = layer.limit(Limit::per_tenant(Rate::per_second(1)));
    assert!(passes(&layer, from(user("a"))).await);
    let refused = send(&layer, from(user("a"))).await;
    assert_eq!(told(&refused), ("throttled", "at most 1 request a minute", Some("60")));
    clock.advance(Duration::from_secs(60));
    assert!(passes(&layer, from(user("a"))).await);
}

#[tokio::test]
async fn limit_names_are_unique() {
    let (layer, _clock) = layer(Limit::per_identity(Rate::per_hour(2)));
    let layer = layer
        .limit(Limit::per_identity(Rate::per_hour(1)))
        .limit(Limit::global(Rate::per_hour(9)).name("identity"))
        .limit(Limit::per_tenant(Rate::per_hour(9)).name("identity-2"));
    let names: Vec<_> = layer.counts().into_iter().map(|counts| counts.name).collect();
    let names: Vec<_> = names.iter().map(AsRef::as_ref).collect();
    assert_eq!(names, ["identity", "identity-2", "identity-2-2", "identity-3"]);
    // Each has its own counter: the second limit rejects, and the first has one permit left.
    assert!(passes(&layer, from(user("a"))).await);
    assert!(!passes(&layer, from(user("a"))).await);
    let principal = Subject::identity(&user("a").principal());
    assert_eq!(layer.limit_state("identity", &principal).await.unwrap().remaining, 1);
    assert_eq!(layer.limit_state("identity-2", &principal).await.unwrap().remaining, 0);
}

#[tokio::test]
async fn services_and_clones_of_a_layer_count_together() {
    let (layer, _clock) = layer(Limit::global(Rate::per_hour(3)));
    let clone = layer.clone();
    for layer in [&layer, &clone, &layer] {
        assert!(passes(layer, nobody()).await);
    }
    assert!(!passes(&layer, nobody()).await);
    assert!(!passes(&clone, nobody()).await);
}

#[tokio::test]
async fn the_request_body_is_not_read() {
    use bytes::Bytes;
    use http::Response;
    use http_body_util::Empty;
    use tower::{Layer, ServiceExt};

    use crate::support::Probe;

    /// Fails the test when it is polled.
    #[derive(Debug)]
    struct Untouched;

    impl http_body::Body for Untouched {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            panic!("the body was read");
        }
    }

    let (layer, _clock) = layer(Limit::global(Rate::per_hour(1)));
    for status in [200, 429] {
        let inner = Probe::new(|_| Response::new(Empty::<Bytes>::new()));
        let response = layer.layer(inner).oneshot(Request::new(Untouched)).await.unwrap();
        assert_eq!(response.status(), status);
    }
}
