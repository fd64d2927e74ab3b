//! Shared calls in flight.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, task::Waker};

use tokio::sync::{Semaphore, mpsc};
use tower_inference::{
    cache::Freshness,
    memory_limit::MemoryLimit,
    rejection::{Refusal, Rejection, RejectionFormat},
};

use super::*;

/// Polls a future once, without a runtime's budget.
fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A call that is not polled yet.
fn begin(
    layer: &CacheLayer,
    upstream: &Upstream,
    request: Request<Payload>,
) -> Pin<Box<impl Future<Output = Result<CacheResponse, Fault>> + use<>>> {
    let mut service = layer.layer(upstream.clone());
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    Box::pin(service.call(request))
}

/// An upstream that responds with the number of the call once it has a permit.
fn gated() -> (Upstream, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(json(&completion(number)))
        })
    });
    (upstream, gate)
}

/// The only choice of a completion, and its end.
const CHUNK: &str = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n";

/// An upstream whose only body comes through a channel.
fn channelled() -> (Upstream, mpsc::UnboundedSender<Step>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let upstream = Upstream::new(move |_, _| {
        let receiver = receiver.lock().unwrap().take().expect("one call");
        events([]).map(|_| ScriptedBody::live(receiver))
    });
    (upstream, sender)
}

#[tokio::test]
async fn concurrent_requests_share_one_call() {
    let (layer, _) = layer(Scope::Identity);
    let (upstream, gate) = gated();
    let contexts: Vec<_> = (0..3)
        .map(|_| plain())
        .map(|request| (context(&request), begin(&layer, &upstream, request)))
        .collect();
    gate.add_permits(9);
    let mut outcomes = Vec::new();
    for (context, call) in contexts {
        let response = call.await.unwrap();
        let status = response.headers()["cache-status"].to_str().unwrap().to_owned();
        assert_eq!(text(response).await, completion(0));
        outcomes.push((context.outcome().cache.unwrap().as_str(), status));
    }
    let body_of = |status: &str| format!("tower-inference; fwd=miss{status}");
    assert_eq!(
        outcomes,
        [
            ("miss", body_of("")),
            // The followers get their heads after the response was stored.
            ("collapsed", body_of("; stored; collapsed")),
            ("collapsed", body_of("; stored; collapsed")),
        ]
    );
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_late_follower_reads_a_stream_from_its_start() {
    let (layer, _) = layer(Scope::Identity);
    let (upstream, sender) = channelled();
    let mut first = send(&layer, &upstream, streamed()).await.into_body();
    sender.send(Step::Data(CHUNK.as_bytes())).unwrap();
    assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), CHUNK);
    // The upstream is still sending.
    let second = send(&layer, &upstream, streamed()).await;
    sender.send(Step::Data(b"data: [DONE]\n\n")).unwrap();
    drop(sender);
    assert_eq!(read(second).await.0, [CHUNK, "data: [DONE]\n\n"]);
    assert_eq!(first.collect().await.unwrap().to_bytes(), "data: [DONE]\n\n");
    // The stored stream is replayed.
    let third = send(&layer, &upstream, streamed()).await;
    assert_eq!(read(third).await.0, [CHUNK, "data: [DONE]\n\n"]);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn variants_do_not_share_a_call() {
    let (layer, _) = layer(Scope::Identity);
    let (upstream, gate) = gated();
    let mut calls = [plain(), streamed()].map(|request| begin(&layer, &upstream, request));
    for call in &mut calls {
        assert!(poll(call).is_pending());
    }
    assert_eq!(upstream.calls(), 2);
    gate.add_permits(2);
}

