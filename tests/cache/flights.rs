//! What is under way is shared, and nobody depends on anybody else.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, task::Waker};

use tokio::sync::{Semaphore, mpsc};
use tower_inference::{
    memory_limit::MemoryLimit,
    rejection::{Refusal, Rejection, RejectionFormat},
};

use super::*;

/// Whatever is polled once, without a runtime's budget.
fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// A call, not yet polled.
fn begin(
    layer: &CacheLayer,
    upstream: &Upstream,
    request: Request<Payload>,
) -> Pin<Box<impl Future<Output = Result<Answer, Fault>> + use<>>> {
    let mut service = layer.layer(upstream.clone());
    assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
    Box::pin(service.call(request))
}

/// An upstream that answers, with the number of the call, when it is let.
fn gated() -> (Upstream, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(json(&format!("{{\"call\":{number}}}")))
        })
    });
    (upstream, gate)
}

/// An upstream whose one body comes through a channel.
fn channelled() -> (Upstream, mpsc::UnboundedSender<Step>) {
    let (send, receive) = mpsc::unbounded_channel();
    let receive = Arc::new(Mutex::new(Some(receive)));
    let upstream = Upstream::new(move |_, _| {
        let receive = receive.lock().unwrap().take().expect("one call");
        events([]).map(|_| ScriptedBody::live(receive))
    });
    (upstream, send)
}

#[tokio::test]
async fn those_who_come_meanwhile_share_one_call() {
    let (layer, _) = layer(Scope::Identity);
    let (upstream, gate) = gated();
    let contexts: Vec<_> = (0..3)
        .map(|_| plain())
        .map(|request| (context(&request), begin(&layer, &upstream, request)))
        .collect();
    gate.add_permits(9);
    let mut outcomes = Vec::new();
    for (context, call) in contexts {
        let answer = call.await.unwrap();
        let status = answer.headers()["cache-status"].to_str().unwrap().to_owned();
        assert_eq!(text(answer).await, r#"{"call":0}"#);
        outcomes.push((context.outcome().cache.unwrap().as_str(), status));
    }
    let told = |status: &str| format!("tower-inference; fwd=miss{status}");
    assert_eq!(
        outcomes,
        [
            ("miss", told("")),
            // Their heads come when it has been stored.
            ("collapsed", told("; stored; collapsed")),
            ("collapsed", told("; stored; collapsed")),
        ]
    );
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_stream_is_joined_midway_and_read_from_its_start() {
    let (layer, _) = layer(Scope::Identity);
    let (upstream, send) = channelled();
    let mut first = ask(&layer, &upstream, streamed()).await.into_body();
    send.send(Step::Data(b"data: 1\n\n")).unwrap();
    assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
    // The first byte was there while the upstream still sends.
    let second = ask(&layer, &upstream, streamed()).await;
    send.send(Step::Data(b"data: [DONE]\n\n")).unwrap();
    drop(send);
    let frames = |text: &'static [&'static str]| text.to_vec();
    assert_eq!(read(second).await.0, frames(&["data: 1\n\n", "data: [DONE]\n\n"]));
    assert_eq!(first.collect().await.unwrap().to_bytes(), "data: [DONE]\n\n");
    // And then it is replayed.
    let third = ask(&layer, &upstream, streamed()).await;
    assert_eq!(read(third).await.0, frames(&["data: 1\n\n", "data: [DONE]\n\n"]));
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_variant_under_way_is_not_shared_with_another() {
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
async fn the_originators_leaving_disturbs_nobody() {
    // Before the call was answered, and at each of its chunks.
    for leaves_at in 0..6 {
        let (layer, _) = layer(Scope::Identity);
        let (upstream, send) = channelled();
        let mut first = begin(&layer, &upstream, streamed());
        let second = begin(&layer, &upstream, streamed());
        let third = begin(&layer, &upstream, streamed());
        let chunks: [&'static [u8]; 4] = [b"data: 1\n\n", b"data: 2\n", b"\n", b"data: [DONE]\n\n"];
        if leaves_at == 0 {
            drop(first);
        } else {
            let Poll::Ready(answer) = poll(&mut first) else { panic!("the head is there") };
            let mut body = answer.unwrap().into_body();
            for chunk in &chunks[..leaves_at - 1] {
                send.send(Step::Data(chunk)).unwrap();
                body.frame().await.unwrap().unwrap();
            }
        }
        for chunk in &chunks[leaves_at.saturating_sub(1)..] {
            send.send(Step::Data(chunk)).unwrap();
        }
        drop(send);
        let whole = || chunks.map(Bytes::from_static).to_vec();
        assert_eq!(read(second.await.unwrap()).await.0, whole(), "{leaves_at}");
        assert_eq!(read(third.await.unwrap()).await.0, whole(), "{leaves_at}");
        // It was kept all the same.
        assert_eq!(read(ask(&layer, &upstream, streamed()).await).await.0, whole());
        assert_eq!(upstream.calls(), 1);
    }
}

#[tokio::test]
async fn the_last_ones_leaving_cancels_the_call() {
    let (layer, _) = layer(Scope::Identity);
    let (upstream, send) = channelled();
    let mut first = begin(&layer, &upstream, streamed());
    let mut second = begin(&layer, &upstream, streamed());
    let Poll::Ready(answer) = poll(&mut first) else { panic!("the head is there") };
    assert!(poll(&mut second).is_ready());
    drop((first, second));
    assert!(!send.is_closed());
    drop(answer);
    assert!(send.is_closed());
    assert_eq!(layer.entries(), 0);
}

#[tokio::test]
async fn a_refusal_of_our_own_is_shared_with_nobody() {
    // The first two are refused further in, each for itself.
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
            Ok(json(&format!("{{\"call\":{number}}}")))
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
        let answer = task.await.unwrap().unwrap();
        let refused = answer.extensions().get::<Rejection>().is_some();
        assert_eq!(refused, answer.status() == StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused, context.outcome().rejection.is_some());
        statuses.push(answer.status().as_u16());
        assert_eq!(text(answer).await.starts_with("refused"), refused);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
}

#[tokio::test]
async fn an_error_is_shared_with_nobody_and_passes_as_it_is() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            if number == 0 { Err(Fault) } else { Ok(json(&format!("{{\"call\":{number}}}"))) }
        })
    });
    let (layer, _) = layer(Scope::Identity);
    let [first, second, third] = [(); 3].map(|()| begin(&layer, &upstream, plain()));
    gate.add_permits(9);
    assert_eq!(first.await.err(), Some(Fault));
    // The next begins one of its own, with its own request, and the one after shares that.
    let (second, third) = tokio::join!(second, third);
    assert_eq!(text(second.unwrap()).await, r#"{"call":1}"#);
    assert_eq!(text(third.unwrap()).await, r#"{"call":1}"#);
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn a_panic_is_the_originators_own() {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let upstream = Upstream::of(move |number, _| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            assert!(number > 0, "a fault of the client");
            Ok(json(&format!("{{\"call\":{number}}}")))
        })
    });
    let (layer, _) = layer(Scope::Identity);
    let [first, mut second] = [(); 2].map(|()| begin(&layer, &upstream, plain()));
    gate.add_permits(9);
    // It is the follower who polls what panics.
    let second_told = loop {
        if let Poll::Ready(told) = poll(&mut second) {
            break told;
        }
    };
    assert_eq!(text(second_told.unwrap()).await, r#"{"call":1}"#);
    let first = tokio::spawn(first).await;
    assert!(first.unwrap_err().is_panic());
}

