//! Allowances of plans and tiers.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer, ServiceExt};
use tower_inference::{
    auth::{ApiKey, ApiKeyRecord, ApiKeys, AuthLayer},
    limits::{Limit, LimitError, Rate, Subject},
};

use crate::{from, layer, nobody, passes, send, support::Probe, told, user};

const PLANS: [(&str, Rate); 2] = [("gold", Rate::per_hour(3)), ("free", Rate::per_hour(2))];

#[tokio::test]
async fn a_plan_has_its_own_allowance() {
    let (layer, _clock) = layer(Limit::per_identity(Rate::per_hour(1)).by_plan(PLANS));
    for (subject, plan, most) in
        [("a", "gold", 3), ("b", "free", 2), ("c", "unheard-of", 1), ("d", "Gold", 1)]
    {
        let caller = || from(user(subject).with_plan(plan));
        for _ in 0..most {
            assert!(passes(&layer, caller()).await, "{plan}");
        }
        let refused = send(&layer, caller()).await;
        let plural = if most == 1 { "" } else { "s" };
        let detail = format!("at most {most} request{plural} an hour");
        assert_eq!(told(&refused).1, detail);
    }
    // A caller without a plan has the limit's own allowance.
    assert!(passes(&layer, from(user("e"))).await);
    assert!(!passes(&layer, from(user("e"))).await);
}

#[tokio::test]
async fn the_plan_of_an_api_key_chooses_its_rate() {
    let keys = [("gold-key", "gold", 3), ("free-key", "free", 2), ("other-key", "none", 1)];
    let records = keys.map(|(id, plan, _)| {
        (ApiKey::dangerous_weak(id).unwrap(), ApiKeyRecord::new(id).plan(plan))
    });
    let auth = AuthLayer::new(ApiKeys::new(records).unwrap());
    let (throttle, _clock) = layer(Limit::per_identity(Rate::per_hour(1)).by_plan(PLANS));
    let service = auth.layer(throttle.layer(Probe::new(|_| Response::new(Empty::<Bytes>::new()))));
    for (key, _, most) in keys {
        for number in 0..=most {
            let request = Request::builder().header("x-api-key", key);
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let Ok::<_, Infallible>(response) = service.clone().oneshot(request).await;
            let expected = if number < most { 200 } else { 429 };
            assert_eq!(response.status(), expected, "{key} {number}");
        }
    }
}

#[tokio::test]
async fn a_claim_of_that_name_is_no_plan() {
    let (layer, _clock) = layer(Limit::per_identity(Rate::per_hour(1)).by_plan(PLANS));
    let caller = || from(user("a").with_claim("plan", "gold"));
    assert!(passes(&layer, caller()).await);
    assert!(!passes(&layer, caller()).await);
}

#[tokio::test]
async fn a_function_names_the_tier() {
    let staff =
        |caller: &tower_inference::identity::Identity| caller.has_scope("staff").then_some("gold");
    let _: fn(&tower_inference::identity::Identity) -> Option<&'static str> = staff;
    let limit = Limit::per_identity(Rate::per_hour(1))
        .tiers(|caller| caller.has_scope("staff").then_some("gold"), PLANS);
    let (layer, _clock) = layer(limit);
    for _ in 0..3 {
        assert!(passes(&layer, from(user("a").with_scopes(["staff"]))).await);
    }
    assert!(!passes(&layer, from(user("a").with_scopes(["staff"]))).await);
    assert!(passes(&layer, from(user("b"))).await);
    assert!(!passes(&layer, from(user("b"))).await);
}

#[tokio::test]
async fn unauthenticated_requests_have_the_limits_own_allowance() {
    let (layer, _clock) = layer(Limit::global(Rate::per_hour(1)).by_plan(PLANS));
    assert!(passes(&layer, nobody()).await);
    assert!(!passes(&layer, nobody()).await);
}

#[tokio::test]
async fn a_caller_that_changes_plan_keeps_its_counter() {
    let (layer, _clock) = layer(Limit::per_identity(Rate::per_hour(1)).by_plan(PLANS));
    for _ in 0..2 {
        assert!(passes(&layer, from(user("a").with_plan("free"))).await);
    }
    assert!(!passes(&layer, from(user("a").with_plan("free"))).await);
    // Two permits an hour are used, which is more than half of three permits an hour.
    let gold = Subject::identity(&user("a").principal()).tier("gold");
    let state = layer.limit_state("identity", &gold).await.unwrap();
    assert_eq!((state.capacity, state.remaining), (3, 0));
    let unheard = Subject::identity(&user("a").principal()).tier("unheard-of");
    let error = layer.limit_state("identity", &unheard).await.unwrap_err();
    assert!(matches!(error, LimitError::NoSuchTier { .. }), "{error}");
    assert!(error.to_string().contains("`unheard-of`; its tiers: "), "{error}");
}
