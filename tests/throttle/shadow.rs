//! Limits in shadow report what they would reject.

use tower_inference::limits::{Limit, Rate};

use crate::{context, from, layer, nobody, passes, user};

#[tokio::test]
async fn a_limit_in_shadow_counts_and_names_what_it_would_reject() {
    let (layer, _clock) = layer(Limit::per_identity(Rate::per_hour(1)).shadow());
    let layer = layer.limit(Limit::global(Rate::per_hour(3)));
    for number in 0..3 {
        let mut request = from(user("a"));
        let context = context(&mut request);
        assert!(passes(&layer, request).await);
        assert_eq!(
            context.outcome().shadow_limited_by.as_deref(),
            (number > 0).then_some("identity")
        );
        assert_eq!(context.outcome().limited_by.as_deref(), None);
    }
    // Both limits are reported.
    let mut request = from(user("a"));
    let context = context(&mut request);
    assert!(!passes(&layer, request).await);
    assert_eq!(context.outcome().shadow_limited_by.as_deref(), Some("identity"));
    assert_eq!(context.outcome().limited_by.as_deref(), Some("global"));

    let [identity, global] = &layer.counts()[..] else { panic!() };
    assert_eq!((identity.allowed, identity.rejected, identity.shadow_rejected), (1, 0, 3));
    assert_eq!((global.allowed, global.rejected, global.shadow_rejected), (3, 1, 0));
}

#[tokio::test]
async fn a_rejection_takes_nothing_from_a_limit_in_shadow() {
    let (layer, _clock) = layer(Limit::per_identity(Rate::per_hour(2)).shadow());
    let layer = layer.limit(Limit::global(Rate::per_hour(0)));
    for _ in 0..5 {
        assert!(!passes(&layer, from(user("a"))).await);
    }
    let [identity, _global] = &layer.counts()[..] else { panic!() };
    assert_eq!((identity.allowed, identity.shadow_rejected), (0, 0));
}

#[tokio::test]
async fn a_limit_in_shadow_needs_no_identity() {
    let (layer, _clock) = layer(Limit::per_identity(Rate::per_hour(1)).shadow());
    assert!(passes(&layer, nobody()).await);
    assert!(passes(&layer, nobody()).await);
    let [identity] = &layer.counts()[..] else { panic!() };
    assert_eq!((identity.allowed, identity.shadow_rejected), (1, 1));
}