#[tokio::test]
async fn a_panic_in_call_hangs_nobody() {
    #[derive(Clone)]
    struct Panics;
    impl Service<Request<Payload>> for Panics {
        type Response = Response<ScriptedBody>;
        type Error = Fault;
        type Future = Answering;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Payload>) -> Answering {
            panic!("before there is a future")
        }
    }
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.flights(1);
    let mut panicking = layer.layer(Panics);
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| panicking.call(plain())));
    assert!(panicked.is_err());
    // Nor does it take anybody's place.
    let upstream = Upstream::numbers();
    for _ in 0..2 {
        assert_eq!(told(&layer, &upstream, streamed()).await, r#"{"call":0}"#);
    }
}

#[tokio::test]
async fn readers_and_flights_are_bounded() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.followers(1).flights(1);
    let (upstream, gate) = gated();
    let mut calls = [(); 3].map(|()| begin(&layer, &upstream, plain()));
    for call in &mut calls {
        assert!(poll(call).is_pending());
    }
    // One more reader than may be.
    assert_eq!(upstream.calls(), 2);
    let other = post(Some(user("a")), CHAT, r#"{"temperature":0}"#);
    let mut others = [other, post(Some(user("a")), CHAT, r#"{"temperature":0}"#)]
        .map(|request| begin(&layer, &upstream, request));
    for call in &mut others {
        assert!(poll(call).is_pending());
    }
    // And one more flight: each for itself.
    assert_eq!(upstream.calls(), 4);
    gate.add_permits(9);
    for call in calls.into_iter().chain(others) {
        let answer = call.await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        text(answer).await;
    }
    // Those who went alone have left nothing.
    assert_eq!(layer.entries(), 1);
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_shared_only_when_asked_for() {
    let sampled = || post(Some(user("a")), CHAT, r#"{"temperature":1}"#);
    for (all, expected) in [(false, 2), (true, 1)] {
        let (layer, _) = layer(Scope::Identity);
        let layer = if all { layer.coalesce_all() } else { layer };
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
async fn answers_of_the_upstream_are_shared_whatever_they_say() {
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

/// Of several callers; one who asks twice may well share what is private to them.
#[tokio::test]
async fn what_is_for_one_caller_is_not_shared_with_another() {
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
                let mut response = json(&format!("{{\"call\":{number}}}"));
                response.headers_mut().insert(name, value.parse().unwrap());
                response
            });
            let of = |subject| post(Some(user(subject)), CHAT, r#"{"temperature":0}"#);
            let calls = ["a", "b", "a", "b"].map(|subject| begin(&layer, &upstream, of(subject)));
            let mut told = Vec::new();
            for call in calls {
                told.push(text(call.await.unwrap()).await);
            }
            told.sort_unstable();
            told.dedup();
            assert_eq!((told.len(), upstream.calls()), (expected, expected), "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_all() {
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

/// Beyond what is kept, the fastest waits for the slowest, and then no longer.
#[tokio::test(start_paused = true)]
async fn a_reader_who_stalls_is_cut_and_the_rest_goes_on() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.max_entry(100).window(200).slowest_deadline(Duration::from_secs(5));
    let upstream =
        Upstream::new(|_, _| events((0..50).map(|_| Step::Bytes(Bytes::from(vec![b'x'; 50])))));
    let fast = begin(&layer, &upstream, streamed());
    let stalled = begin(&layer, &upstream, streamed());
    let (fast, stalled) = (fast.await.unwrap(), stalled.await.unwrap());
    let started = tokio::time::Instant::now();
    assert_eq!(text(fast).await.len(), 2_500);
    // A quarter of what may be lost in all.
    assert_eq!(started.elapsed(), Duration::from_millis(1_250));
    let error = stalled.into_body().collect().await.unwrap_err();
    assert!(error.to_string().contains("too slow"), "{error}");
    // It was too large to be kept, or joined.
    assert_eq!(layer.entries(), 0);
}

/// Wherever they stall, and one after the other.
#[tokio::test(start_paused = true)]
async fn all_readers_who_stall_cost_one_sum_of_time() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.max_entry(100).window(200).slowest_deadline(Duration::from_secs(5));
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
    let honest = tokio::spawn(told_by(begin(&layer, &upstream, streamed())));
    let fast = fast.await.unwrap();
    let started = tokio::time::Instant::now();
    assert_eq!(text(fast).await.len(), 25_000);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // Whoever reads on has lost no more than that either.
    assert_eq!(honest.await.unwrap().len(), 25_000);
    assert!(started.elapsed() < Duration::from_secs(5));
    for stalled in stalling {
        let error = stalled.await.unwrap().collect().await.unwrap_err();
        assert!(error.to_string().contains("too slow"), "{error}");
    }
    assert_eq!(upstream.calls(), 1);
}

async fn told_by(call: impl Future<Output = Result<Answer, Fault>>) -> String {
    text(call.await.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn one_who_was_given_nothing_when_it_was_cut_calls_for_itself() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.max_entry(100).window(200);
    let upstream =
        Upstream::new(|_, _| events((0..50).map(|_| Step::Bytes(Bytes::from(vec![b'x'; 50])))));
    let fast = begin(&layer, &upstream, streamed());
    let unpolled = begin(&layer, &upstream, streamed());
    assert_eq!(told_by(fast).await.len(), 2_500);
    assert_eq!(upstream.calls(), 1);
    assert_eq!(told_by(unpolled).await.len(), 2_500);
    assert_eq!(upstream.calls(), 2);
}

/// It may never be polled again, and must not keep the upstream's slot.
#[tokio::test(start_paused = true)]
async fn one_who_was_cut_keeps_no_call_alive() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.max_entry(100).window(200);
    let (upstream, send) = channelled();
    let fast = begin(&layer, &upstream, streamed());
    let stalled = begin(&layer, &upstream, streamed());
    let (mut fast, stalled) = (fast.await.unwrap().into_body(), stalled.await.unwrap());
    for _ in 0..50 {
        send.send(Step::Bytes(Bytes::from(vec![b'x'; 50]))).unwrap();
    }
    for _ in 0..50 {
        fast.frame().await.unwrap().unwrap();
    }
    assert!(!send.is_closed());
    drop(fast);
    assert!(send.is_closed());
    drop(stalled);
}

#[tokio::test]
async fn calls_without_memory_are_neither_shared_nor_kept() {
    let (layer, _) = layer(Scope::Identity);
    let memory = MemoryLimit::new(20 << 10);
    let layer = layer.memory_limit(memory.clone());
    let (upstream, gate) = gated();
    let request = |number: usize| {
        post(Some(user("a")), CHAT, &format!(r#"{{"temperature":0,"seed":{number}}}"#))
    };
    // Two of each, and there is memory for two calls that are shared.
    let mut calls: Vec<_> =
        (0..8).map(|number| begin(&layer, &upstream, request(number / 2))).collect();
    for call in &mut calls {
        assert!(poll(call).is_pending());
    }
    assert_eq!(upstream.calls(), 2 + 4);
    assert_eq!(memory.taken_bytes(), 16 << 10);
    gate.add_permits(9);
    for call in calls {
        assert!(told_by(call).await.starts_with("{\"call\":"));
        assert!(memory.taken_bytes() <= memory.max_bytes());
    }
    assert_eq!((layer.entries(), memory.taken_bytes()), (2, 0));
    // There is memory again.
    told(&layer, &upstream, request(3)).await;
    assert_eq!(layer.entries(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outgrows_the_memory_goes_on_and_is_not_kept() {
    let (layer, _) = layer(Scope::Identity);
    let memory = MemoryLimit::new(64 << 10);
    let layer = layer.memory_limit(memory.clone());
    let sent = || (0..400).map(|_| Step::Bytes(Bytes::from(vec![b'x'; 200])));
    let upstream = Upstream::new(move |_, _| events(sent().chain([Step::Data(DONE)])));
    let readers = [(); 3].map(|()| begin(&layer, &upstream, streamed()));
    let readers = readers.map(|reader| tokio::spawn(told_by(reader)));
    let stalled = begin(&layer, &upstream, streamed()).await.unwrap();
    for reader in readers {
        assert_eq!(reader.await.unwrap().len(), 400 * 200 + DONE.len());
        assert!(memory.taken_bytes() <= memory.max_bytes());
    }
    let error = stalled.into_body().collect().await.unwrap_err();
    assert!(error.to_string().contains("too slow"), "{error}");
    assert_eq!((upstream.calls(), layer.entries(), memory.taken_bytes()), (1, 0, 0));
    // One alone reads on at its own pace, too.
    let mut body = ask(&layer, &upstream, streamed()).await.into_body();
    for _ in 0..401 {
        body.frame().await.unwrap().unwrap();
        assert!(memory.taken_bytes() <= memory.max_bytes());
    }
    drop(body);
    assert_eq!((upstream.calls(), layer.entries(), memory.taken_bytes()), (2, 0, 0));
}

const DONE: &[u8] = b"\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn an_answer_too_large_to_be_kept_is_no_longer_joined() {
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.max_entry(100);
    let (upstream, send) = channelled();
    let mut first = ask(&layer, &upstream, streamed()).await.into_body();
    for _ in 0..5 {
        send.send(Step::Data(&[b'x'; 50])).unwrap();
        first.frame().await.unwrap().unwrap();
    }
    let other = Upstream::numbers();
    assert_eq!(told(&layer, &other, streamed()).await, r#"{"call":0}"#);
}

#[tokio::test]
async fn each_request_of_a_flight_has_a_record_of_its_own() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::new(|_, request| {
        let context = context(&request);
        assert_eq!(context.identity().unwrap().subject(), "a");
        context.add_attempt();
        context.set_upstream("https://router.example".into());
        let mut outcome = context.outcome();
        outcome.upstream_status = Some(StatusCode::OK);
        context.set_outcome(outcome);
        json("[]")
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

/// A cache within a cache would wait for itself.
#[tokio::test]
async fn a_layer_that_is_applied_twice_does_not_wait_for_itself() {
    let (layer, _) = layer(Scope::Identity);
    let upstream = Upstream::numbers();
    let service = layer.layer(layer.layer(upstream.clone()));
    for _ in 0..2 {
        let answer = service.clone().oneshot(plain()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), r#"{"call":0}"#);
    }
    assert_eq!(upstream.calls(), 1);
}

/// Many at once on several threads: some fail, some are refused, some leave. Whoever stays is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_left_behind() {
    let (layer, _) = layer(Scope::Identity);
    // Nothing is kept, so that all is shared under way.
    let layer = layer.ttl(Duration::ZERO).coalesce_all();
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
        let answer = layer.layer(upstream.clone()).oneshot(request);
        let leaving = tasks.spawn(async move {
            match answer.await {
                Err(Fault) => "error",
                Ok(answer) if answer.status() != StatusCode::OK => "refusal",
                Ok(answer) => {
                    assert_eq!(text(answer).await, "data: x\n\n".repeat(10));
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
    while let Some(told) = tasks.join_next().await {
        match told {
            Ok(told) => *stayed.entry(told).or_insert(0) += 1,
            Err(error) => assert!(error.is_cancelled()),
        }
    }
    assert!(stayed["whole"] > 0 && upstream.calls() < 4_000, "{stayed:?}");
}
