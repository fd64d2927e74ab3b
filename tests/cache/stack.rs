//! The cache in a stack of layers.

use std::{convert::Infallible, future::ready};

use tower::service_fn;
use tower_inference::{
    access_log::AccessLogLayer,
    auth::{AuthLayer, Jwt, Keys},
    context::CacheOutcome,
    limits::{Limit, Rate, Subject},
    model::Profile,
    model_rules::{ModelRule, ModelRules, ModelRulesLayer},
    payload::PayloadLayer,
    record::{Record, RecordSink},
    request_id::RequestIdLayer,
    stack::Stack,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
};

use super::*;
use crate::token::Signer;

fn signer() -> &'static Signer {
    static SIGNER: std::sync::LazyLock<Signer> = std::sync::LazyLock::new(Signer::es256);
    &SIGNER
}

fn auth() -> AuthLayer {
    let keys = Keys::from_jwks(signer().jwks().as_bytes()).unwrap();
    AuthLayer::new(Jwt::new(keys, token::ISSUER, token::AUDIENCE))
}

/// Status, cache outcome, total tokens, attempts and upstream.
type Told = (u16, Option<CacheOutcome>, Option<u64>, u32);

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Told>>>);

impl RecordSink for Seen {
    fn record(&self, record: &Record<'_>) {
        let tokens = record.usage().and_then(|usage| usage.total_tokens);
        let body_of =
            (record.status().unwrap().as_u16(), record.cache(), tokens, record.attempts());
        self.0.lock().unwrap().push(body_of);
    }
}

fn by(token: &str, body: &str) -> Request<ScriptedBody> {
    Request::post(CHAT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(ScriptedBody::chunked(body.as_bytes(), 10))
        .unwrap()
}

const BODY: &str = r#"{"model":"m","temperature":0,"messages":[],"max_tokens":9}"#;
const ANSWER: &str = r#"{"choices":[{"text":"a","finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;

fn answering() -> Upstream {
    Upstream::new(|_, request| {
        context(&request).add_attempt();
        json(ANSWER)
    })
}

#[tokio::test]
async fn a_hit_is_logged_and_not_charged() {
    let (seen, upstream) = (Seen::default(), answering());
    let budget = TokenBudgetLayer::new(Limit::global(Rate::per_day(1_000)).shown());
    let (cache, _) = layer(Scope::Identity);
    // The stack orders the layers.
    let service = Stack::new()
        .cache(cache)
        .token_budget(budget.clone())
        .auth(auth())
        .access_log(AccessLogLayer::sink(seen.clone()))
        .request_id(RequestIdLayer::new())
        .layer(upstream.clone());
    let token = signer().sign(&token::claims());
    let mut responses = Vec::new();
    for body in [BODY, BODY, r#"{"model":"m","temperature":1,"messages":[],"max_tokens":9}"#] {
        let response = service.clone().oneshot(by(&token, body)).await.unwrap();
        responses.push(response.headers().clone());
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), ANSWER);
    }
    let left = budget.limit_state("global", &Subject::global()).await.unwrap().remaining;
    assert_eq!((upstream.calls(), left), (2, 1_000 - 2 * 12));
    assert_eq!(
        *seen.0.lock().unwrap(),
        [
            (200, Some(CacheOutcome::Miss), Some(12), 1),
            (200, Some(CacheOutcome::Hit), Some(12), 0),
            (200, Some(CacheOutcome::Bypass), Some(12), 1),
        ]
    );
    // A hit has its own request id and no rate limit headers of the first response.
    assert!(responses[0].contains_key("ratelimit") && !responses[1].contains_key("ratelimit"));
    assert_ne!(responses[0]["x-request-id"], responses[1]["x-request-id"]);
}

