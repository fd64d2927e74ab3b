//! Invalidation.

use super::*;

#[tokio::test]
async fn invalidated_responses_are_not_served() {
    let request = |route: &'static str, model: &str, tenant: &str| {
        let identity = Identity::new(Proof::Jwt, ISSUER, "a").with_tenant(tenant);
        let body = format!(r#"{{"model":"{model}-sent","temperature":0,"x":"{route}"}}"#);
        let request = post(Some(identity), CHAT, &body);
        let context = context(&request);
        context.set_route(route);
        context.set_model(model);
        context.set_target(format!("{model}:together"));
        request
    };
    let base = || request("chat", "m", "t");
    type Forgets = fn(&CacheLayer);
    let cases: [(Forgets, Forgets); 6] = [
        (|layer| layer.invalidate_route("chat"), |layer| layer.invalidate_route("chats")),
        (|layer| layer.invalidate_model("m"), |layer| layer.invalidate_model("n")),
        (|layer| layer.invalidate_model("m-sent"), |layer| layer.invalidate_route("m-sent")),
        (|layer| layer.invalidate_model("m:together"), |layer| layer.invalidate_model("together")),
        (
            |layer| layer.invalidate_tenant(ISSUER, "t"),
            |layer| layer.invalidate_tenant("https://another.example", "t"),
        ),
        (CacheLayer::invalidate_all, |_| {}),
    ];
    for (number, (forgets, forgets_others)) in cases.into_iter().enumerate() {
        let (layer, _) = layer(Scope::Tenant);
        let upstream = Upstream::numbers();
        body_of(&layer, &upstream, base()).await;
        forgets_others(&layer);
        assert_eq!(body_of(&layer, &upstream, base()).await, completion(0), "{number}");
        forgets(&layer);
        assert_eq!(body_of(&layer, &upstream, base()).await, completion(1), "{number}");
    }
    let (layer, _) = layer(Scope::Tenant);
    let upstream = Upstream::numbers();
    body_of(&layer, &upstream, base()).await;
    layer.invalidate(&request("chat", "m", "u"));
    assert_eq!(body_of(&layer, &upstream, base()).await, completion(0));
    layer.invalidate(&base());
    assert_eq!(body_of(&layer, &upstream, base()).await, completion(1));
}

/// A call from before the invalidation is neither stored nor joined after it.
#[tokio::test]
async fn invalidation_concerns_calls_in_flight() {
    let cases: [fn(&CacheLayer); 2] =
        [CacheLayer::invalidate_all, |layer| layer.invalidate(&plain())];
    for invalidate in cases {
        let (layer, _) = layer(Scope::Identity);
        let upstream = Upstream::numbers();
        let first = send(&layer, &upstream, plain()).await;
        invalidate(&layer);
        assert_eq!(text(first).await, completion(0));
        assert_eq!(layer.entries(), 0);

        // It does not replace a newer response either.
        let second = send(&layer, &upstream, plain()).await;
        invalidate(&layer);
        let third = send(&layer, &upstream, plain()).await;
        assert_eq!(text(third).await, completion(2));
        assert_eq!(text(second).await, completion(1));
        assert_eq!(body_of(&layer, &upstream, plain()).await, completion(2));
    }
}
