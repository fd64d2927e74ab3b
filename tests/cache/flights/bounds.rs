//! Bounds on readers, on shared calls and on their memory.

use tower_inference::memory_limit::MemoryLimit;

use super::*;

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
