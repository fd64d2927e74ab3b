//! Tokens that the upstream rejects.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::{Arc, atomic::AtomicBool},
};

use tokio::sync::Notify;
use tower_inference::{context::AbandonReason, hf::FetchedToken, payload::Payload};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A vault with one token, and an upstream that accepts some tokens.
#[derive(Clone, Default)]
struct World {
    token: Arc<Mutex<String>>,
    accepted: Arc<Mutex<BTreeSet<String>>>,
    fetches: Arc<AtomicUsize>,
    /// The tokens that reached the upstream, with their bodies.
    received: Arc<Mutex<Vec<(String, String)>>>,
    clock: FakeClock,
    // A closed vault makes its callers wait.
    is_closed: Arc<AtomicBool>,
    opened: Arc<Notify>,
}

impl World {
    /// The vault has `token`, and the upstream accepts it.
    fn new(token: &str) -> Self {
        let world = Self::default();
        world.rotate(token);
        world
    }

    /// The vault and the upstream change their token.
    fn rotate(&self, token: &str) {
        *self.token.lock().unwrap() = token.to_owned();
        self.accept(&[token]);
    }

    fn accept(&self, tokens: &[&str]) {
        *self.accepted.lock().unwrap() = tokens.iter().map(|token| (*token).to_owned()).collect();
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Relaxed)
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().iter().map(|(token, _)| token.clone()).collect()
    }

    fn close(&self) {
        self.is_closed.store(true, Relaxed);
    }

    fn open(&self) {
        self.is_closed.store(false, Relaxed);
        self.opened.notify_waiters();
    }

    fn layer(&self) -> HfTokenLayer {
        let world = self.clone();
        let source = TokenSource::fetch(move || {
            let world = world.clone();
            async move {
                world.fetches.fetch_add(1, Relaxed);
                let token = world.token.lock().unwrap().clone();
                while world.is_closed.load(Relaxed) {
                    world.opened.notified().await;
                }
                match &*token {
                    "" => Err("no token"),
                    "slow" => pending().await,
                    token => Ok(FetchedToken::new(Secret::new(token))
                        .expires_in(Duration::from_secs(3_600))),
                }
            }
        });
        HfTokenLayer::new(ROUTER.parse().unwrap(), source.clock(self.clock.shared()))
    }

    async fn send_to<B>(&self, layer: &HfTokenLayer, body: B) -> (StatusCode, RequestContext)
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Debug,
    {
        let world = self.clone();
        let client = service_fn(move |request: Request<B>| {
            let world = world.clone();
            async move {
                let (head, body) = request.into_parts();
                assert_eq!(head.uri, "https://router.huggingface.co/v1/chat/completions?a=b");
                assert_eq!(head.headers["host"], "router.huggingface.co");
                assert_eq!(head.headers["x-kept"], "yes");
                assert!(RequestContext::of(&head.extensions).is_some());
                let token = head.headers["authorization"].to_str().unwrap().replace("Bearer ", "");
                let body = body.collect().await.unwrap().to_bytes();
                let body = String::from_utf8(body.to_vec()).unwrap();
                world.received.lock().unwrap().push((token.clone(), body));
                let accepted = world.accepted.lock().unwrap().contains(&token);
                // Lets concurrent requests be rejected too before the first one reacts.
                tokio::task::yield_now().await;
                let status = if accepted { 200 } else { 401 };
                let response = Response::builder().status(status);
                Ok::<_, Infallible>(response.body(Full::from("from the upstream")).unwrap())
            }
        });
        let context = RequestContext::new();
        let mut request = Request::post("/v1/chat/completions?a=b")
            .header("x-kept", "yes")
            .header("authorization", "Bearer the-callers")
            .body(body)
            .unwrap();
        request.extensions_mut().insert(context.clone());
        let stack = ServiceBuilder::new().layer(UpstreamLayer::new()).layer(layer.clone());
        let response = stack.service(client).oneshot(request).await.unwrap();
        (response.status(), context)
    }

    async fn send(&self, layer: &HfTokenLayer) -> StatusCode {
        self.send_to(layer, Full::from("prompt")).await.0
    }
}

