//! Tokens that a function fetches.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{Arc, atomic::AtomicBool},
};

use proptest::prelude::*;
use tokio::sync::Notify;
use tower_inference::hf::FetchedToken;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// One response of a vault.
#[derive(Clone, Debug)]
enum Reply {
    Token(&'static str),
    /// A token with a lifetime in seconds.
    Expiring(&'static str, u64),
    Error(&'static str),
    Slow,
    Panic,
}

/// A vault that gives its replies in their order and repeats the last one.
#[derive(Clone)]
struct Vault {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    fetches: Arc<AtomicUsize>,
    clock: FakeClock,
    // A closed vault makes its callers wait.
    open: Arc<AtomicBool>,
    opened: Arc<Notify>,
}

impl Vault {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            fetches: Arc::default(),
            clock: FakeClock::default(),
            open: Arc::new(AtomicBool::new(true)),
            opened: Arc::default(),
        }
    }

    fn closed(self) -> Self {
        self.open.store(false, Relaxed);
        self
    }

    fn open(&self) {
        self.open.store(true, Relaxed);
        self.opened.notify_waiters();
    }

    fn set(&self, replies: impl IntoIterator<Item = Reply>) {
        *self.replies.lock().unwrap() = replies.into_iter().collect();
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Relaxed)
    }

    fn source(&self) -> TokenSource {
        let vault = self.clone();
        let fetch = move || {
            let vault = vault.clone();
            async move {
                vault.fetches.fetch_add(1, Relaxed);
                while !vault.open.load(Relaxed) {
                    vault.opened.notified().await;
                }
                let reply = {
                    let mut replies = vault.replies.lock().unwrap();
                    if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() }
                };
                match reply.unwrap() {
                    Reply::Token(token) => Ok(FetchedToken::new(Secret::new(token))),
                    Reply::Expiring(token, seconds) => Ok(FetchedToken::new(Secret::new(token))
                        .expires_in(Duration::from_secs(seconds))),
                    Reply::Error(text) => Err(text),
                    Reply::Slow => pending().await,
                    Reply::Panic => panic!("expected by the test"),
                }
            }
        };
        TokenSource::fetch(fetch).clock(self.clock.shared())
    }

    fn layer(&self) -> HfTokenLayer {
        layer_of(self.source())
    }
}

fn layer_of(source: TokenSource) -> HfTokenLayer {
    HfTokenLayer::new(ROUTER.parse().unwrap(), source)
}

