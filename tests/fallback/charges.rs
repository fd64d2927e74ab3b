//! The charge of a token budget outside for all attempts of a request.

use std::time::SystemTime;

use proptest::{collection::vec, option, prelude::*, sample::select};
use tower_inference::{
    clock::{FakeClock, SharedClock},
    context::{AbandonReason, Attempt},
    fallback::RetryBudget,
    limits::{Limit, MemoryStore, Rate, Subject},
    token_budget::TokenBudgetLayer,
};

use super::*;

const PLENTY: u32 = 100_000_000;

/// A budget on a stopped clock.
struct Budget(TokenBudgetLayer);

impl Budget {
    fn new() -> Self {
        let clock = FakeClock::new(SystemTime::UNIX_EPOCH);
        let store = MemoryStore::new().clock(SharedClock::new(clock));
        Self(TokenBudgetLayer::new(Limit::global(Rate::per_day(PLENTY))).store(store))
    }

    async fn used(&self) -> u64 {
        let state = self.0.limit_state("global", &Subject::global()).await.unwrap();
        u64::from(PLENTY) - state.remaining
    }
}

fn streamed() -> Request<Payload> {
    chat(
        r#"{"model":"m","messages":[{"role":"user","content":"hello"}],"max_tokens":50,"stream":true,"stream_options":{"include_usage":true}}"#,
    )
}

/// Sends a request and returns what it was charged.
async fn charged(layer: &FallbackLayer, hosts: &Hosts) -> (u64, Got) {
    let budget = Budget::new();
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let service = layer.layer(UpstreamLayer::new().layer(inner));
    let got = send_to(budget.0.layer(service), streamed()).await;
    (budget.used().await, got)
}

/// The estimate of the prompt.
async fn prompt() -> u64 {
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::silent()))]);
    charged(&FallbackLayer::new([target("a")]), &hosts).await.0
}