/// The leader leaves during the call.
#[tokio::test]
async fn a_shared_call_is_charged_once() {
    let budget = TokenBudgetLayer::new(Limit::global(Rate::per_day(1_000)));
    let (send, receive) = tokio::sync::mpsc::unbounded_channel();
    let receive = Mutex::new(Some(receive));
    let upstream = Upstream::new(move |_, request| {
        context(&request).add_attempt();
        json(ANSWER).map(|_| ScriptedBody::live(receive.lock().unwrap().take().unwrap()))
    });
    let (cache, _) = layer(Scope::Identity);
    let service =
        Stack::new().auth(auth()).token_budget(budget.clone()).cache(cache).layer(upstream.clone());
    let token = signer().sign(&token::claims());
    let first = service.clone().oneshot(by(&token, BODY)).await.unwrap();
    let second = service.oneshot(by(&token, BODY)).await.unwrap();
    drop(first);
    send.send(Step::Data(ANSWER.as_bytes())).unwrap();
    drop(send);
    assert_eq!(second.into_body().collect().await.unwrap().to_bytes(), ANSWER);
    let left = budget.limit_state("global", &Subject::global()).await.unwrap().remaining;
    assert_eq!((upstream.calls(), left), (1, 1_000 - 12));
}

async fn status<S, B>(service: S, token: &str) -> u16
where
    S: Service<Request<ScriptedBody>, Response = Response<B>, Error = Fault>,
{
    service.oneshot(by(token, BODY)).await.unwrap().status().as_u16()
}

/// Authentication, limits and rules apply to hits as well.
#[tokio::test]
async fn outer_layers_apply_to_hits() {
    let upstream = answering();
    let (cache, _) = layer(Scope::Shared);
    let with = |rules: ModelRules, rate| {
        Stack::new()
            .auth(auth())
            .throttle(ThrottleLayer::new(Limit::global(rate)))
            .payload(PayloadLayer::new())
            .model_rules(ModelRulesLayer::new(Profile::compatible(), rules))
            .cache(cache.clone())
            .layer(upstream.clone())
    };
    let allowed = || ModelRules::new().allow(ModelRule::new(["m"]));
    let many = Rate::per_hour(100);
    let token = signer().sign(&token::claims());
    let open = with(allowed(), many);
    for _ in 0..2 {
        let response = open.clone().oneshot(by(&token, BODY)).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), ANSWER);
    }
    assert_eq!(upstream.calls(), 1);

    let mut expired = token::claims();
    expired["exp"] = 1.into();
    assert_eq!(status(open, &signer().sign(&expired)).await, 401);
    let other = ModelRules::new().allow(ModelRule::new(["other"]));
    assert_eq!(status(with(other, many), &token).await, 403);
    assert_eq!(status(with(allowed(), Rate::per_hour(0)), &token).await, 429);
    assert_eq!(upstream.calls(), 1);
}

/// The context of the call is merged by the end of the body, and never after the leader has left.
#[tokio::test]
async fn the_leader_learns_the_outcome_of_its_call() {
    let budget = || TokenBudgetLayer::new(Limit::global(Rate::per_day(1_000)));
    for leaves in [false, true] {
        let (cache, _) = layer(Scope::Identity);
        let service = cache.layer(budget().layer(answering()));
        let requests = [(); 2].map(|()| post(Some(user("a")), CHAT, BODY));
        let [first, second] = requests.each_ref().map(context);
        let [beginning, following] = requests.map(|request| service.clone().oneshot(request));
        let mut body = beginning.await.unwrap().into_body();
        let follower = following.await.unwrap();
        if leaves {
            drop(body);
            follower.into_body().collect().await.unwrap();
            assert_eq!((first.outcome().usage, first.outcome().attempts), (None, 1));
        } else {
            while body.frame().await.is_some() {}
            assert_eq!(first.outcome().usage.unwrap().total_tokens, Some(12));
        }
        assert_eq!((second.outcome().usage, second.outcome().attempts), (None, 0));
    }
}

#[tokio::test]
async fn shared_call_estimates_tokens_for_an_announcement_outside_of_the_cache() {
    let (cache, _clock) = layer(Scope::Shared);
    let log = AccessLogLayer::sink(|_: &Record<'_>| {});
    let service = cache.layer(log.layer(service_fn(|_| {
        ready(Ok::<_, Infallible>(json(
            r#"{"choices":[{"message":{"content":"sixteen bytes ok"}}]}"#,
        )))
    })));
    let request = plain();
    let context = context(&request);
    context.announce_generated_tokens_are_read();
    service.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(
        (context.outcome().cache, context.outcome().generated_tokens),
        (Some(CacheOutcome::Miss), 4)
    );
}
