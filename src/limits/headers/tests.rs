use std::sync::Arc;

use http::{HeaderValue, Request, Response};

use super::set::POLICY;
use crate::{
    context::RequestContext,
    identity::{Identity, Proof},
    limits::{
        Limit, Rate,
        kind::Unit,
        limit_set::LimitSet,
        store::{PermitRequests, StoreDecision},
    },
};

/// Sets the headers of a response as a layer with these limits does.
fn set_headers(limits: &LimitSet, response: &mut Response<()>) {
    let context = RequestContext::new();
    context.set_identity(Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "a")));
    let mut requests = PermitRequests::new();
    limits.permit_requests(&Request::new(()), &context, 1, &mut requests).unwrap();
    let StoreDecision::Now(Ok(decision)) = limits.store().backend().decide(&requests) else {
        panic!("a store in memory decides at once")
    };
    limits.response_headers(&requests, &decision).unwrap().apply(response);
}

#[test]
fn layers_of_tokens_and_of_requests_append_to_each_other() {
    let rate = Rate::per_minute(10);
    let tokens = LimitSet::new(Limit::per_identity(rate).name("budget"), Unit::Tokens);
    let requests = LimitSet::new(Limit::per_identity(rate), Unit::Requests);
    let mut response = Response::new(());
    response.headers_mut().insert(POLICY, HeaderValue::from_static("\"upstream\";q=1"));
    set_headers(&tokens, &mut response);
    set_headers(&requests, &mut response);
    let lines: Vec<_> = response.headers().get_all(POLICY).iter().collect();
    let expected = ["\"budget\";q=10;qu=\"tokens\";w=60", "\"identity\";q=10;w=60"];
    assert_eq!(lines, expected);
}

#[test]
fn each_combination_of_tiers_has_its_own_policy() {
    let tiers =
        |gold: u32, free: u32| [("gold", Rate::per_minute(gold)), ("free", Rate::per_minute(free))];
    let first = Limit::per_identity(Rate::per_minute(1)).by_plan(tiers(2, 3));
    let mut limits = LimitSet::new(first.name("a"), Unit::Requests);
    let by_team = Limit::per_identity(Rate::per_minute(4))
        .tiers(|caller| caller.claim("team")?.as_str(), tiers(5, 6));
    limits.push(by_team.name("b"));
    limits.push(Limit::per_tenant(Rate::per_minute(7)));
    for (plan, q) in [("gold", 2), ("free", 3), ("none", 1)] {
        for (team, p) in [("gold", 5), ("free", 6), ("none", 4)] {
            let caller = Identity::new(Proof::Jwt, "https://issuer.example", "a");
            let caller = caller.with_plan(plan).with_claim("team", team);
            let context = RequestContext::new();
            context.set_identity(Arc::new(caller));
            let mut requests = PermitRequests::new();
            limits.permit_requests(&Request::new(()), &context, 1, &mut requests).unwrap();
            let value = limits.headers().policy().of(limits.limits(), &requests).unwrap();
            let all = format!("\"a\";q={q};w=60, \"b\";q={p};w=60, \"tenant\";q=7;w=60");
            assert_eq!(value, all);
        }
    }
}
