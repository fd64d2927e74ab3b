//! The cache among the other layers: behind those who judge, before what costs.

use tower_inference::{
    access_log::{AccessLogLayer, Record, RecordSink},
    auth::{AuthLayer, Jwt, Keys},
    context::CacheOutcome,
    limits::{Limit, Rate, Subject},
    model::Profile,
    model_rules::{ModelRules, ModelRulesLayer, Models},
    payload::PayloadLayer,
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

/// Status, outcome of the cache, tokens in all, attempts, and the origin.
type Told = (u16, Option<CacheOutcome>, Option<u64>, u32);

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Told>>>);

impl RecordSink for Seen {
    fn record(&self, record: &Record<'_>) {
        let tokens = record.usage().and_then(|usage| usage.total_tokens);
        let told = (record.status().unwrap().as_u16(), record.cache(), tokens, record.attempts());
        self.0.lock().unwrap().push(told);
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
const ANSWER: &str =
    r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;

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
    // Innermost first: each has its place all the same.
    let service = Stack::new()
        .cache(cache)
        .token_budget(budget.clone())
        .auth(auth())
        .access_log(AccessLogLayer::sink(seen.clone()))
        .request_id(RequestIdLayer::new())
        .layer(upstream.clone());
    let token = signer().sign(&token::claims());
    let mut answers = Vec::new();
    for body in [BODY, BODY, r#"{"model":"m","temperature":1,"messages":[],"max_tokens":9}"#] {
        let answer = service.clone().oneshot(by(&token, body)).await.unwrap();
        answers.push(answer.headers().clone());
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), ANSWER);
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
    // What was left of the budget then is nobody's business now; each has an id of its own.
    assert!(answers[0].contains_key("ratelimit") && !answers[1].contains_key("ratelimit"));
    assert_ne!(answers[0]["x-request-id"], answers[1]["x-request-id"]);
}

/// One call, charged once, also when who began it leaves.
#[tokio::test]
async fn a_call_that_is_handed_over_is_charged_once() {
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

/// Auth, limits and rules judge each request, hits too.
#[tokio::test]
async fn hits_are_judged_like_all_others() {
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
    let allowed = || ModelRules::new().allow(Models::of(["m"]));
    let many = Rate::per_hour(100);
    let token = signer().sign(&token::claims());
    let open = with(allowed(), many);
    for _ in 0..2 {
        let answer = open.clone().oneshot(by(&token, BODY)).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), ANSWER);
    }
    assert_eq!(upstream.calls(), 1);

    let mut expired = token::claims();
    expired["exp"] = 1.into();
    assert_eq!(status(open, &signer().sign(&expired)).await, 401);
    let other = ModelRules::new().allow(Models::of(["other"]));
    assert_eq!(status(with(other, many), &token).await, 403);
    assert_eq!(status(with(allowed(), Rate::per_hour(0)), &token).await, 429);
    assert_eq!(upstream.calls(), 1);
}

/// What a call learns is told to the one who began it, at the latest with the end of the body; and
/// nothing more once that one has left.
#[tokio::test]
async fn what_a_call_learns_is_told_to_the_one_who_began_it() {
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
            assert_eq!((first.usage(), first.attempts()), (None, 1));
        } else {
            while body.frame().await.is_some() {}
            assert_eq!(first.usage().unwrap().total_tokens, Some(12));
        }
        assert_eq!((second.usage(), second.attempts()), (None, 0));
    }
}