/// An upstream that returns the token that it received, without `Bearer`.
async fn token(layer: &HfTokenLayer) -> Result<String, Response<()>> {
    let sent = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&sent);
    let client = service_fn(move |request: Request<()>| {
        let token = request.headers()["authorization"].to_str().unwrap().replace("Bearer ", "");
        *seen.lock().unwrap() = Some(token);
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    let response = layer.layer(client).oneshot(Request::new(())).await.unwrap();
    let sent = sent.lock().unwrap().take();
    sent.ok_or_else(|| response.map(|_| ()))
}

/// Lets the task of the source run.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// Lets a running fetch end, at the latest by its timeout.
async fn end_of_fetch() {
    settle().await;
    tokio::time::advance(SECOND * 6).await;
    settle().await;
}

#[track_caller]
fn assert_unavailable(token: Result<String, Response<()>>) {
    let response = token.unwrap_err();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    let rejection = response.extensions().get::<tower_inference::rejection::Rejection>().unwrap();
    assert_eq!(rejection.refusal().slug(), "upstream-token-unavailable");
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_without_a_token_share_one_fetch() {
    let vault = Vault::new([Reply::Token("hf_one")]).closed();
    let layer = vault.layer();
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let layer = layer.clone();
            tokio::spawn(async move { token(&layer).await.unwrap() })
        })
        .collect();
    settle().await;
    assert_eq!(vault.fetches(), 1);
    vault.open();
    for request in requests {
        assert_eq!(request.await.unwrap(), "hf_one");
    }
    assert_eq!(vault.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn at_most_1024_requests_wait_for_one_token() {
    let vault = Vault::new([Reply::Token("hf_one")]).closed();
    let layer = vault.layer();
    let requests: Vec<_> = (0..1_024)
        .map(|_| {
            let layer = layer.clone();
            tokio::spawn(async move { token(&layer).await.unwrap() })
        })
        .collect();
    // The runtime runs some tasks at a time.
    for _ in 0..64 {
        settle().await;
    }
    assert_unavailable(token(&layer).await);
    vault.open();
    for request in requests {
        assert_eq!(request.await.unwrap(), "hf_one");
    }
    assert_eq!(vault.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_survives_the_request_that_started_it() {
    let vault = Vault::new([Reply::Token("hf_one")]).closed();
    let layer = vault.layer();
    for leave in [1, 2] {
        let waits = tokio::spawn({
            let layer = layer.clone();
            async move { token(&layer).await.unwrap() }
        });
        settle().await;
        waits.abort();
        assert!(waits.await.unwrap_err().is_cancelled(), "request {leave}");
    }
    vault.open();
    settle().await;
    assert_eq!(token(&layer).await.unwrap(), "hf_one");
    assert_eq!(vault.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_token_waits_for_the_fetch_timeout_and_is_then_rejected() {
    let vault = Vault::new([Reply::Slow]);
    let layer = layer_of(vault.source().fetch_timeout(SECOND * 3));
    let started = tokio::time::Instant::now();
    assert_unavailable(token(&layer).await);
    assert_eq!(started.elapsed(), SECOND * 3);
}

#[tokio::test(start_paused = true)]
async fn failed_fetches_are_repeated_after_delays_that_double_up_to_thirty_seconds() {
    let vault = Vault::new([Reply::Error("down")]);
    let layer = vault.layer();
    assert_unavailable(token(&layer).await);
    let mut delays = Vec::new();
    for _ in 0..7 {
        let before = vault.fetches();
        let mut delay = Duration::ZERO;
        while vault.fetches() == before {
            assert_unavailable(token(&layer).await);
            vault.clock.advance(SECOND / 20);
            delay += SECOND / 20;
        }
        delays.push(delay.as_secs_f64());
    }
    for (delay, most) in delays.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]) {
        assert!((most * 0.75..=most + 0.11).contains(delay), "{delays:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_ahead_of_its_expiry_and_no_request_waits() {
    let vault = Vault::new([Reply::Expiring("hf_one", 1_000), Reply::Expiring("hf_two", 1_000)]);
    let layer = vault.layer();
    assert_eq!(token(&layer).await.unwrap(), "hf_one");
    vault.clock.advance(SECOND * 749);
    assert_eq!(token(&layer).await.unwrap(), "hf_one");
    settle().await;
    assert_eq!(vault.fetches(), 1);

    vault.clock.advance(SECOND * 152);
    let mut vault = vault.closed();
    for _ in 0..3 {
        assert_eq!(token(&layer).await.unwrap(), "hf_one");
        settle().await;
    }
    assert_eq!(vault.fetches(), 2);
    vault.open();
    settle().await;
    assert_eq!(token(&layer).await.unwrap(), "hf_two");
    vault = vault.closed();
    assert_eq!(token(&layer).await.unwrap(), "hf_two");
    assert_eq!(vault.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_times_of_refresh_are_random() {
    let mut due = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let vault = Vault::new([Reply::Expiring("hf_one", 1_000)]);
        let layer = vault.layer();
        token(&layer).await.unwrap();
        vault.clock.advance(SECOND * 749);
        for second in 749.. {
            token(&layer).await.unwrap();
            settle().await;
            if vault.fetches() == 2 {
                assert!((750..=901).contains(&second), "{second}");
                due.insert(second);
                break;
            }
            vault.clock.advance(SECOND);
        }
    }
    assert!(due.len() > 3, "{due:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_without_an_expiry_is_fetched_at_the_refresh_interval() {
    for (source, interval) in [(None, 60), (Some(SECOND * 300), 300)] {
        let vault = Vault::new([Reply::Token("hf_one"), Reply::Token("hf_two")]);
        let layer = layer_of(match source {
            None => vault.source(),
            Some(interval) => vault.source().refresh_interval(interval),
        });
        assert_eq!(token(&layer).await.unwrap(), "hf_one");
        vault.clock.advance(SECOND * interval / 10 * 9 - SECOND);
        assert_eq!(token(&layer).await.unwrap(), "hf_one");
        settle().await;
        assert_eq!(token(&layer).await.unwrap(), "hf_one");
        vault.clock.advance(SECOND * interval / 10 + SECOND);
        assert_eq!(token(&layer).await.unwrap(), "hf_one");
        settle().await;
        assert_eq!(token(&layer).await.unwrap(), "hf_two");
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_good_token_serves_within_the_grace_and_then_no_request_is_sent() {
    let failures =
        [Reply::Error("denied"), Reply::Slow, Reply::Panic, Reply::Token("hf_ not a token")];
    for failure in failures {
        let vault = Vault::new([Reply::Token("hf_one"), failure.clone()]);
        let layer = layer_of(vault.source().grace(SECOND * 600));
        token(&layer).await.unwrap();
        // Due after 54 to 60 seconds.
        for _ in 0..65 {
            vault.clock.advance(SECOND * 10);
            assert_eq!(token(&layer).await.unwrap(), "hf_one", "{failure:?}");
            end_of_fetch().await;
        }
        assert!(vault.fetches() > 10, "{failure:?}");
        vault.clock.advance(SECOND * 10);
        assert_unavailable(token(&layer).await);
        vault.set([Reply::Token("hf_two")]);
        vault.clock.advance(SECOND * 31);
        assert_eq!(token(&layer).await.unwrap(), "hf_two");
    }
}

#[tokio::test(start_paused = true)]
async fn the_grace_is_an_hour_by_default() {
    let vault = Vault::new([Reply::Token("hf_one"), Reply::Error("down")]);
    let layer = vault.layer();
    token(&layer).await.unwrap();
    vault.clock.advance(HOUR + SECOND * 53);
    assert_eq!(token(&layer).await.unwrap(), "hf_one");
    settle().await;
    vault.clock.advance(SECOND * 8);
    assert_unavailable(token(&layer).await);
}

#[tokio::test(start_paused = true)]
async fn a_token_never_serves_beyond_its_own_expiry() {
    let vault = Vault::new([Reply::Expiring("hf_one", 1_000), Reply::Error("down")]);
    let layer = vault.layer();
    token(&layer).await.unwrap();
    vault.clock.advance(SECOND * 999);
    assert_eq!(token(&layer).await.unwrap(), "hf_one");
    settle().await;
    vault.clock.advance(SECOND);
    assert_unavailable(token(&layer).await);
    // One that has expired on its way is no token.
    let vault = Vault::new([Reply::Expiring("hf_one", 0)]);
    assert_unavailable(token(&vault.layer()).await);
}

#[tokio::test(start_paused = true)]
async fn the_operator_reads_one_line_for_each_change_of_state() {
    let log = Log::default();
    let guard = tracing::dispatcher::set_default(&log.dispatch());
    let long = "x".repeat(1_000);
    let text = format!("denied:\nhf_one and {long}").leak();
    let vault = Vault::new([Reply::Token("hf_one"), Reply::Error(text), Reply::Slow]);
    let stage = tower_inference::hf::Stage::new("prod", ROUTER.parse().unwrap(), vault.source());
    let layer = HfTokenLayer::stage(stage);
    token(&layer).await.unwrap();
    assert_eq!(log.text(), "");
    for round in 1..=2 {
        for _ in 0..20 {
            vault.clock.advance(SECOND * 60);
            token(&layer).await.unwrap();
            end_of_fetch().await;
        }
        let text = log.text();
        assert_eq!(text.matches("WARN").count(), round, "{text}");
        assert!(text.contains("prod") && text.contains("router.huggingface.co"), "{text}");
        assert!(text.contains("last_token_serves=true"), "{text}");
        if round == 1 {
            // On one line, scrubbed and cut.
            assert!(text.contains(r"denied:\n[redacted] and xxx"), "{text}");
            assert!(!text.contains(&"x".repeat(200)), "{text}");
        }
        vault.set([Reply::Token("hf_two")]);
        vault.clock.advance(SECOND * 60);
        token(&layer).await.unwrap();
        settle().await;
        assert_eq!(token(&layer).await.unwrap(), "hf_two");
        assert_eq!(log.text().matches("INFO").count(), round, "{}", log.text());
        vault.set([Reply::Error("down again")]);
    }
    drop(guard);
    assert!(!log.text().contains("hf_one") && !log.text().contains("hf_two"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn blank_space_around_a_fetched_token_is_ignored() {
    let vault = Vault::new([Reply::Token(" hf_one\r\n")]);
    assert_eq!(token(&vault.layer()).await.unwrap(), "hf_one");
}

#[tokio::test(start_paused = true)]
async fn a_readiness_probe_starts_the_first_fetch() {
    let vault = Vault::new([Reply::Token("hf_one")]);
    let layer = vault.layer();
    assert!(!layer.is_ready());
    assert_eq!(layer.token_age(), None);
    settle().await;
    assert!(layer.is_ready());
    vault.clock.advance(SECOND * 7);
    assert_eq!(layer.token_age(), Some(SECOND * 7));
    assert_eq!(vault.fetches(), 1);
    assert_eq!(layer.scrubber().scrub("a hf_one b"), "a [redacted] b");
    assert!(super::layer().is_ready());
}

#[tokio::test(start_paused = true)]
async fn the_task_of_a_source_ends_with_it() {
    let vault = Vault::new([Reply::Token("hf_one")]).closed();
    let layer = vault.layer();
    assert!(!layer.is_ready());
    settle().await;
    // The vault, its copy in the function and the one in the running fetch.
    assert_eq!(Arc::strong_count(&vault.fetches), 3);
    drop(layer);
    settle().await;
    assert_eq!(Arc::strong_count(&vault.fetches), 1);
}

#[tokio::test(start_paused = true)]
async fn no_debug_output_contains_a_fetched_token() {
    let vault = Vault::new([Reply::Token("hf_one")]);
    let layer = vault.layer();
    token(&layer).await.unwrap();
    let fetched = FetchedToken::new(Secret::new("hf_one"));
    let printed = format!("{layer:?} {layer:#?} {fetched:?}");
    assert!(!printed.contains("hf_one"), "{printed}");
}

#[test]
fn a_source_moves_to_another_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let vault = Vault::new([Reply::Token("hf_one")]).closed();
    let layer = vault.layer();
    runtime().block_on(async {
        assert!(!layer.is_ready());
        settle().await;
    });
    // The first runtime is gone with its task, and its timer with it.
    vault.open();
    vault.clock.advance(SECOND * 5);
    runtime().block_on(async { assert_eq!(token(&layer).await.unwrap(), "hf_one") });
}

fn replies() -> impl Strategy<Value = Vec<Reply>> {
    let reply = prop_oneof![
        Just(Reply::Token("hf_plain")),
        (0_u64..200).prop_map(|seconds| Reply::Expiring("hf_expiring", seconds)),
        Just(Reply::Error("down")),
        Just(Reply::Slow),
        Just(Reply::Token("")),
        Just(Reply::Token("two words")),
    ];
    proptest::collection::vec(reply, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_request_is_sent_without_a_token(
        replies in replies(),
        steps in proptest::collection::vec(0_u64..120, 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let vault = Vault::new(replies);
            let layer = layer_of(vault.source().grace(SECOND * 100));
            for step in steps {
                vault.clock.advance(Duration::from_secs(step));
                match token(&layer).await {
                    Ok(token) => assert!(["hf_plain", "hf_expiring"].contains(&&*token)),
                    Err(response) => assert_unavailable(Err(response)),
                }
                settle().await;
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_panics_when_it_is_printed_is_a_failed_fetch() {
    #[derive(Debug)]
    struct Unprintable;

    impl std::fmt::Display for Unprintable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("expected by the test")
        }
    }

    impl std::error::Error for Unprintable {}

    let source = TokenSource::fetch(|| async { Err::<FetchedToken, _>(Unprintable) });
    let layer = layer_of(source);
    let rejected = token(&layer).await.unwrap_err();
    assert_eq!(rejected.status(), 503);
    assert_eq!(rejected.headers()["retry-after"], "1");
}

#[test]
fn a_source_outlives_the_runtime_in_which_its_fetch_began() {
    let vault = Vault::new([Reply::Token("hf_one")]).closed();
    let layer = vault.layer();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(async {
        let leaves = tokio::spawn({
            let layer = layer.clone();
            async move { token(&layer).await }
        });
        settle().await;
        assert_eq!(vault.fetches(), 1);
        leaves.abort();
    });
    runtime().block_on(async {
        // The fetch goes on, or another one takes its place.
        let waits = tokio::spawn({
            let layer = layer.clone();
            async move { token(&layer).await }
        });
        settle().await;
        vault.open();
        assert_eq!(waits.await.unwrap().unwrap(), "hf_one");
        // So does the task that fetches ahead.
        vault.set([Reply::Token("hf_two")]);
        vault.clock.advance(SECOND * 60);
        assert_eq!(token(&layer).await.unwrap(), "hf_one");
        settle().await;
        assert_eq!(token(&layer).await.unwrap(), "hf_two");
    });
}
