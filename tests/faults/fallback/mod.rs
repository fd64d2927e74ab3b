//! A first target that fails before its first content or after it, and a second one that is well.

mod http1;
mod http2;

use std::{
    future::pending,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::SystemTime,
};

use super::*;
use tokio::{sync::Notify, task::JoinSet};
use tower::{Layer, ServiceExt, service_fn, util::MapRequestLayer};
use tower_inference::{
    clock::{FakeClock, SharedClock},
    context::{AbandonReason, Attempt, RequestContext},
    fallback::{FallbackLayer, Target},
    hf::Stage,
    limits::{Limit, MemoryStore, Rate, Subject},
    payload::Payload,
    token_budget::TokenBudgetLayer,
};

pub const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}],"max_tokens":50,"stream":true,"stream_options":{"include_usage":true}}"#;

const COMMENT: &str = ": ping\n\n";
const ROLE: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const ONE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\n";
const ERROR: &str = "data: {\"error\":{\"message\":\"x\"}}\n\n";
const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":6,\"completion_tokens\":3}}\n\n";
/// The usage of [`USAGE`] and of [`GOOD`].
const USED: u64 = 9;
/// The response of the second target.
const GOOD: &str = concat!(
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":6,\"completion_tokens\":3}}\n\n",
    "data: [DONE]\n\n",
);
/// A failure with its usage, and one without.
const FAILED: &str =
    r#"{"error":{"message":"x"},"usage":{"prompt_tokens":5,"completion_tokens":2}}"#;
const FAILED_USED: u64 = 7;
const UNUSED: &str = r#"{"error":{"message":"x"}}"#;

/// A deadline that no case reaches.
const NEVER: Duration = Duration::from_secs(100);
const PLENTY: u32 = 100_000_000;

/// A script of the first target, and the attempt that it makes.
#[derive(Clone, Debug)]
pub struct Fault {
    script: Vec<Act>,
    reason: AbandonReason,
    cost: Cost,
    end: End,
    first_content: Duration,
    head: Duration,
}

/// The charge for an attempt.
#[derive(Clone, Copy, Debug)]
pub enum Cost {
    Nothing,
    Prompt,
    Tokens(u64),
}

/// What the first target sees of the end of the attempt.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// The end of its connection.
    Closed,
    /// A reset of its stream.
    Reset,
    /// Nothing: its response was whole, or the end of the connection is its own.
    Unseen,
}

impl FaultyUpstream {
    /// Waits for the end of an attempt.
    async fn ends(&self, end: End) {
        match end {
            End::Closed => self.all_closed().await,
            End::Reset => self.reset().await,
            End::Unseen => {}
        }
    }
}

impl Fault {
    fn new(script: impl Into<Vec<Act>>, reason: AbandonReason, cost: Cost, end: End) -> Self {
        let script = script.into();
        Self { script, reason, cost, end, first_content: NEVER, head: NEVER }
    }

    /// A response that does not come in time.
    fn silent(script: impl Into<Vec<Act>>, end: End) -> Self {
        let fault = Self::new(script, AbandonReason::Timeout, Cost::Prompt, end);
        Self { first_content: WAIT / 2, ..fault }
    }

    /// As [`silent`](Self::silent), by the deadline of `UpstreamLayer`.
    fn headless(script: impl Into<Vec<Act>>, end: End) -> Self {
        Self { first_content: NEVER, head: WAIT, ..Self::silent(script, end) }
    }
}

/// A gateway with a token budget and two targets.
struct Pair {
    front: Front,
    upstream: UpstreamLayer,
    targets: [Target; 2],
    budget: TokenBudgetLayer,
    contexts: Arc<Mutex<Vec<RequestContext>>>,
}