#[tokio::test]
async fn followers_outlive_the_leader() {
    // The leader leaves before the head, and after each chunk.
    for leaves_at in 0..6 {
        let (layer, _) = layer(Scope::Identity);
        let (upstream, sender) = channelled();
        let mut first = begin(&layer, &upstream, streamed());
        let second = begin(&layer, &upstream, streamed());
        let third = begin(&layer, &upstream, streamed());
        let chunks: [&'static [u8]; 4] =
            [CHUNK.as_bytes(), b"data: {}\n", b"\n", b"data: [DONE]\n\n"];
        if leaves_at == 0 {
            drop(first);
        } else {
            let Poll::Ready(response) = poll(&mut first) else { panic!("the head is there") };
            let mut body = response.unwrap().into_body();
            for chunk in &chunks[..leaves_at - 1] {
                sender.send(Step::Data(chunk)).unwrap();
                body.frame().await.unwrap().unwrap();
            }
        }
        for chunk in &chunks[leaves_at.saturating_sub(1)..] {
            sender.send(Step::Data(chunk)).unwrap();
        }
        drop(sender);
        let whole = || chunks.map(Bytes::from_static).to_vec();
        assert_eq!(read(second.await.unwrap()).await.0, whole(), "{leaves_at}");
        assert_eq!(read(third.await.unwrap()).await.0, whole(), "{leaves_at}");
        // The response was stored nevertheless.
        assert_eq!(read(send(&layer, &upstream, streamed()).await).await.0, whole());
        assert_eq!(upstream.calls(), 1);
    }
}

#[tokio::test]
async fn the_last_reader_cancels_the_call() {
    let (layer, _) = layer(Scope::Identity);
    let (upstream, sender) = channelled();
    let mut first = begin(&layer, &upstream, streamed());
    let mut second = begin(&layer, &upstream, streamed());
    let Poll::Ready(response) = poll(&mut first) else { panic!("the head is there") };
    assert!(poll(&mut second).is_ready());
    drop((first, second));
    assert!(!sender.is_closed());
    drop(response);
    assert!(sender.is_closed());
    assert_eq!(layer.entries(), 0);
}

#[tokio::test]
async fn rejections_are_not_shared() {
    // An inner layer rejects each of the first two calls.
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, request| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            if number < 2 {
                let responder = RejectionFormat::Problem.for_request(&request);
                let rejection = Rejection::new(Refusal::Throttled);
                let response = responder.respond::<()>(rejection, &context(&request));
                return Ok(response.map(|_| ScriptedBody::new([Step::Data(b"refused")])));
            }
            Ok(json(&completion(number)))
        })
    });
    let (layer, _) = layer(Scope::Identity);
    let requests: Vec<_> = (0..6).map(|_| plain()).collect();
    let contexts: Vec<_> = requests.iter().map(context).collect();
    let calls: Vec<_> =
        requests.into_iter().map(|request| begin(&layer, &upstream, request)).collect();
    gate.add_permits(100);
    let tasks: Vec<_> = calls.into_iter().map(tokio::spawn).collect();
    let mut statuses = Vec::new();
    for (task, context) in tasks.into_iter().zip(contexts) {
        let response = task.await.unwrap().unwrap();
        let refused = response.extensions().get::<Rejection>().is_some();
        assert_eq!(refused, response.status() == StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused, context.outcome().rejection.is_some());
        statuses.push(response.status().as_u16());
        assert_eq!(text(response).await.starts_with("refused"), refused);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
}

#[tokio::test]
async fn errors_are_not_shared() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            if number == 0 { Err(Fault) } else { Ok(json(&completion(number))) }
        })
    });
    let (layer, _) = layer(Scope::Identity);
    let [first, second, third] = [(); 3].map(|()| begin(&layer, &upstream, plain()));
    gate.add_permits(9);
    assert_eq!(first.await.err(), Some(Fault));
    // The second request begins its own call, which the third one shares.
    let (second, third) = tokio::join!(second, third);
    assert_eq!(text(second.unwrap()).await, completion(1));
    assert_eq!(text(third.unwrap()).await, completion(1));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn a_panic_unwinds_in_the_leader() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            assert!(number > 0, "a fault of the client");
            Ok(json(&completion(number)))
        })
    });
    let (layer, _) = layer(Scope::Identity);
    let [first, mut second] = [(); 2].map(|()| begin(&layer, &upstream, plain()));
    gate.add_permits(9);
    // The follower polls the future that panics.
    let second_told = loop {
        if let Poll::Ready(body_of) = poll(&mut second) {
            break body_of;
        }
    };
    assert_eq!(text(second_told.unwrap()).await, completion(1));
    let first = tokio::spawn(first).await;
    assert!(first.unwrap_err().is_panic());
}