/// Lets the task of the source run.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_token_is_replaced_and_the_request_sent_once_more() {
    let world = World::new("hf_one");
    let layer = world.layer();
    assert_eq!(world.send(&layer).await, 200);
    world.rotate("hf_two");
    let (status, context) = world.send_to(&layer, Payload::buffered("prompt")).await;
    assert_eq!(status, 200);
    let outcome = context.outcome();
    assert_eq!(outcome.attempts, 2);
    let [first] = &outcome.abandoned[..] else { panic!("{:?}", outcome.abandoned) };
    assert_eq!(first.abandoned, Some(AbandonReason::TokenRejected));
    assert_eq!(first.target.as_deref(), Some("default"));
    assert_eq!(first.status, Some(StatusCode::UNAUTHORIZED));
    assert_eq!((first.usage, outcome.upstream_status), (None, Some(StatusCode::OK)));
    assert_eq!(world.received(), ["hf_one", "hf_one", "hf_two"]);
    assert!(world.received.lock().unwrap().iter().all(|(_, body)| body == "prompt"));
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_with_a_rejected_token_share_one_fetch() {
    let world = World::new("hf_one");
    let layer = world.layer();
    world.send(&layer).await;
    world.rotate("hf_two");
    world.close();
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let (world, layer) = (world.clone(), layer.clone());
            tokio::spawn(async move { world.send(&layer).await })
        })
        .collect();
    settle().await;
    assert_eq!(world.received().len(), 21);
    assert_eq!(world.fetches(), 2);
    world.open();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(world.fetches(), 2);
    assert_eq!(world.received().len(), 41);
}

