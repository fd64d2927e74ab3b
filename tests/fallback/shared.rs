//! A cache and shared calls outside of a fallback.

use std::sync::Arc;

use tower_inference::{
    cache::{CacheLayer, Scope},
    identity::{Callers, Identity, Proof},
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    stack::Stack,
};

use super::*;

fn of(plan: &str) -> Identity {
    let identity = Identity::new(Proof::Jwt, "https://issuer.example", format!("user-{plan}"));
    identity.with_tenant("acme").with_scopes([plan])
}

fn by(plan: &str) -> Request<Payload> {
    let mut request = chat(r#"{"model":"m","messages":[],"temperature":0}"#);
    RequestContext::ensure(request.extensions_mut()).set_identity(Arc::new(of(plan)));
    request
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_not_stored_for_the_first_choice() {
    let a = TestUpstream::new(status(500)).then(TestResponse::chat("one"));
    let hosts = Hosts::of([("a", a), ("b", TestUpstream::new(TestResponse::chat("two")))]);
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let fallback = two().layer(UpstreamLayer::new().layer(inner));
    let service = CacheLayer::new("test", Scope::Identity).layer(fallback);
    for (target, calls) in [("b", [1, 1]), ("a", [2, 1]), ("a", [2, 1])] {
        let got = send_to(service.clone(), by("free")).await;
        assert_eq!((got.target.as_deref(), hosts.calls()), (Some(target), calls.to_vec()));
        assert_eq!(got.context.outcome().fell_back, target == "b");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_call_has_its_attempts_once() {
    let hosts = hosts(status(500), TestResponse::chat("two")).slow();
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let fallback = two().layer(UpstreamLayer::new().layer(inner));
    let service = CacheLayer::new("test", Scope::Identity).layer(fallback);
    let (first, second) =
        tokio::join!(send_to(service.clone(), by("free")), send_to(service.clone(), by("free")));
    assert_eq!(hosts.calls(), [1, 1]);
    assert_eq!(first.body, second.body);
    // The attempts belong to the request that began the call.
    assert_eq!(first.context.outcome().abandoned.len(), 1);
    assert_eq!(second.context.outcome().abandoned.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_rules_of_each_caller_judge_a_shared_fallback() {
    let paid = Callers::new().scope("paid");
    let rules = ModelRules::new()
        .allow(ModelRule::new(["m"]))
        .allow(ModelRule::new(["org/large"]).callers(paid));
    let layer = FallbackLayer::new([target("a"), target("b").model("org/large")]);
    for (leader, follower, statuses) in
        [("paid", "free", [200, 403]), ("paid", "paid", [200, 200]), ("free", "paid", [500, 200])]
    {
        let hosts = hosts(status(500), TestResponse::chat("two")).slow();
        let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
        let fallback = layer.layer(UpstreamLayer::new().layer(inner));
        let cache = CacheLayer::new("test", Scope::Tenant).layer(fallback);
        let service = ModelRulesLayer::new(Profile::compatible(), rules.clone()).layer(cache);
        let (first, second) =
            tokio::join!(send_to(service.clone(), by(leader)), send_to(service, by(follower)));
        let row = format!("{leader} {follower}: {first:?} {second:?}");
        if leader == "free" {
            // The failure of the first call is shared.
            assert_eq!((first.status, second.status), (500, 500), "{row}");
        } else {
            assert_eq!([first.status, second.status], statuses, "{row}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stack_puts_the_fallback_inside_of_the_cache() {
    for fallback in [None, Some(two())] {
        let is_set = fallback.is_some();
        let a = if is_set { status(500) } else { TestResponse::chat("one") };
        let hosts = Hosts::of([
            ("a", TestUpstream::new(a)),
            ("b", TestUpstream::new(TestResponse::chat("two"))),
        ]);
        // Innermost first on purpose.
        let gateway = Stack::new()
            .hf_token(HfTokenLayer::stage(stage("a")))
            .upstream(UpstreamLayer::new())
            .fallback(fallback)
            .cache(CacheLayer::new("test", Scope::Identity))
            .boxed(hosts.clone());
        for _ in 0..2 {
            let response = gateway.clone().oneshot(by("free")).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            response.into_body().collect().await.unwrap();
        }
        // A whole response of the first choice is stored, that of a fallback is not.
        assert_eq!(hosts.calls(), if is_set { [2, 2] } else { [1, 0] });
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_takes_the_slot_of_the_same_client() {
    use std::net::SocketAddr;
    use tower_inference::peer::PeerAddress;

    let hosts = hosts(status(500), TestResponse::silent());
    let upstream = UpstreamLayer::new()
        .max_in_flight(4)
        .caller_share(25)
        .peer_address(PeerAddress::connection());
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let service = two().layer(upstream.layer(inner));
    let from = |last: u8| {
        let mut request = hello();
        request.extensions_mut().insert(SocketAddr::from(([10, 0, 0, last], 1)));
        request
    };
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(tokio::spawn(service.clone().oneshot(from(1))));
        tokio::task::yield_now().await;
    }
    // Three attempts at `b` have the slots of the first client, which leaves one for another client.
    assert_eq!(upstream.in_flight(), 3);
    let response = service.clone().oneshot(from(1)).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    waiting.push(tokio::spawn(service.oneshot(from(2))));
    tokio::task::yield_now().await;
    assert_eq!(upstream.in_flight(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_rules_of_each_caller_judge_the_target_of_an_alias() {
    let paid = Callers::new().scope("paid");
    let rules = ModelRules::new()
        .allow(ModelRule::new(["m"]))
        .allow(ModelRule::new(["org/large"]).callers(paid));
    let layer = FallbackLayer::new([]).model("m", [target("a").model("org/large")]);
    let upstreams = || Hosts::of([("a", TestUpstream::new(TestResponse::chat("one")))]);
    let service = |hosts: &Hosts| {
        let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
        let fallback = layer.layer(UpstreamLayer::new().layer(inner));
        let cache = CacheLayer::new("test", Scope::Tenant).layer(fallback);
        ModelRulesLayer::new(Profile::compatible(), rules.clone()).layer(cache)
    };
    // A shared call.
    let hosts = upstreams().slow();
    let slow = service(&hosts);
    let (first, second) =
        tokio::join!(send_to(slow.clone(), by("paid")), send_to(slow.clone(), by("free")));
    assert_eq!([first.status, second.status], [200, 403]);
    // A stored response, for whom the rules allow it.
    let hosts = upstreams();
    let service = service(&hosts);
    for (caller, status, calls) in
        [("free", 403, 0), ("paid", 200, 1), ("free", 403, 1), ("paid", 200, 1), ("free", 403, 1)]
    {
        let got = send_to(service.clone(), by(caller)).await;
        assert_eq!((got.status, hosts.calls()), (status, vec![calls]), "{caller}");
    }
}