#[tokio::test]
async fn a_panic_in_call_leaves_no_flight() {
    #[derive(Clone)]
    struct Panics;
    impl Service<Request<Payload>> for Panics {
        type Response = Response<ScriptedBody>;
        type Error = Fault;
        type Future = UpstreamFuture;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Payload>) -> UpstreamFuture {
            panic!("before there is a future")
        }
    }
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.shared_calls(SharedCalls::new().max_in_flight(1));
    let mut panicking = layer.layer(Panics);
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| panicking.call(plain())));
    assert!(panicked.is_err());
    // The bound of one shared call is still free.
    let upstream = Upstream::numbers();
    for _ in 0..2 {
        assert_eq!(body_of(&layer, &upstream, streamed()).await, completion(0));
    }
}

#[tokio::test]
async fn readers_and_shared_calls_are_bounded() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.shared_calls(SharedCalls::new().max_in_flight(1));
    let (upstream, gate) = gated();
    let mut calls: Vec<_> = (0..4_098).map(|_| begin(&layer, &upstream, plain())).collect();
    for call in &mut calls {
        assert!(poll(call).is_pending());
    }
    // The last request is one reader beyond the bound.
    assert_eq!(upstream.calls(), 2);
    let other = post(Some(user("a")), CHAT, r#"{"temperature":0}"#);
    let mut others = [other, post(Some(user("a")), CHAT, r#"{"temperature":0}"#)]
        .map(|request| begin(&layer, &upstream, request));
    for call in &mut others {
        assert!(poll(call).is_pending());
    }
    // The second shared call is one beyond the bound, so both requests call the upstream.
    assert_eq!(upstream.calls(), 4);
    gate.add_permits(9);
    for call in calls.into_iter().chain(others) {
        let response = call.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        text(response).await;
    }
    // Only the shared call has stored its response.
    assert_eq!(layer.entries(), 1);
}

#[tokio::test]
async fn uncacheable_requests_share_calls_only_with_share_all() {
    let sampled = || post(Some(user("a")), CHAT, r#"{"temperature":1}"#);
    for (all, expected) in [(false, 2), (true, 1)] {
        let (layer, _) = layer(Scope::Identity);
        let layer = if all { layer.shared_calls(SharedCalls::new().share_all()) } else { layer };
        let (upstream, gate) = gated();
        let calls = [(); 2].map(|()| begin(&layer, &upstream, sampled()));
        gate.add_permits(9);
        for call in calls {
            text(call.await.unwrap()).await;
        }
        assert_eq!((upstream.calls(), layer.entries()), (expected, 0));
    }
}

#[tokio::test]
async fn upstream_errors_are_shared() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, _| {
        let mut response = json(r#"{"error":"no"}"#);
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    });
    let calls = [(); 3].map(|()| begin(&layer, &upstream, plain()));
    for call in calls {
        assert_eq!(call.await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!((upstream.calls(), layer.entries()), (1, 0));
}

/// Two requests of one caller may share a private response.
#[tokio::test]
async fn private_responses_are_not_shared_between_callers() {
    for (name, value) in [
        ("cache-control", "private"),
        ("cache-control", "no-store"),
        ("cache-control", "no-cache"),
        ("set-cookie", "a=b"),
        ("vary", "*"),
        ("vary", "authorization"),
    ] {
        for (scope, expected) in [(Scope::Tenant, 4), (Scope::Identity, 2)] {
            let (layer, _) = layer(scope);
            let upstream = Upstream::new(move |number, _| {
                let mut response = json(&completion(number));
                response.headers_mut().insert(name, value.parse().unwrap());
                response
            });
            let of = |subject| post(Some(user(subject)), CHAT, r#"{"temperature":0}"#);
            let calls = ["a", "b", "a", "b"].map(|subject| begin(&layer, &upstream, of(subject)));
            let mut body_of = Vec::new();
            for call in calls {
                body_of.push(text(call.await.unwrap()).await);
            }
            body_of.sort_unstable();
            body_of.dedup();
            assert_eq!((body_of.len(), upstream.calls()), (expected, expected), "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn a_failed_body_fails_for_all_readers() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, _| events([Step::Data(b"data: 1\n\n"), Step::Error]));
    let calls = [(); 2].map(|()| begin(&layer, &upstream, streamed()));
    for call in calls {
        let mut body = call.await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }
    assert_eq!((upstream.calls(), layer.entries()), (1, 0));
}

/// Stores nothing, and lets the fastest reader be 200 bytes ahead of the slowest.
fn narrow(layer: CacheLayer) -> CacheLayer {
    layer
        .memory(MemoryTier::new().max_entry_bytes(100))
        .shared_calls(SharedCalls::new().max_gap_bytes(200))
}

/// The fastest reader waits for the slowest one, up to the timeout.
#[tokio::test(start_paused = true)]
async fn a_stalled_reader_is_cut() {
    let (layer, _) = layer(Scope::Identity);
    let layer = narrow(layer);
    let upstream =
        Upstream::new(|_, _| events((0..50).map(|_| Step::Bytes(Bytes::from(vec![b'x'; 50])))));
    let fast = begin(&layer, &upstream, streamed());
    let stalled = begin(&layer, &upstream, streamed());
    let (fast, stalled) = (fast.await.unwrap(), stalled.await.unwrap());
    let started = tokio::time::Instant::now();
    assert_eq!(text(fast).await.len(), 2_500);
    // A quarter of the timeout has passed.
    assert_eq!(started.elapsed(), Duration::from_millis(1_250));
    let error = stalled.into_body().collect().await.unwrap_err();
    assert!(error.to_string().contains("too slow"), "{error}");
    // The response was too large to be stored.
    assert_eq!(layer.entries(), 0);
}

/// The readers stall at different positions.
#[tokio::test(start_paused = true)]
async fn stalled_readers_share_one_timeout() {
    let (layer, _) = layer(Scope::Identity);
    let layer = narrow(layer);
    let upstream =
        Upstream::new(|_, _| events((0..500).map(|_| Step::Bytes(Bytes::from(vec![b'x'; 50])))));
    let fast = begin(&layer, &upstream, streamed());
    let stalling = [0, 10, 20, 40, 80, 160].map(|after| {
        let call = begin(&layer, &upstream, streamed());
        tokio::spawn(async move {
            let mut body = call.await.unwrap().into_body();
            for _ in 0..after {
                body.frame().await.unwrap().unwrap();
            }
            body
        })
    });
    let honest = tokio::spawn(body_when_ready(begin(&layer, &upstream, streamed())));
    let fast = fast.await.unwrap();
    let started = tokio::time::Instant::now();
    assert_eq!(text(fast).await.len(), 25_000);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // The other reader was delayed by no more than that.
    assert_eq!(honest.await.unwrap().len(), 25_000);
    assert!(started.elapsed() < Duration::from_secs(5));
    for stalled in stalling {
        let error = stalled.await.unwrap().collect().await.unwrap_err();
        assert!(error.to_string().contains("too slow"), "{error}");
    }
    assert_eq!(upstream.calls(), 1);
}

async fn body_when_ready(call: impl Future<Output = Result<CacheResponse, Fault>>) -> String {
    text(call.await.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_follower_without_a_head_calls_the_upstream_when_it_is_cut() {
    let (layer, _) = layer(Scope::Identity);
    let layer = narrow(layer);
    let upstream =
        Upstream::new(|_, _| events((0..50).map(|_| Step::Bytes(Bytes::from(vec![b'x'; 50])))));
    let fast = begin(&layer, &upstream, streamed());
    let unpolled = begin(&layer, &upstream, streamed());
    assert_eq!(body_when_ready(fast).await.len(), 2_500);
    assert_eq!(upstream.calls(), 1);
    assert_eq!(body_when_ready(unpolled).await.len(), 2_500);
    assert_eq!(upstream.calls(), 2);
}

/// A cut reader may never be polled again.
#[tokio::test(start_paused = true)]
async fn a_cut_reader_does_not_keep_the_call() {
    let (layer, _) = layer(Scope::Identity);
    let layer = narrow(layer);
    let (upstream, sender) = channelled();
    let fast = begin(&layer, &upstream, streamed());
    let stalled = begin(&layer, &upstream, streamed());
    let (mut fast, stalled) = (fast.await.unwrap().into_body(), stalled.await.unwrap());
    for _ in 0..50 {
        sender.send(Step::Bytes(Bytes::from(vec![b'x'; 50]))).unwrap();
    }
    for _ in 0..50 {
        fast.frame().await.unwrap().unwrap();
    }
    assert!(!sender.is_closed());
    drop(fast);
    assert!(sender.is_closed());
    drop(stalled);
}

#[tokio::test]
async fn calls_beyond_the_memory_limit_are_not_shared() {
    let (layer, _) = layer(Scope::Identity);
    let memory = MemoryLimit::new(20 << 10);
    let layer = layer.shared_calls(SharedCalls::new().memory_limit(memory.clone()));
    let (upstream, gate) = gated();
    let request = |number: usize| {
        post(Some(user("a")), CHAT, &format!(r#"{{"temperature":0,"seed":{number}}}"#))
    };
    // There are two requests of each kind, and memory for two shared calls.
    let mut calls: Vec<_> =
        (0..8).map(|number| begin(&layer, &upstream, request(number / 2))).collect();
    for call in &mut calls {
        assert!(poll(call).is_pending());
    }
    assert_eq!(upstream.calls(), 2 + 4);
    assert_eq!(memory.taken_bytes(), 16 << 10);
    gate.add_permits(9);
    for call in calls {
        assert!(body_when_ready(call).await.starts_with("{\"choices\":"));
        assert!(memory.taken_bytes() <= memory.max_bytes());
    }
    assert_eq!((layer.entries(), memory.taken_bytes()), (2, 0));
    // Memory is available again.
    body_of(&layer, &upstream, request(3)).await;
    assert_eq!(layer.entries(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_reaches_the_memory_limit_continues() {
    let (layer, _) = layer(Scope::Identity);
    let memory = MemoryLimit::new(64 << 10);
    let layer = layer.shared_calls(SharedCalls::new().memory_limit(memory.clone()));
    let sent = || (0..400).map(|_| Step::Bytes(Bytes::from(vec![b'x'; 200])));
    let upstream = Upstream::new(move |_, _| events(sent().chain([Step::Data(DONE)])));
    let readers = [(); 3].map(|()| begin(&layer, &upstream, streamed()));
    let readers = readers.map(|reader| tokio::spawn(body_when_ready(reader)));
    let stalled = begin(&layer, &upstream, streamed()).await.unwrap();
    for reader in readers {
        assert_eq!(reader.await.unwrap().len(), 400 * 200 + DONE.len());
        assert!(memory.taken_bytes() <= memory.max_bytes());
    }
    let error = stalled.into_body().collect().await.unwrap_err();
    assert!(error.to_string().contains("too slow"), "{error}");
    assert_eq!((upstream.calls(), layer.entries(), memory.taken_bytes()), (1, 0, 0));
    // A single reader continues as well.
    let mut body = send(&layer, &upstream, streamed()).await.into_body();
    for _ in 0..401 {
        body.frame().await.unwrap().unwrap();
        assert!(memory.taken_bytes() <= memory.max_bytes());
    }
    drop(body);
    assert_eq!((upstream.calls(), layer.entries(), memory.taken_bytes()), (2, 0, 0));
}

const DONE: &[u8] = b"\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn a_large_response_admits_no_more_readers() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.memory(MemoryTier::new().max_entry_bytes(100));
    let (upstream, sender) = channelled();
    let mut first = send(&layer, &upstream, streamed()).await.into_body();
    for _ in 0..5 {
        sender.send(Step::Data(&[b'x'; 50])).unwrap();
        first.frame().await.unwrap().unwrap();
    }
    let other = Upstream::numbers();
    assert_eq!(body_of(&layer, &other, streamed()).await, completion(0));
}

#[tokio::test]
async fn each_reader_has_its_own_context() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, request| {
        let context = context(&request);
        assert_eq!(context.identity().unwrap().subject(), "a");
        context.add_attempt();
        context.set_upstream("https://router.example".into());
        let mut outcome = context.outcome();
        outcome.upstream_status = Some(StatusCode::OK);
        context.set_outcome(outcome);
        json(&completion(0))
    });
    let requests = [plain(), plain()];
    let contexts = requests.each_ref().map(context);
    let calls = requests.map(|request| begin(&layer, &upstream, request));
    for call in calls {
        text(call.await.unwrap()).await;
    }
    let [first, second] = contexts;
    assert_eq!((first.outcome().attempts, first.upstream()), (1, Some("https://router.example")));
    assert_eq!(first.outcome().upstream_status, Some(StatusCode::OK));
    assert_eq!((second.outcome().attempts, second.upstream()), (0, None));
}

/// A cache inside of itself would wait for itself.
#[tokio::test]
async fn a_layer_inside_of_itself_is_bypassed() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::numbers();
    let service = layer.layer(layer.layer(upstream.clone()));
    for _ in 0..2 {
        let response = service.clone().oneshot(plain()).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), completion(0));
    }
    assert_eq!(upstream.calls(), 1);
}

/// On several threads, some requests fail, some are rejected and some are dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_remaining_request_gets_a_response() {
    let (layer, _) = layer(Scope::Identity);
    // Nothing is stored, so that all sharing is in flight.
    let layer = layer
        .freshness(Freshness::new().ttl(Duration::ZERO))
        .shared_calls(SharedCalls::new().share_all());
    let upstream = Upstream::of(|number, request| {
        Box::pin(async move {
            for _ in 0..number % 7 {
                tokio::task::yield_now().await;
            }
            match number % 5 {
                0 => Err(Fault),
                1 => {
                    let responder = RejectionFormat::Problem.for_request(&request);
                    let rejection = Rejection::new(Refusal::Overloaded);
                    let response = responder.respond::<()>(rejection, &context(&request));
                    Ok(response.map(|_| ScriptedBody::default()))
                }
                _ => Ok(events((0..10).flat_map(|_| [Step::Pending, Step::Data(b"data: x\n\n")]))),
            }
        })
    });
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4_000_usize {
        let body = format!(r#"{{"n":{}}}"#, number % 9);
        let request = post(Some(user("a")), CHAT, &body);
        let response = layer.layer(upstream.clone()).oneshot(request);
        let leaving = tasks.spawn(async move {
            match response.await {
                Err(Fault) => "error",
                Ok(response) if response.status() != StatusCode::OK => "refusal",
                Ok(response) => {
                    assert_eq!(text(response).await, "data: x\n\n".repeat(10));
                    "whole"
                }
            }
        });
        if number % 3 == 0 {
            leaving.abort();
        }
        if number % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut stayed = BTreeMap::new();
    while let Some(body_of) = tasks.join_next().await {
        match body_of {
            Ok(body_of) => *stayed.entry(body_of).or_insert(0) += 1,
            Err(error) => assert!(error.is_cancelled()),
        }
    }
    assert!(stayed["whole"] > 0 && upstream.calls() < 4_000, "{stayed:?}");
}
