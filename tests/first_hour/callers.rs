//! Settings that need the caller, in a layer outside of auth or for callers without the claim.

use std::{convert::Infallible, fmt, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_inference::{
    cache::{CacheLayer, Scope},
    context::{RequestContext, RequestHead},
    identity::{Callers, Identity, Proof},
    limits::{Limit, Quota, Rate},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::Payload,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
    transform::{EditableHeader, TransformLayer, ValueSource},
};

use crate::{listen, logged, warned_once};

const REMEDY: [&str; 3] = ["AuthLayer outside", "before it in a ServiceBuilder", "Router::layer"];
const UNVERIFIED: &str = "no layer of the gateway has verified the credentials";

type Upstream = BoxCloneService<Request<Payload>, Response<Full<Bytes>>, Infallible>;

/// Sends a request of this caller with a token. Returns the status and the body of the response.
async fn send<L, B>(layer: &L, caller: Option<Identity>) -> (StatusCode, String)
where
    L: Layer<Upstream>,
    L::Service: Service<Request<Payload>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes>,
    B::Error: fmt::Debug,
{
    let upstream = async |_: Request<Payload>| Ok(Response::new(Full::new(Bytes::from("{}"))));
    let mut request = Request::post("/v1/chat/completions")
        .header("authorization", "Bearer of-a-caller")
        .header("content-type", "application/json")
        .body(Payload::buffered(r#"{"model":"m","messages":[],"temperature":0}"#))
        .unwrap();
    let context = RequestContext::ensure(request.extensions_mut());
    if let Some(caller) = caller {
        context.set_identity(Arc::new(caller));
    }
    let service = layer.layer(BoxCloneService::new(service_fn(upstream)));
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, String::from_utf8(body.into()).unwrap())
}

fn caller() -> Identity {
    Identity::new(Proof::Jwt, "https://issuer.example", "user-7")
        .with_tenant("acme")
        .with_claim("plan", "gold")
}

fn principal(head: &RequestHead<'_>) -> Option<String> {
    Some(head.identity()?.subject().to_owned())
}

fn gold() -> [(&'static str, Rate); 1] {
    [("gold", Rate::per_second(100))]
}

#[tokio::test]
async fn each_limit_by_caller_is_outside_of_auth() {
    let rate = || Rate::per_second(10);
    for (limit, status) in [
        (Limit::per_identity(rate()), StatusCode::UNAUTHORIZED),
        (Limit::per_tenant(rate()), StatusCode::UNAUTHORIZED),
        (Limit::per_claim("plan", rate()), StatusCode::UNAUTHORIZED),
        (Limit::per_identity(rate()).shadow(), StatusCode::OK),
        (Limit::global(rate()).by_plan(gold()), StatusCode::OK),
        (Limit::global(rate()).tiers(|_| Some("gold"), gold()), StatusCode::OK),
        (Limit::per_key(principal, rate()), StatusCode::OK),
    ] {
        listen();
        // A limit that needs no caller is not named.
        let layer = ThrottleLayer::new(limit.name("wrong")).limit(Limit::global(rate()));
        for _ in 0..3 {
            assert_eq!(send(&layer, None).await.0, status);
        }
        warned_once(&["limit=\"wrong\"", REMEDY[0], REMEDY[1], REMEDY[2]]);
        for counts in layer.counts() {
            let expected = if &*counts.name == "wrong" { 3 } else { 0 };
            assert_eq!(counts.without_identity, expected, "{}", counts.name);
        }

        send(&layer, Some(caller())).await;
        assert_eq!(logged(), "");
    }
}

#[tokio::test]
async fn a_token_budget_is_outside_of_auth() {
    listen();
    let layer = TokenBudgetLayer::new(Limit::per_tenant(Quota::per_day(100_000)));
    let (status, body) = send(&layer, None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains(UNVERIFIED), "{body}");
    send(&layer, None).await;
    warned_once(&["limit=\"tenant\"", REMEDY[0], REMEDY[1], REMEDY[2]]);
    assert_eq!(layer.counts()[0].without_identity, 2);
}

#[tokio::test]
async fn the_callers_have_no_value_to_be_counted_by() {
    let rate = || Rate::per_second(10);
    for (limit, caller_without, remedy) in [
        (
            Limit::per_tenant(rate()),
            Identity::new(Proof::Jwt, "https://issuer.example", "user-7"),
            "ClaimMapping::tenant",
        ),
        (Limit::per_claim("plan", rate()), caller().with_claim("plan", 7), "claim=plan"),
    ] {
        listen();
        let layer = ThrottleLayer::new(limit.name("by"));
        send(&layer, Some(caller())).await;
        assert_eq!((layer.counts()[0].without_value, &*logged()), (0, ""));
        for _ in 0..3 {
            assert_eq!(send(&layer, Some(caller_without.clone())).await.0, StatusCode::OK);
        }
        warned_once(&["limit=\"by\"", "share one counter", remedy]);
        assert_eq!(layer.counts()[0].without_value, 3);
    }
}

#[tokio::test]
async fn a_scope_of_a_function_is_outside_of_auth() {
    listen();
    let scope = Scope::by(|request| {
        let caller = RequestContext::of(request.extensions())?.identity()?;
        Some(caller.subject().to_owned())
    });
    let layer = CacheLayer::new("upstream", scope);
    send(&layer, None).await;
    send(&layer, None).await;
    warned_once(&["cache is bypassed", REMEDY[0], REMEDY[1], REMEDY[2]]);
    assert_eq!(layer.counts()[0].without_identity, 2);
}

#[tokio::test]
async fn model_rules_with_a_condition_are_outside_of_auth() {
    let layer = |rule| ModelRulesLayer::new(Profile::compatible(), ModelRules::new().allow(rule));
    listen();
    let with_condition = layer(ModelRule::new(["*"]).callers(Callers::new().claim("plan", "gold")));
    assert_eq!(send(&with_condition, None).await.0, StatusCode::FORBIDDEN);
    send(&with_condition, None).await;
    warned_once(&["a model rule needs", REMEDY[0], REMEDY[1], REMEDY[2]]);
    assert_eq!(send(&with_condition, Some(caller())).await.0, StatusCode::OK);
    // A rule for every caller needs none.
    assert_eq!(send(&layer(ModelRule::new(["*"])), None).await.0, StatusCode::OK);
    assert_eq!(logged(), "");
}

#[tokio::test]
async fn a_header_of_the_caller_is_set_outside_of_auth() {
    let layer = |value| {
        TransformLayer::new().set_header("x-user".parse::<EditableHeader>().unwrap(), value)
    };
    listen();
    let required = layer(ValueSource::subject());
    let (status, body) = send(&required, None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains(UNVERIFIED), "{body}");
    send(&required, None).await;
    warned_once(&["a value needs", REMEDY[0], REMEDY[1], REMEDY[2]]);
    // An optional value would be missing without a trace.
    assert_eq!(send(&layer(ValueSource::claim("plan").optional()), None).await.0, StatusCode::OK);
    warned_once(&["a value needs", REMEDY[0], REMEDY[1], REMEDY[2]]);
    assert_eq!(send(&required, Some(caller())).await.0, StatusCode::OK);
    assert_eq!(logged(), "");
}