#[tokio::test(start_paused = true)]
async fn attempts_without_a_computation_are_free() {
    for response in [TestResponse::unreachable(), status(429), status(500), busy(503, "3")] {
        let row = format!("{response:?}");
        let alone = Hosts::of([("b", TestUpstream::new(TestResponse::chat_stream(["two"])))]);
        let (expected, _) = charged(&FallbackLayer::new([target("b")]), &alone).await;
        let hosts = hosts(response.clone(), TestResponse::chat_stream(["two"]));
        assert_eq!(charged(&two(), &hosts).await.0, expected, "{row}");
        // If all fail, nothing is charged.
        let hosts = super::hosts(response.clone(), response);
        assert_eq!(charged(&two(), &hosts).await.0, 0, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_have_computed_costs_its_prompt() {
    let prompt = prompt().await;
    assert!(prompt > 0);
    let alone = Hosts::of([("b", TestUpstream::new(TestResponse::chat_stream(["two"])))]);
    let (served, _) = charged(&FallbackLayer::new([target("b")]), &alone).await;
    let nothing = TestResponse::chat_stream([""; 0]);
    for response in [
        TestResponse::silent(),
        nothing.clone().then_stalls(),
        nothing.then_fails(),
        TestResponse::events([r#"{"error":{"message":"x"}}"#]),
    ] {
        let row = format!("{response:?}");
        let hosts = hosts(response, TestResponse::chat_stream(["two"]));
        assert_eq!(charged(&two(), &hosts).await.0, prompt + served, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_costs_what_it_reported() {
    let usage = serde_json::json!({"usage": {"prompt_tokens": 9, "completion_tokens": 4}});
    let failed = TestResponse::json(usage.clone()).status(StatusCode::INTERNAL_SERVER_ERROR);
    let event =
        TestResponse::events([usage.to_string(), r#"{"error":{"message":"x"}}"#.to_owned()]);
    let alone = Hosts::of([("b", TestUpstream::new(TestResponse::chat_stream(["two"])))]);
    let (served, _) = charged(&FallbackLayer::new([target("b")]), &alone).await;
    for response in [failed.clone(), event] {
        let hosts = hosts(response, TestResponse::chat_stream(["two"]));
        assert_eq!(charged(&two(), &hosts).await.0, 13 + served);
    }
    // The last one too.
    let hosts = hosts(failed.clone(), failed);
    assert_eq!(charged(&two(), &hosts).await.0, 26);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_charged_for_the_attempt_in_flight() {
    let prompt = prompt().await;
    for (a, seconds_waited, expected) in [
        (TestResponse::silent(), 5, prompt),
        // In the second attempt, which is silent too.
        (TestResponse::silent(), 65, 2 * prompt),
        (status(500), 5, prompt),
        // Between two attempts.
        (busy(503, "30"), 5, 0),
    ] {
        let row = format!("{a:?}");
        let waits = row.contains("retry-after");
        let hosts = hosts(a, if waits { busy(503, "30") } else { TestResponse::silent() });
        let layer = if waits { two().wait_for_model(seconds(60)) } else { two() };
        let budget = Budget::new();
        let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
        let service = budget.0.layer(layer.layer(UpstreamLayer::new().layer(inner)));
        let gone =
            tokio::time::timeout(seconds(seconds_waited), send_to(service, streamed())).await;
        assert!(gone.is_err(), "{row}");
        assert_eq!(budget.used().await, expected, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_the_first_attempt_is_charged_nothing() {
    let hosts = Hosts::of([("a", TestUpstream::new(TestResponse::silent()))]);
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    let layer = FallbackLayer::new([target("a").max_in_flight(1)]);
    let service = layer.layer(UpstreamLayer::new().layer(inner));
    let first = tokio::spawn(service.clone().oneshot(hello()));
    tokio::task::yield_now().await;
    let budget = Budget::new();
    let gone = send_to(budget.0.layer(service), streamed());
    assert!(tokio::time::timeout(seconds(1), gone).await.is_err());
    assert_eq!((budget.used().await, hosts.calls()), (0, vec![1]));
    first.abort();
}

#[tokio::test(start_paused = true)]
async fn attempts_are_charged_without_a_layer_that_counts_them() {
    // Neither `UpstreamLayer` nor `HfTokenLayer`, and the client leaves in the second attempt.
    let prompt = prompt().await;
    let budget = Budget::new();
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let client = tower::service_fn(move |_request: Request<Payload>| {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move {
            if call > 0 {
                std::future::pending::<()>().await;
            }
            let failed =
                Response::builder().status(500).body(http_body_util::Empty::<Bytes>::new());
            Ok::<_, Infallible>(failed.unwrap())
        }
    });
    let gone = send_to(budget.0.layer(two().layer(client)), streamed());
    assert!(tokio::time::timeout(seconds(1), gone).await.is_err());
    assert_eq!(budget.used().await, prompt);
}

// === random scripts ===

/// One frame of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Event {
    Comment,
    Role,
    Content,
    Usage,
    Error,
    Finish,
    Done,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Complete,
    Fails,
    Stalls,
}

#[derive(Clone, Debug)]
enum Script {
    Refused,
    Silent,
    Status { code: u16, retry_after: Option<u8>, usage: bool },
    Stream(Vec<Event>, End),
}

impl Script {
    fn response(&self, content: &str) -> TestResponse {
        match self {
            Self::Refused => TestResponse::unreachable(),
            Self::Silent => TestResponse::silent(),
            Self::Status { code, retry_after, usage } => {
                let code = StatusCode::from_u16(*code).unwrap();
                let mut body = serde_json::json!({"error": {"message": "x"}});
                if *usage {
                    body["usage"] = serde_json::json!({"prompt_tokens": 5, "completion_tokens": 2});
                }
                let response = TestResponse::json(body).status(code);
                match retry_after {
                    Some(seconds) => response.header(RETRY_AFTER, u64::from(*seconds).into()),
                    None => response,
                }
            }
            Self::Stream(events, end) => {
                let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant"}}]}"#;
                let texts = events.iter().map(|event| match event {
                    Event::Comment => format!("{role}\n\n: ping"),
                    Event::Role => role.to_owned(),
                    Event::Content => {
                        format!(
                            r#"{{"choices":[{{"index":0,"delta":{{"content":"{content}"}}}}]}}"#
                        )
                    }
                    Event::Usage => {
                        r#"{"choices":[],"usage":{"prompt_tokens":6,"completion_tokens":3}}"#.into()
                    }
                    Event::Error => r#"{"error":{"message":"x"}}"#.into(),
                    Event::Finish => {
                        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.into()
                    }
                    Event::Done => "[DONE]".into(),
                });
                let stream = TestResponse::events(texts.collect::<Vec<_>>());
                match end {
                    End::Complete => stream,
                    // These cut a `[DONE]` and what is before it.
                    End::Fails => stream.then_fails(),
                    End::Stalls => stream.then_stalls(),
                }
            }
        }
    }

    fn contents(&self) -> usize {
        match self {
            Self::Stream(events, _) => {
                events.iter().filter(|event| **event == Event::Content).count()
            }
            _ => 0,
        }
    }

    /// Whether content comes before any failure.
    fn begins_with_content(&self) -> bool {
        let Self::Stream(events, end) = self else { return false };
        let mut sent = &events[..];
        if *end != End::Complete
            && let Some(done) = events.iter().rposition(|event| *event == Event::Done)
        {
            sent = &events[..done.saturating_sub(1)];
        }
        let content = sent.iter().position(|event| *event == Event::Content);
        let ended = sent.iter().position(|event| matches!(event, Event::Error | Event::Done));
        content.is_some_and(|content| ended.is_none_or(|ended| content < ended))
    }
}

fn scripts() -> impl Strategy<Value = Script> {
    let event = select(vec![
        Event::Comment,
        Event::Role,
        Event::Content,
        Event::Content,
        Event::Usage,
        Event::Error,
        Event::Finish,
        Event::Done,
    ]);
    let end = select(vec![End::Complete, End::Fails, End::Stalls]);
    let code = select(vec![400_u16, 404, 429, 500, 502, 503, 504]);
    prop_oneof![
        Just(Script::Refused),
        Just(Script::Silent),
        (code, option::of(0..40_u8), any::<bool>())
            .prop_map(|(code, retry_after, usage)| Script::Status { code, retry_after, usage }),
        (vec(event.clone(), 0..6), end.clone())
            .prop_map(|(events, end)| Script::Stream(events, end)),
        (vec(event, 0..6), end).prop_map(|(events, end)| Script::Stream(events, end)),
    ]
}

/// The cost of a failed attempt.
fn cost(attempt: &Attempt, prompt: u64) -> u64 {
    if let Some(usage) = attempt.usage {
        return usage.prompt_tokens.unwrap() + usage.completion_tokens.unwrap();
    }
    match attempt.abandoned.unwrap() {
        AbandonReason::Timeout | AbandonReason::ErrorEvent | AbandonReason::Broken => prompt,
        _ => 0,
    }
}

/// The form in which a target wants requests.
#[derive(Clone, Copy, Debug)]
enum Form {
    Plain,
    Model,
    /// With a profile that rejects `stream_options`.
    NoOptions,
    /// With a profile that has another name for the output limit.
    OtherLimit,
}

/// The other requests at a target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Load {
    None,
    /// A request has the one permit for these seconds, or for ever.
    Full {
        max_queued: usize,
        seconds: Option<u64>,
    },
}

/// A layer and its surroundings.
#[derive(Clone, Debug)]
struct Setting {
    retries: u32,
    wait: bool,
    max_attempts: u32,
    has_budget: bool,
    forms: [Form; 2],
    loads: [Load; 2],
}

impl Setting {
    fn target(&self, index: usize) -> Target {
        let name = ["a", "b"][index];
        let target = match self.forms[index] {
            Form::Plain => target(name),
            Form::Model => target(name).model(format!("org/of-{name}")),
            Form::NoOptions => Target::new(stage(name).profile(Profile::mistral())),
            Form::OtherLimit => openai(name),
        };
        match self.loads[index] {
            Load::None => target.name(name),
            Load::Full { max_queued, .. } => {
                target.name(name).max_in_flight(1).max_queued(max_queued)
            }
        }
    }

    fn layer(&self, targets: [Target; 2]) -> FallbackLayer {
        let mut layer = FallbackLayer::new([])
            .model("m", targets)
            .retries(self.retries)
            .max_attempts(self.max_attempts);
        if !self.has_budget {
            layer = layer.retry_budget(RetryBudget::new().percent(0).min_per_second(0));
        }
        if self.wait { layer.wait_for_model(seconds(100)) } else { layer }
    }
}

/// Takes the permit of a target for a while.
async fn occupy(target: &Target, load: Load) -> Option<tokio::task::JoinHandle<()>> {
    let Load::Full { seconds, .. } = load else { return None };
    let layer = FallbackLayer::new([target.clone()]);
    let well = tower::service_fn(async |_: Request<Payload>| {
        Ok::<_, Infallible>(Response::new(http_body_util::Full::new(Bytes::from_static(b"x"))))
    });
    let response = layer.layer(well).oneshot(hello()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    Some(tokio::spawn(async move {
        match seconds {
            Some(seconds) => tokio::time::sleep(super::seconds(seconds)).await,
            None => std::future::pending().await,
        }
        drop(response);
    }))
}

/// The body that a target gets when nothing was tried before it.
async fn body_of(setting: &Setting, index: usize) -> Bytes {
    let setting = Setting { loads: [Load::None; 2], ..setting.clone() };
    let hosts = hosts(status(404), status(404));
    let other = Hosts::of([("other", TestUpstream::new(status(500)))]);
    let hosts =
        Hosts { upstreams: hosts.upstreams.into_iter().chain(other.upstreams).collect(), ..hosts };
    let layer = if index == 0 {
        FallbackLayer::new([setting.target(0)])
    } else {
        FallbackLayer::new([target("other"), setting.target(1)])
    };
    charged(&layer, &hosts).await;
    hosts.requests(["a", "b"][index])[0].body().clone()
}

async fn check(a: Script, b: Script, setting: Setting) {
    let scripts = [("a", &a, "alpha"), ("b", &b, "beta")];
    let hosts = Hosts::of(
        scripts.map(|(host, script, content)| (host, TestUpstream::new(script.response(content)))),
    );
    let targets = [setting.target(0), setting.target(1)];
    let mut others = Vec::new();
    for (target, load) in targets.iter().zip(setting.loads) {
        others.extend(occupy(target, load).await);
    }
    let (charge, got) = charged(&setting.layer(targets), &hosts).await;
    others.iter().for_each(tokio::task::JoinHandle::abort);
    let row = format!("{a:?} {b:?} {setting:?}\n{got:?}");
    let outcome = got.context.outcome();
    let served = got.target.as_deref();

    // The attempts are bounded and recorded.
    let calls = hosts.calls();
    let all: usize = calls.iter().sum();
    // Each wait of the 100 seconds takes half a second at least.
    let most = setting.max_attempts as usize + if setting.wait { 200 } else { 0 };
    let is_loaded = setting.loads.iter().any(|load| *load != Load::None);
    assert!((usize::from(!is_loaded)..=most).contains(&all), "{row}");
    assert_eq!(outcome.attempts as usize, all, "{row}");
    assert_eq!(outcome.abandoned.len(), all - usize::from(served.is_some()), "{row}");
    for (index, calls) in calls.into_iter().enumerate() {
        if !setting.wait {
            let retries = if setting.has_budget { setting.retries as usize } else { 0 };
            assert!(calls <= 1 + retries, "{row}");
        }
        if matches!(setting.loads[index], Load::Full { seconds: None, .. }) {
            assert_eq!(calls, 0, "{row}");
        }
        // Each attempt has the names of its own target.
        if calls > 0 {
            let body = body_of(&setting, index).await;
            for request in hosts.requests(["a", "b"][index]) {
                assert_eq!(*request.body(), body, "{row}");
            }
        }
    }

    // Without a response of an upstream, the gateway says that all have too much to do.
    let Some(served) = served else {
        assert!(is_loaded && got.status == 503, "{row}");
        assert_eq!(outcome.rejection, Some("overloaded"), "{row}");
        let failed: u64 = {
            let prompt = prompt().await;
            outcome.abandoned.iter().map(|attempt| cost(attempt, prompt)).sum()
        };
        assert_eq!(charge, failed, "{row}");
        return;
    };

    // Content comes once, from one target, and a response with content is never replaced.
    for (host, script, content) in scripts {
        let seen = got.body.matches(content).count();
        assert!(seen <= if host == served { script.contents() } else { 0 }, "{row}");
        if script.begins_with_content() && !hosts.requests(host).is_empty() {
            assert_eq!(served, host, "{row}");
            assert!(seen > 0, "{row}");
            let retried =
                outcome.abandoned.iter().filter(|attempt| attempt.target.as_deref() == Some(host));
            assert_eq!(retried.count(), 0, "{row}");
        }
    }

    // The charge is the sum of the attempts.
    let prompt = prompt().await;
    let alone = FallbackLayer::new([target(served)]);
    let script = if served == "a" { &a } else { &b };
    let only = Hosts::of([(
        if served == "a" { "a" } else { "b" },
        TestUpstream::new(script.response(if served == "a" { "alpha" } else { "beta" })),
    )]);
    let (last, _) = charged(&alone, &only).await;
    let failed: u64 = outcome.abandoned.iter().map(|attempt| cost(attempt, prompt)).sum();
    assert_eq!(charge, failed + last, "{failed} + {last}: {row}");
}

fn settings() -> impl Strategy<Value = Setting> {
    (0..3_u32, any::<bool>(), 1..6_u32).prop_map(|(retries, wait, max_attempts)| Setting {
        retries,
        wait,
        max_attempts,
        has_budget: true,
        forms: [Form::Plain; 2],
        loads: [Load::None; 2],
    })
}

/// Settings with targets that edit the request, full targets and empty budgets.
fn crowded() -> impl Strategy<Value = Setting> {
    let form = || select(vec![Form::Plain, Form::Model, Form::NoOptions, Form::OtherLimit]);
    let load = || {
        let full = (0..2_usize, option::of(0..120_u64))
            .prop_map(|(max_queued, seconds)| Load::Full { max_queued, seconds });
        prop_oneof![Just(Load::None), full]
    };
    let parts = ([form(), form()], [load(), load()], any::<bool>(), settings());
    parts.prop_map(|(forms, loads, has_budget, setting)| Setting {
        forms,
        loads,
        has_budget,
        ..setting
    })
}

fn run(check: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(check);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_scripts_of_two_targets(a in scripts(), b in scripts(), setting in settings()) {
        run(check(a, b, setting));
    }

    #[test]
    fn random_scripts_of_crowded_targets(a in scripts(), b in scripts(), setting in crowded()) {
        run(check(a, b, setting));
    }
}
