//! A second tier that replicas share.

use std::{collections::BTreeMap, future::ready};

use tokio::sync::Semaphore;
use tower_inference::{
    cache::{ClientControl, Freshness, LeaseResult, SecondTier, Tier, TierFuture},
    context::CacheOutcome,
    secret::Secret,
};

use super::*;

/// The memory of a server. A gate can block reads.
#[derive(Clone, Debug, Default)]
struct Map(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    values: BTreeMap<[u8; 32], Bytes>,
    leases: BTreeMap<[u8; 32], [u8; 16]>,
    gate: Option<Arc<Semaphore>>,
    reads: usize,
    away: bool,
}

impl Map {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    /// Reads wait for permits.
    fn close(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.held().gate = Some(Arc::clone(&gate));
        gate
    }

    fn reads(&self) -> usize {
        self.held().reads
    }

    /// A replica that shares the tier.
    fn replica(&self) -> CacheLayer {
        self.replica_by(|tier| tier)
    }

    fn replica_by(&self, set: impl FnOnce(SecondTier) -> SecondTier) -> CacheLayer {
        let (layer, _) = layer(Scope::Identity);
        layer.second_tier(set(SecondTier::new(self.clone(), Secret::new("of all replicas"))))
    }
}

impl Tier for Map {
    fn get(&self, key: [u8; 32]) -> TierFuture<Option<Bytes>> {
        let mut held = self.held();
        held.reads += 1;
        let value = held.values.get(&key).filter(|_| !held.away).cloned();
        let gate = held.gate.clone();
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            value
        })
    }

    fn put(&self, key: [u8; 32], value: Bytes, _: Duration) -> TierFuture<bool> {
        let mut held = self.held();
        let away = held.away;
        if !away {
            held.values.insert(key, value);
        }
        Box::pin(ready(!away))
    }

    fn put_new(&self, key: [u8; 32], value: Bytes, _: Duration) -> TierFuture<bool> {
        let mut held = self.held();
        let away = held.away;
        if !away {
            held.values.entry(key).or_insert(value);
        }
        Box::pin(ready(!away))
    }

    fn remove(&self, key: [u8; 32]) -> TierFuture<bool> {
        let mut held = self.held();
        held.values.remove(&key);
        Box::pin(ready(!held.away))
    }

    fn lease(&self, key: [u8; 32], holder: [u8; 16], _: Duration) -> TierFuture<LeaseResult> {
        let has = *self.held().leases.entry(key).or_insert(holder);
        Box::pin(ready(if has == holder { LeaseResult::Granted } else { LeaseResult::Taken }))
    }

    fn release(&self, key: [u8; 32], holder: [u8; 16]) {
        let mut held = self.held();
        if held.leases.get(&key) == Some(&holder) {
            held.leases.remove(&key);
        }
    }
}

fn status(response: &CacheResponse) -> &str {
    response.headers()["cache-status"].to_str().unwrap()
}

fn controlled_by(control: &'static str) -> Request<Payload> {
    let mut request = plain();
    request.headers_mut().insert("cache-control", control.parse().unwrap());
    request
}

/// An upstream that must not be called.
fn nobody() -> Upstream {
    Upstream::new(|_, _| panic!("the upstream is called"))
}

const DONE: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";

/// The layout of an entry has no usage. It is read from the body again, so older entries have it too.
#[tokio::test]
async fn an_entry_of_another_replica_has_the_parts_of_its_usage() {
    let upstream = Upstream::new(|_, _| {
        json(
            r#"{"choices":[{"message":{"content":"a b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"total_tokens":7,"prompt_tokens_details":{"cached_tokens":1},"completion_tokens_details":{"reasoning_tokens":2}}}"#,
        )
    });
    let map = Map::default();
    body_of(&map.replica(), &upstream, plain()).await;
    let request = plain();
    let context = context(&request);
    body_of(&map.replica(), &upstream, request).await;
    let outcome = context.outcome();
    assert_eq!((outcome.cache, upstream.calls()), (Some(CacheOutcome::Hit), 1));
    let usage = outcome.usage.unwrap();
    assert_eq!((usage.cached_tokens, usage.reasoning_tokens), (Some(1), Some(2)));
}