#[tokio::test(start_paused = true)]
async fn a_late_rejection_of_an_older_token_is_sent_again_without_a_fetch() {
    let world = World::new("hf_one");
    let layer = world.layer();
    world.send(&layer).await;
    let (release, held) = tokio::sync::oneshot::channel::<()>();
    let late = {
        let layer = layer.clone();
        let held = Arc::new(Mutex::new(Some(held)));
        let client = service_fn(move |request: Request<Full<Bytes>>| {
            let held = held.lock().unwrap().take();
            async move {
                let status = match held {
                    None => 200,
                    Some(held) => {
                        held.await.unwrap();
                        401
                    }
                };
                let token = request.headers()["authorization"].clone();
                let response = Response::builder().status(status).header("x-length", token.len());
                Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
            }
        });
        let request = Request::post("/").body(Full::from("late")).unwrap();
        tokio::spawn(layer.layer(client).oneshot(request))
    };
    settle().await;
    world.rotate("hf_second");
    assert_eq!(world.send(&layer).await, 200);
    assert_eq!(world.fetches(), 2);
    release.send(()).unwrap();
    let response = late.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-length"], "Bearer hf_second".len().to_string());
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_token_is_a_502_and_fetched_again_only_after_thirty_seconds() {
    let world = World::new("hf_one");
    let layer = world.layer();
    world.send(&layer).await;
    world.accept(&[]);
    let (status, context) = world.send_to(&layer, Full::from("prompt")).await;
    assert_eq!(status, 502);
    let outcome = context.outcome();
    assert_eq!((outcome.attempts, outcome.abandoned.len()), (1, 0));
    assert_eq!(outcome.upstream_status, Some(StatusCode::UNAUTHORIZED));
    assert_eq!(outcome.rejection, Some("upstream-unavailable"));
    assert_eq!(world.fetches(), 2);
    for _ in 0..29 {
        world.clock.advance(SECOND);
        assert_eq!(world.send(&layer).await, 502);
    }
    assert_eq!((world.fetches(), world.received().len()), (2, 31));
    world.clock.advance(SECOND);
    assert_eq!(world.send(&layer).await, 502);
    assert_eq!(world.fetches(), 3);
    // The cool-down is of one token. The next one is not affected.
    world.clock.advance(SECOND * 30);
    world.rotate("hf_two");
    assert_eq!(world.send(&layer).await, 200);
    world.rotate("hf_three");
    assert_eq!(world.send(&layer).await, 200);
    assert_eq!(world.fetches(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_is_a_502_and_repeated_after_the_delay_of_failures() {
    for failure in ["", "slow"] {
        let world = World::new("hf_one");
        let layer = world.layer();
        world.send(&layer).await;
        world.accept(&[]);
        *world.token.lock().unwrap() = failure.to_owned();
        for _ in 0..5 {
            assert_eq!(world.send(&layer).await, 502);
            settle().await;
        }
        assert_eq!(world.fetches(), 2, "{failure:?}");
        world.rotate("hf_two");
        world.clock.advance(SECOND);
        assert_eq!(world.send(&layer).await, 200);
        assert_eq!(world.fetches(), 3, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_sent_at_most_twice() {
    let world = World::new("hf_one");
    let layer = world.layer();
    world.send(&layer).await;
    world.rotate("hf_two");
    world.accept(&[]);
    let (status, context) = world.send_to(&layer, Full::from("prompt")).await;
    assert_eq!(status, 502);
    assert_eq!((context.outcome().attempts, context.outcome().abandoned.len()), (2, 1));
    assert_eq!(world.received(), ["hf_one", "hf_one", "hf_two"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_replayed_is_a_502_and_still_refreshes_the_token() {
    let world = World::new("hf_one");
    let layer = world.layer();
    world.send(&layer).await;
    world.rotate("hf_two");
    let streamed = Payload::streamed(Full::from("prompt"));
    let (status, context) = world.send_to(&layer, streamed).await;
    assert_eq!(status, 502);
    assert_eq!(context.outcome().attempts, 1);
    settle().await;
    assert_eq!(world.fetches(), 2);
    let streamed = Payload::streamed(Full::from("prompt"));
    assert_eq!(world.send_to(&layer, streamed).await.0, 200);
    assert_eq!(world.received(), ["hf_one", "hf_one", "hf_two"]);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_began_before_the_rotation_is_followed_by_another_one() {
    let world = World::new("hf_one");
    let layer = world.layer();
    world.send(&layer).await;
    // A refresh ahead of the expiry has read the old token and is slow.
    world.clock.advance(SECOND * 3_300);
    world.close();
    world.send(&layer).await;
    settle().await;
    assert_eq!(world.fetches(), 2);
    world.rotate("hf_two");
    let waits = tokio::spawn({
        let (world, layer) = (world.clone(), layer.clone());
        async move { world.send(&layer).await }
    });
    settle().await;
    world.open();
    assert_eq!(waits.await.unwrap(), 200);
    assert_eq!(world.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_refresh_ends_with_its_caller_and_the_fetch_goes_on() {
    let world = World::new("hf_one");
    let layer = world.layer();
    world.send(&layer).await;
    world.rotate("hf_two");
    world.close();
    let leaves = tokio::spawn({
        let (world, layer) = (world.clone(), layer.clone());
        async move { world.send(&layer).await }
    });
    settle().await;
    leaves.abort();
    assert!(leaves.await.unwrap_err().is_cancelled());
    world.open();
    settle().await;
    assert_eq!(world.send(&layer).await, 200);
    assert_eq!(world.received(), ["hf_one", "hf_one", "hf_two"]);
    assert_eq!(world.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn new_tokens_that_are_rejected_too_are_not_replaced_in_turn() {
    for is_replayed in [true, false] {
        let world = World::new("hf_");
        // An exchange makes another token each time.
        let numbered = |world: &World| {
            let (clock, world) = (world.clock.shared(), world.clone());
            let source = TokenSource::fetch(move || {
                let number = world.fetches.fetch_add(1, Relaxed);
                async move {
                    let token = FetchedToken::new(Secret::new(format!("hf_{number}")));
                    Ok::<_, Infallible>(token.expires_in(Duration::from_secs(3_600)))
                }
            });
            HfTokenLayer::new(ROUTER.parse().unwrap(), source.clock(clock))
        };
        let layer = numbered(&world);
        let send = async |seconds: u32| {
            for _ in 0..seconds {
                let body = Full::from("prompt");
                let body =
                    if is_replayed { Payload::buffered("prompt") } else { Payload::streamed(body) };
                assert_eq!(world.send_to(&layer, body).await.0, 502);
                settle().await;
                world.clock.advance(SECOND);
            }
        };
        send(30).await;
        assert_eq!(world.fetches(), 2, "{is_replayed}");
        send(2).await;
        assert_eq!(world.fetches(), 3, "{is_replayed}");
        // The cool-down is over for a token that the upstream has accepted.
        world.accept(&["hf_2"]);
        assert_eq!(world.send(&layer).await, 200);
        world.accept(&["hf_3"]);
        assert_eq!(world.send(&layer).await, 200);
        assert_eq!(world.fetches(), 4, "{is_replayed}");
    }
}

#[tokio::test]
async fn a_fixed_token_is_sent_once() {
    let world = World::default();
    let (status, context) = world.send_to(&layer(), Full::from("prompt")).await;
    assert_eq!(status, 502);
    assert_eq!((context.outcome().attempts, context.outcome().abandoned.len()), (1, 0));
    assert_eq!(world.received(), [TOKEN]);
}

#[tokio::test]
async fn a_407_is_not_repeated() {
    let world = World::new("hf_one");
    let count = Arc::new(AtomicUsize::new(0));
    let client = service_fn({
        let count = Arc::clone(&count);
        move |_: Request<Full<Bytes>>| {
            count.fetch_add(1, Relaxed);
            let response = Response::builder().status(407).body(Full::<Bytes>::default()).unwrap();
            ready(Ok::<_, Infallible>(response))
        }
    });
    let response =
        world.layer().layer(client).oneshot(Request::new(Full::default())).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert_eq!((count.load(Relaxed), world.fetches()), (1, 1));
}

#[tokio::test]
async fn a_file_is_read_at_once_when_its_token_is_rejected() {
    let folder = Folder::new();
    fs::write(folder.file("token"), "hf_one").unwrap();
    let filed = Filed::new(folder.file("token"));
    let world = World::new("hf_one");
    assert_eq!(world.send(&filed.layer).await, 200);
    fs::write(folder.file("token"), "hf_two").unwrap();
    world.accept(&["hf_two"]);
    // No second has passed.
    assert_eq!(world.send(&filed.layer).await, 200);
    assert_eq!(world.received(), ["hf_one", "hf_one", "hf_two"]);

    // Unchanged: a cool-down without reads.
    world.accept(&[]);
    assert_eq!(world.send(&filed.layer).await, 502);
    fs::write(folder.file("token"), "hf_three").unwrap();
    world.accept(&["hf_three"]);
    assert_eq!(world.send(&filed.layer).await, 502);
    // The usual look at the file ends it.
    filed.clock.advance(SECOND);
    assert_eq!(world.send(&filed.layer).await, 200);
    assert_eq!(world.received().len(), 6);
}

#[tokio::test]
async fn the_second_attempt_waits_until_the_client_is_ready() {
    let world = World::new("hf_one");
    let layer = world.layer();
    world.send(&layer).await;
    world.rotate("hf_second");
    // It panics when an instance is called that was not made ready.
    let client = Probe::new(|request: Request<Full<Bytes>>| {
        let token = request.headers()["authorization"].to_str().unwrap();
        let status = if token == "Bearer hf_second" { 200 } else { 401 };
        Response::builder().status(status).body(ScriptedBody::default()).unwrap()
    });
    let request = Request::post("/").body(Full::from("prompt")).unwrap();
    assert_eq!(layer.layer(client.clone()).oneshot(request).await.unwrap().status(), 200);

    // Nor is the first attempt called before, after a wait for the first token.
    let layer = world.layer();
    let request = Request::post("/").body(Full::from("prompt")).unwrap();
    assert_eq!(layer.layer(client).oneshot(request).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn no_request_fails_while_the_token_rotates() {
    let world = World::new("hf_0");
    let layer = world.layer();
    let mut requests = Vec::new();
    for rotation in 1..=20 {
        for _ in 0..25 {
            let (world, layer) = (world.clone(), layer.clone());
            requests.push(tokio::spawn(async move { world.send(&layer).await }));
            tokio::task::yield_now().await;
        }
        world.clock.advance(SECOND);
        world.rotate(&format!("hf_{rotation}"));
    }
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert!(world.fetches() <= 21, "{}", world.fetches());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_fails_on_several_threads_while_the_token_rotates() {
    let world = World::new("hf_0");
    let layer = world.layer();
    let mut rotations = 0;
    for _ in 0..50 {
        let requests: Vec<_> = (0..8)
            .map(|_| {
                let (world, layer) = (world.clone(), layer.clone());
                tokio::spawn(async move { world.send(&layer).await })
            })
            .collect();
        rotations += 1;
        // As real services do, the upstream takes both for as long as a request needs.
        let (old, new) = (format!("hf_{}", rotations - 1), format!("hf_{rotations}"));
        world.accept(&[&old, &new]);
        *world.token.lock().unwrap() = new;
        for request in requests {
            assert_eq!(request.await.unwrap(), 200);
        }
    }
    // One for each rotation that a request saw, and one that was too early for it.
    assert!(world.fetches() <= 2 * rotations + 1, "{}", world.fetches());
}
