//! Requests that share a call.

use std::collections::BTreeMap;

use tower_inference::cache::Freshness;

use super::*;

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