impl Pair {
    async fn start(
        addresses: [SocketAddr; 2],
        client: Builder,
        front: Version,
        (first_content, head): (Duration, Duration),
    ) -> Self {
        let [a, b] = addresses;
        let targets = [target("a", a), target("b", b)];
        let upstream = UpstreamLayer::new().head_timeout(head).max_in_flight(4);
        let budget = budget();
        let contexts = Arc::<Mutex<Vec<_>>>::default();
        let of_layer = Arc::clone(&contexts);
        let service = ServiceBuilder::new()
            .layer(MapRequestLayer::new(move |mut request: Request<Incoming>| {
                let context = RequestContext::ensure(request.extensions_mut());
                of_layer.lock().unwrap().push(context);
                request
            }))
            .layer(PayloadLayer::new())
            .layer(budget.clone())
            .layer(FallbackLayer::new(targets.clone()).first_content_timeout(first_content))
            .layer(upstream.clone())
            .layer(HfTokenLayer::stage(stage("default", a)))
            .service(client.build().unwrap());
        let front = Front::start(service, front).await;
        Self { front, upstream, targets, budget, contexts }
    }

    async fn used(&self) -> u64 {
        used(&self.budget).await
    }

    /// Waits until every slot and every permit is given back.
    async fn is_idle(&self) {
        while self.upstream.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
        for target in &self.targets {
            while !has_permit(target).await {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until the budget has this charge.
    async fn is_charged(&self, tokens: u64) {
        while self.used().await < tokens {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.used().await, tokens);
    }
}

fn stage(name: &str, address: SocketAddr) -> Stage {
    let token = TokenSource::value(Secret::new(format!("hf_tokenOf{name}"))).unwrap();
    Stage::new(name, format!("http://{address}").parse().unwrap(), token)
}

fn target(name: &str, address: SocketAddr) -> Target {
    Target::new(stage(name, address)).max_in_flight(1).max_queued(0)
}

/// Returns whether a target has a permit left.
async fn has_permit(target: &Target) -> bool {
    // Another model has cool-downs of its own. The permits are those of the target.
    let layer = FallbackLayer::new([target.clone().model("other")]);
    let well = service_fn(async |_: Request<Payload>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
    let request = request.body(Payload::buffered(CHAT)).unwrap();
    layer.layer(well).oneshot(request).await.unwrap().status() == 200
}

/// A budget on a stopped clock.
fn budget() -> TokenBudgetLayer {
    let clock = FakeClock::new(SystemTime::UNIX_EPOCH);
    let store = MemoryStore::new().clock(SharedClock::new(clock));
    TokenBudgetLayer::new(Limit::global(Rate::per_day(PLENTY))).store(store)
}

async fn used(budget: &TokenBudgetLayer) -> u64 {
    let state = budget.limit_state("global", &Subject::global()).await.unwrap();
    u64::from(PLENTY) - state.remaining
}

/// The estimate of the prompt: the charge for a call without a response.
async fn prompt() -> u64 {
    let budget = budget();
    let silent =
        service_fn(|_: Request<Payload>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
    let request = request.body(Payload::buffered(CHAT)).unwrap();
    let service = ServiceBuilder::new()
        .layer(budget.clone())
        .layer(UpstreamLayer::new())
        .layer(HfTokenLayer::stage(stage("default", ([127, 0, 0, 1], 1).into())))
        .service(silent);
    {
        let mut call = pin!(service.oneshot(request));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }
    used(&budget).await
}

/// Checks that the second target serves each request of which the first one makes a fault, for clients
/// over both versions. All cases run at once.
async fn fall_back(client: Builder, good: Vec<Act>, faults: impl IntoIterator<Item = Fault>) {
    let mut cases = JoinSet::new();
    for fault in faults {
        for front in [Version::HTTP_11, Version::HTTP_2] {
            let (client, good, fault) = (client.clone(), good.clone(), fault.clone());
            cases.spawn(async move {
                let shown: String = format!("{front:?} {fault:?}").chars().take(400).collect();
                let upstream = FaultyUpstream::start(vec![fault.script.clone()]).await;
                let case = falls_back(client, good, &fault, (upstream.address, front), &shown);
                timeout(HANGS, case).await.unwrap_or_else(|_| panic!("hangs: {shown}"));
                assert!(upstream.accepted() <= 1, "{shown}");
                let ended = upstream.ends(fault.end);
                timeout(HANGS, ended).await.unwrap_or_else(|_| panic!("stays open: {shown}"));
            });
        }
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

async fn falls_back(
    client: Builder,
    good: Vec<Act>,
    fault: &Fault,
    (first, front): (SocketAddr, Version),
    shown: &str,
) {
    let second = FaultyUpstream::start(vec![good]).await;
    let deadlines = (fault.first_content, fault.head);
    let pair = Pair::start([first, second.address], client, front, deadlines).await;
    let (outcome, target) = pair.front.received(CHAT, |_| ()).await;
    assert_eq!((outcome, target.as_deref()), (Whole(200, GOOD.to_owned()), Some("b")), "{shown}");
    assert_eq!(second.accepted(), 1, "{shown}");
    pair.is_idle().await;

    let outcome = pair.contexts.lock().unwrap()[0].outcome();
    let of_attempt = |attempt: &Attempt| (attempt.target.clone(), attempt.abandoned);
    let abandoned: Vec<_> = outcome.abandoned.iter().map(of_attempt).collect();
    let expected = [(Some("a".into()), Some(fault.reason))];
    assert_eq!((outcome.attempts, &*abandoned), (2, &expected[..]), "{shown}");
    let cost = match fault.cost {
        Cost::Nothing => 0,
        Cost::Prompt => prompt().await,
        Cost::Tokens(tokens) => tokens,
    };
    pair.is_charged(cost + USED).await;
}

/// The end of a stream that has begun, the response that clients get, and the end that the target sees.
type Ending = (Vec<Act>, Outcome, End);

/// Checks that the first target keeps the request after its first content. The stream ends after the
/// content has reached the client.
async fn stay(client: Builder, begun: Vec<Act>, endings: impl IntoIterator<Item = Ending>) {
    for (ending, expected, end) in endings {
        for front in [Version::HTTP_11, Version::HTTP_2] {
            let over = Arc::new(Notify::new());
            let pause = vec![Act::Pause(Arc::clone(&over))];
            let script = [begun.clone(), pause, ending.clone()].concat();
            let shown = format!("{front:?} {script:?}");
            let first = FaultyUpstream::start(vec![script]).await;
            let second = FaultyUpstream::start(vec![]).await;
            let addresses = [first.address, second.address];
            let pair = Pair::start(addresses, client.clone(), front, (NEVER, NEVER)).await;
            let case = async {
                let content = |read: &str| {
                    if read.contains("one") {
                        over.notify_one();
                    }
                };
                let (outcome, target) = pair.front.received(CHAT, content).await;
                assert_eq!((outcome, target.as_deref()), (expected.clone(), Some("a")), "{shown}");
                pair.is_idle().await;
                first.ends(end).await;
            };
            timeout(HANGS, case).await.unwrap_or_else(|_| panic!("hangs: {shown}"));
            assert_eq!((first.accepted(), second.accepted()), (1, 0), "{shown}");
            let outcome = pair.contexts.lock().unwrap()[0].outcome();
            assert_eq!((outcome.attempts, outcome.abandoned.len()), (1, 0), "{shown}");
            assert!(pair.used().await >= prompt().await, "{shown}");
        }
    }
}

/// Checks that a client that leaves ends the attempt, and that no other one follows.
async fn leave(client: Builder, begun: Vec<Act>, ending: Vec<Act>, end: End) {
    for front in [Version::HTTP_11, Version::HTTP_2] {
        let here = Arc::new(Notify::new());
        let reach = vec![Act::Reach(Arc::clone(&here))];
        let script = [begun.clone(), reach, ending.clone()].concat();
        let shown = format!("{front:?} {script:?}");
        let first = FaultyUpstream::start(vec![script]).await;
        let second = FaultyUpstream::start(vec![]).await;
        let addresses = [first.address, second.address];
        let pair = Pair::start(addresses, client.clone(), front, (NEVER, NEVER)).await;
        let response = tokio::spawn(pair.front.client.request(pair.front.request(CHAT)));
        let case = async {
            here.notified().await;
            response.abort();
            pair.is_idle().await;
            pair.is_charged(prompt().await).await;
            first.ends(end).await;
        };
        timeout(HANGS, case).await.unwrap_or_else(|_| panic!("hangs: {shown}"));
        assert_eq!((first.accepted(), second.accepted()), (1, 0), "{shown}");
    }
}

/// A stream that breaks off after its content.
fn cut() -> Outcome {
    Cut(200, [ROLE, ONE].concat())
}