#[tokio::test]
async fn replicas_serve_the_responses_of_others() {
    let map = Map::default();
    let [one, other] = [map.replica(), map.replica()];
    assert_eq!(body_of(&one, &Upstream::numbers(), plain()).await, completion(0));

    let request = plain();
    let context = context(&request);
    let response = send(&other, &nobody(), request).await;
    assert!(status(&response).starts_with("tower-inference; hit; ttl="), "{}", status(&response));
    assert_eq!(response.headers()[header::AGE], "0");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(text(response).await, completion(0));
    assert_eq!(context.outcome().cache, Some(CacheOutcome::Hit));
    let [counts] = &other.counts()[..] else { panic!("one route and model") };
    assert_eq!((counts.hits, counts.misses, counts.stored), (1, 0, 0));

    // The response is in memory now.
    let reads = map.reads();
    assert_eq!(body_of(&other, &nobody(), plain()).await, completion(0));
    assert_eq!(map.reads(), reads);
}

#[tokio::test]
async fn the_tier_stores_chunks_and_trailers() {
    let map = Map::default();
    let upstream = Upstream::new(|_, _| {
        let (start, end) = DONE.split_at(20);
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
        events([
            Step::Bytes(Bytes::from(start)),
            Step::Bytes(Bytes::from(end)),
            Step::Trailers(trailers),
        ])
    });
    let first = read(send(&map.replica(), &upstream, streamed()).await).await;
    let again = read(send(&map.replica(), &nobody(), streamed()).await).await;
    assert_eq!(first, again);
    assert_eq!(again.0.len(), 2);
    assert_eq!(again.1.unwrap()["x-sum"], "7");
}

/// Incomplete streams, errors and large responses.
#[tokio::test]
async fn only_stored_responses_reach_the_tier() {
    let map = Map::default();
    let failing = Upstream::new(|_, _| {
        let mut response = json(&completion(0));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    });
    let half = Upstream::new(|_, _| events([Step::Bytes(Bytes::from(&DONE[..20]))]));
    body_of(&map.replica(), &failing, plain()).await;
    body_of(&map.replica(), &half, streamed()).await;
    let small = map.replica().memory(MemoryTier::new().max_entry_bytes(10));
    body_of(&small, &Upstream::new(|_, _| json("{\"more\":\"than ten\"}")), plain()).await;
    let upstream = Upstream::numbers();
    body_of(&map.replica(), &upstream, plain()).await;
    body_of(&map.replica(), &upstream, streamed()).await;
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn scopes_are_separate_in_the_tier() {
    let map = Map::default();
    body_of(&map.replica(), &Upstream::numbers(), plain()).await;
    let body = r#"{"model":"m","temperature":0,"messages":[]}"#;
    let others = [
        user("b"),
        Identity::new(Proof::ApiKey, ISSUER, "a").with_tenant("acme"),
        Identity::new(Proof::Jwt, "https://other.example", "a").with_tenant("acme"),
    ];
    for other in others {
        let upstream = Upstream::numbers();
        body_of(&map.replica(), &upstream, post(Some(other), CHAT, body)).await;
        assert_eq!(upstream.calls(), 1);
    }
    // Another secret has other keys.
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.second_tier(SecondTier::new(map.clone(), Secret::new("of others")));
    let upstream = Upstream::numbers();
    body_of(&layer, &upstream, plain()).await;
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn concurrent_requests_share_one_lookup() {
    let map = Map::default();
    body_of(&map.replica(), &Upstream::numbers(), plain()).await;
    let (other, before) = (map.replica(), map.reads());
    let gate = map.close();
    let asks = (0..100).map(|_| {
        let other = other.clone();
        tokio::spawn(async move { body_of(&other, &nobody(), plain()).await })
    });
    let asks: Vec<_> = asks.collect();
    tokio::task::yield_now().await;
    gate.add_permits(1_000);
    for asked in asks {
        assert_eq!(asked.await.unwrap(), completion(0));
    }
    // One read of the response, and of the epochs of the model, the tenant and all entries.
    assert_eq!(map.reads() - before, 4);
    let [counts] = &other.counts()[..] else { panic!("one route and model") };
    assert_eq!((counts.hits, counts.misses, counts.followers), (100, 0, 0));
}

#[tokio::test]
async fn followers_outlive_the_leader_of_a_lookup() {
    let map = Map::default();
    let (replica, gate) = (map.replica(), map.close());
    let upstream = Upstream::numbers();
    let mut asks: Vec<_> = (0..3)
        .map(|_| {
            let (replica, upstream) = (replica.clone(), upstream.clone());
            tokio::spawn(async move { body_of(&replica, &upstream, plain()).await })
        })
        .collect();
    while map.reads() == 0 {
        tokio::task::yield_now().await;
    }
    let first = asks.remove(0);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.add_permits(1_000);
    for asked in asks {
        assert_eq!(asked.await.unwrap(), completion(0));
    }
    assert_eq!(upstream.calls(), 1);
    // The last request ends the lookup, and the upstream is not called.
    let gate = map.close();
    let (other, upstream) = (map.replica(), Upstream::numbers());
    let controlled_by = {
        let upstream = upstream.clone();
        tokio::spawn(async move { body_of(&other, &upstream, streamed()).await })
    };
    tokio::task::yield_now().await;
    controlled_by.abort();
    assert!(controlled_by.await.unwrap_err().is_cancelled());
    gate.add_permits(1_000);
    tokio::task::yield_now().await;
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn no_cache_replaces_the_response_in_the_tier() {
    let map = Map::default();
    let upstream = Upstream::numbers();
    let replica = || map.replica().client_control(ClientControl::new(|_| true));
    body_of(&replica(), &upstream, plain()).await;
    assert_eq!(body_of(&replica(), &upstream, controlled_by("no-cache")).await, completion(1));
    assert_eq!(body_of(&replica(), &nobody(), plain()).await, completion(1));
    assert_eq!(body_of(&replica(), &nobody(), controlled_by("max-age=60")).await, completion(1));
    assert_eq!(
        body_of(&replica(), &upstream, controlled_by("min-fresh=3600")).await,
        completion(2)
    );
    assert_eq!(body_of(&replica(), &upstream, controlled_by("max-age=0")).await, completion(3));
}

/// The request joins a lookup and does not accept its entry.
#[tokio::test]
async fn no_cache_does_not_accept_a_shared_lookup() {
    let map = Map::default();
    let upstream = Upstream::numbers();
    body_of(&map.replica(), &upstream, plain()).await;
    let replica = map.replica().client_control(ClientControl::new(|_| true));
    let (gate, before) = (map.close(), map.reads());
    let asks = ["max-age=60", "no-cache", "no-cache"].map(|control| {
        let (replica, upstream) = (replica.clone(), upstream.clone());
        tokio::spawn(async move { body_of(&replica, &upstream, controlled_by(control)).await })
    });
    tokio::task::yield_now().await;
    assert_eq!(map.reads() - before, 4);
    gate.add_permits(4);
    // The two others share a lookup for the epochs of their response.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(map.reads() - before, 8);
    gate.add_permits(4);
    let mut responses = Vec::new();
    for asked in asks {
        responses.push(asked.await.unwrap());
    }
    assert_eq!(responses, [completion(0), completion(1), completion(1)]);
}

#[tokio::test]
async fn stale_entries_of_the_tier_replace_errors() {
    let map = Map::default();
    let replica = || {
        let (layer, clock) = layer(Scope::Identity);
        let tier = SecondTier::new(map.clone(), Secret::new("of all replicas"));
        let day = Duration::from_secs(86_400);
        let layer = layer
            .freshness(Freshness::new().stale_if_error(day))
            .second_tier(tier)
            .client_control(ClientControl::new(|_| true));
        (layer, clock)
    };
    let upstream = Upstream::numbers();
    body_of(&replica().0, &upstream, plain()).await;

    let down = Upstream::new(|_, _| {
        let mut response = json(&completion(0));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    });
    let gone = Upstream::of(|_, _| Box::pin(async { Err(Fault) }));
    for failing in [down, gone] {
        let (other, clock) = replica();
        clock.advance(Duration::from_secs(3_600));
        clock.set_wall(std::time::UNIX_EPOCH + Duration::from_secs(1_795_424_887 + 3_600));
        let response = send(&other, &failing, plain()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(status(&response).contains("hit; ttl=-3300"), "{}", status(&response));
        assert_eq!(text(response).await, completion(0));
        assert_eq!(failing.calls(), 1);
        // Not for a request that does not accept stale entries.
        match other.layer(failing.clone()).oneshot(controlled_by("min-fresh=1")).await {
            Ok(response) => assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE),
            Err(fault) => assert_eq!(fault, Fault),
        }
        assert_eq!(failing.calls(), 2);
    }
    let (other, clock) = replica();
    clock.advance(Duration::from_secs(3_600));
    clock.set_wall(std::time::UNIX_EPOCH + Duration::from_secs(1_795_424_887 + 3_600));
    assert_eq!(body_of(&other, &upstream, plain()).await, completion(1), "it is up again");
}

#[tokio::test]
async fn invalidation_concerns_all_replicas() {
    let request = || {
        let request = plain();
        context(&request).set_route("chat");
        context(&request).set_model("m");
        request
    };
    let ways: [fn(&CacheLayer, &Request<Payload>); 5] = [
        |layer, request| layer.invalidate(request),
        |layer, _| layer.invalidate_route("chat"),
        |layer, _| layer.invalidate_model("m"),
        |layer, _| layer.invalidate_tenant(ISSUER, "acme"),
        |layer, _| layer.invalidate_all(),
    ];
    for (number, invalidate) in ways.into_iter().enumerate() {
        let map = Map::default();
        let (one, upstream) = (map.replica(), Upstream::numbers());
        body_of(&one, &upstream, request()).await;
        one.invalidate_route("another");
        assert_eq!(body_of(&map.replica(), &nobody(), request()).await, completion(0));
        invalidate(&one, &request());
        assert_eq!(body_of(&map.replica(), &upstream, request()).await, completion(1), "{number}");
        assert_eq!(body_of(&one, &nobody(), request()).await, completion(1), "{number}");
    }
}

#[tokio::test]
async fn an_unavailable_tier_is_a_miss() {
    let map = Map::default();
    map.held().away = true;
    let (one, upstream) = (map.replica_by(|tier| tier.encrypted()), Upstream::numbers());
    assert_eq!(body_of(&one, &upstream, plain()).await, completion(0));
    assert_eq!(body_of(&one, &upstream, plain()).await, completion(0), "memory is still there");
    assert_eq!(body_of(&map.replica(), &upstream, plain()).await, completion(1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_lets_one_replica_call_the_upstream() {
    let map = Map::default();
    let upstream = Upstream::of(|number, _| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(json(&completion(number)))
        })
    });
    let asks: Vec<_> = (0..8)
        .map(|_| {
            let replica = map.replica_by(|tier| tier.lease_timeout(Duration::from_secs(2)));
            let upstream = upstream.clone();
            tokio::spawn(async move { body_of(&replica, &upstream, plain()).await })
        })
        .collect();
    for asked in asks {
        assert_eq!(asked.await.unwrap(), completion(0));
    }
    assert_eq!(upstream.calls(), 1);
    assert!(map.held().leases.is_empty());
}

/// A lease is released once no response will be stored: at the head of an unstorable response, by an
/// error or by a cancelled request.
#[tokio::test(start_paused = true)]
async fn a_lease_is_released_early() {
    let map = Map::default();
    let leased = || map.replica_by(|tier| tier.lease_timeout(Duration::from_secs(60)));
    let open = Arc::new(Semaphore::new(0));
    let unkept = Upstream::new(|_, _| {
        let body = ScriptedBody::new([Step::Bytes(Bytes::from("{"))]);
        Response::builder().status(500).body(body).unwrap()
    });
    let unread = send(&leased(), &unkept, plain()).await;
    assert!(map.held().leases.is_empty());
    drop(unread);

    let gone = Upstream::of(|_, _| Box::pin(async { Err(Fault) }));
    assert_eq!(leased().layer(gone).oneshot(plain()).await.unwrap_err(), Fault);
    assert!(map.held().leases.is_empty());

    let hanging = {
        let open = Arc::clone(&open);
        Upstream::of(move |_, _| {
            let open = Arc::clone(&open);
            Box::pin(async move {
                open.acquire().await.unwrap().forget();
                Err(Fault)
            })
        })
    };
    let leaving = tokio::spawn(leased().layer(hanging.clone()).oneshot(plain()));
    while hanging.calls() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(map.held().leases.len(), 1);
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    assert!(map.held().leases.is_empty());
}

/// The inner service is called after the lookup. Its panic unwinds in the leader nevertheless.
#[tokio::test]
async fn a_panic_after_a_lookup_unwinds_in_the_leader() {
    let map = Map::default();
    let replica = map.replica();
    let upstream = Upstream::of(|number, _| {
        assert!(number > 0, "of the first");
        Box::pin(async { Ok(json(&completion(0))) })
    });
    let first = tokio::spawn(replica.layer(upstream.clone()).oneshot(plain()));
    assert!(first.await.unwrap_err().is_panic());
    assert_eq!(body_of(&replica, &upstream, plain()).await, completion(0));
}

/// A service that counts its readiness.
#[tokio::test]
async fn the_ready_instance_is_called() {
    #[derive(Debug)]
    struct Careful(bool);

    impl Clone for Careful {
        fn clone(&self) -> Self {
            Self(false)
        }
    }

    impl Service<Request<Payload>> for Careful {
        type Response = Response<ScriptedBody>;
        type Error = Fault;
        type Future = std::future::Ready<Result<Self::Response, Fault>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
            self.0 = true;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Payload>) -> Self::Future {
            assert!(std::mem::take(&mut self.0), "not made ready");
            ready(Ok(json(&completion(0))))
        }
    }

    let response = Map::default().replica().layer(Careful(false)).oneshot(plain()).await.unwrap();
    assert_eq!(text(response).await, completion(0));
}
