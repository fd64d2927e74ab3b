//! A second tier, which replicas share: what one has answered is an answer of all of them.

use std::{collections::BTreeMap, future::ready};

use tokio::sync::Semaphore;
use tower_inference::{
    cache::{Leased, SecondTier, Tier, TierFuture},
    context::CacheOutcome,
    secret::Secret,
};

use super::*;

/// A server's memory. Reading passes a gate where there is one.
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

    /// Lets nobody read until it is given permits.
    fn close(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.held().gate = Some(Arc::clone(&gate));
        gate
    }

    fn reads(&self) -> usize {
        self.held().reads
    }

    /// One of those who share it.
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

    fn lease(&self, key: [u8; 32], holder: [u8; 16], _: Duration) -> TierFuture<Leased> {
        let has = *self.held().leases.entry(key).or_insert(holder);
        Box::pin(ready(if has == holder { Leased::Won } else { Leased::Taken }))
    }

    fn release(&self, key: [u8; 32], holder: [u8; 16]) {
        let mut held = self.held();
        if held.leases.get(&key) == Some(&holder) {
            held.leases.remove(&key);
        }
    }
}

fn status(answer: &Answer) -> &str {
    answer.headers()["cache-status"].to_str().unwrap()
}

fn asking(control: &'static str) -> Request<Payload> {
    let mut request = plain();
    request.headers_mut().insert("cache-control", control.parse().unwrap());
    request
}

/// No replica asks the upstream.
fn nobody() -> Upstream {
    Upstream::new(|_, _| panic!("the upstream is called"))
}

const DONE: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";

#[tokio::test]
async fn what_one_replica_was_answered_another_answers() {
    let map = Map::default();
    let [one, other] = [map.replica(), map.replica()];
    assert_eq!(told(&one, &Upstream::numbers(), plain()).await, r#"{"call":0}"#);

    let request = plain();
    let context = context(&request);
    let answer = ask(&other, &nobody(), request).await;
    assert!(status(&answer).starts_with("tower-inference; hit; ttl="), "{}", status(&answer));
    assert_eq!(answer.headers()[header::AGE], "0");
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(text(answer).await, r#"{"call":0}"#);
    assert_eq!(context.outcome().cache, Some(CacheOutcome::Hit));
    let [counts] = &other.counts()[..] else { panic!("one route and model") };
    assert_eq!((counts.hits, counts.misses, counts.stored), (1, 0, 0));

    // From now on it is in memory.
    let reads = map.reads();
    assert_eq!(told(&other, &nobody(), plain()).await, r#"{"call":0}"#);
    assert_eq!(map.reads(), reads);
}

#[tokio::test]
async fn a_stream_is_replayed_in_its_chunks_with_its_trailers() {
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
    let first = read(ask(&map.replica(), &upstream, streamed()).await).await;
    let again = read(ask(&map.replica(), &nobody(), streamed()).await).await;
    assert_eq!(first, again);
    assert_eq!(again.0.len(), 2);
    assert_eq!(again.1.unwrap()["x-sum"], "7");
}

/// Half a stream, an error, an answer that is too large: none of them is brought.
#[tokio::test]
async fn what_is_not_kept_is_not_brought() {
    let map = Map::default();
    let failing = Upstream::new(|_, _| {
        let mut response = json("[]");
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    });
    let half = Upstream::new(|_, _| events([Step::Bytes(Bytes::from(&DONE[..20]))]));
    told(&map.replica(), &failing, plain()).await;
    told(&map.replica(), &half, streamed()).await;
    let small = map.replica().max_entry(10);
    told(&small, &Upstream::new(|_, _| json("{\"more\":\"than ten\"}")), plain()).await;
    let upstream = Upstream::numbers();
    told(&map.replica(), &upstream, plain()).await;
    told(&map.replica(), &upstream, streamed()).await;
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn nobody_is_given_what_is_anothers() {
    let map = Map::default();
    told(&map.replica(), &Upstream::numbers(), plain()).await;
    let body = r#"{"model":"m","temperature":0,"messages":[]}"#;
    let others = [
        user("b"),
        Identity::new(Proof::ApiKey, ISSUER, "a").with_tenant("acme"),
        Identity::new(Proof::Jwt, "https://other.example", "a").with_tenant("acme"),
    ];
    for other in others {
        let upstream = Upstream::numbers();
        told(&map.replica(), &upstream, post(Some(other), CHAT, body)).await;
        assert_eq!(upstream.calls(), 1);
    }
    // Another secret is another cache.
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.second_tier(SecondTier::new(map.clone(), Secret::new("of others")));
    let upstream = Upstream::numbers();
    told(&layer, &upstream, plain()).await;
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn all_who_wait_share_one_look() {
    let map = Map::default();
    told(&map.replica(), &Upstream::numbers(), plain()).await;
    let (other, before) = (map.replica(), map.reads());
    let gate = map.close();
    let asks = (0..100).map(|_| {
        let other = other.clone();
        tokio::spawn(async move { told(&other, &nobody(), plain()).await })
    });
    let asks: Vec<_> = asks.collect();
    tokio::task::yield_now().await;
    gate.add_permits(1_000);
    for asked in asks {
        assert_eq!(asked.await.unwrap(), r#"{"call":0}"#);
    }
    // Of the answer, the model's epoch, the tenant's, and that of all.
    assert_eq!(map.reads() - before, 4);
    let [counts] = &other.counts()[..] else { panic!("one route and model") };
    assert_eq!((counts.hits, counts.misses, counts.followers), (100, 0, 0));
}

#[tokio::test]
async fn who_leaves_while_it_looks_leaves_the_others_undisturbed() {
    let map = Map::default();
    let (replica, gate) = (map.replica(), map.close());
    let upstream = Upstream::numbers();
    let mut asks: Vec<_> = (0..3)
        .map(|_| {
            let (replica, upstream) = (replica.clone(), upstream.clone());
            tokio::spawn(async move { told(&replica, &upstream, plain()).await })
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
        assert_eq!(asked.await.unwrap(), r#"{"call":0}"#);
    }
    assert_eq!(upstream.calls(), 1);
    // With the last, the look is over, and nothing is called.
    let gate = map.close();
    let (other, upstream) = (map.replica(), Upstream::numbers());
    let asking = {
        let upstream = upstream.clone();
        tokio::spawn(async move { told(&other, &upstream, streamed()).await })
    };
    tokio::task::yield_now().await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    gate.add_permits(1_000);
    tokio::task::yield_now().await;
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn who_asks_for_a_new_answer_is_given_one_and_brings_it() {
    let map = Map::default();
    let upstream = Upstream::numbers();
    let replica = || map.replica().may_control(|_| true);
    told(&replica(), &upstream, plain()).await;
    assert_eq!(told(&replica(), &upstream, asking("no-cache")).await, r#"{"call":1}"#);
    assert_eq!(told(&replica(), &nobody(), plain()).await, r#"{"call":1}"#);
    assert_eq!(told(&replica(), &nobody(), asking("max-age=60")).await, r#"{"call":1}"#);
    assert_eq!(told(&replica(), &upstream, asking("min-fresh=3600")).await, r#"{"call":2}"#);
    assert_eq!(told(&replica(), &upstream, asking("max-age=0")).await, r#"{"call":3}"#);
}

/// It joins one that looks, and does not take what that has found.
#[tokio::test]
async fn who_takes_nothing_old_shares_no_look() {
    let map = Map::default();
    let upstream = Upstream::numbers();
    told(&map.replica(), &upstream, plain()).await;
    let replica = map.replica().may_control(|_| true);
    let (gate, before) = (map.close(), map.reads());
    let asks = ["max-age=60", "no-cache", "no-cache"].map(|control| {
        let (replica, upstream) = (replica.clone(), upstream.clone());
        tokio::spawn(async move { told(&replica, &upstream, asking(control)).await })
    });
    tokio::task::yield_now().await;
    assert_eq!(map.reads() - before, 4);
    gate.add_permits(4);
    // The two others look together, for what their answer would be kept under.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(map.reads() - before, 8);
    gate.add_permits(4);
    let mut answers = Vec::new();
    for asked in asks {
        answers.push(asked.await.unwrap());
    }
    assert_eq!(answers, [r#"{"call":0}"#, r#"{"call":1}"#, r#"{"call":1}"#]);
}

#[tokio::test]
async fn a_model_that_is_down_still_answers_what_it_answered() {
    let map = Map::default();
    let replica = || {
        let (layer, clock) = layer(Scope::Identity);
        let tier = SecondTier::new(map.clone(), Secret::new("of all replicas"));
        let day = Duration::from_secs(86_400);
        let layer = layer.stale_if_error(day).second_tier(tier).may_control(|_| true);
        (layer, clock)
    };
    let upstream = Upstream::numbers();
    told(&replica().0, &upstream, plain()).await;

    let down = Upstream::new(|_, _| {
        let mut response = json("[]");
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    });
    let gone = Upstream::of(|_, _| Box::pin(async { Err(Fault) }));
    for failing in [down, gone] {
        let (other, clock) = replica();
        clock.advance(Duration::from_secs(3_600));
        clock.set_wall(std::time::UNIX_EPOCH + Duration::from_secs(1_795_424_887 + 3_600));
        let answer = ask(&other, &failing, plain()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(status(&answer).contains("hit; ttl=-3300"), "{}", status(&answer));
        assert_eq!(text(answer).await, r#"{"call":0}"#);
        assert_eq!(failing.calls(), 1);
        // Not to one who does not take what is stale.
        match other.layer(failing.clone()).oneshot(asking("min-fresh=1")).await {
            Ok(answer) => assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE),
            Err(fault) => assert_eq!(fault, Fault),
        }
        assert_eq!(failing.calls(), 2);
    }
    let (other, clock) = replica();
    clock.advance(Duration::from_secs(3_600));
    clock.set_wall(std::time::UNIX_EPOCH + Duration::from_secs(1_795_424_887 + 3_600));
    assert_eq!(told(&other, &upstream, plain()).await, r#"{"call":1}"#, "it is up again");
}

#[tokio::test]
async fn what_one_invalidates_no_replica_finds() {
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
        told(&one, &upstream, request()).await;
        one.invalidate_route("another");
        assert_eq!(told(&map.replica(), &nobody(), request()).await, r#"{"call":0}"#);
        invalidate(&one, &request());
        assert_eq!(told(&map.replica(), &upstream, request()).await, r#"{"call":1}"#, "{number}");
        assert_eq!(told(&one, &nobody(), request()).await, r#"{"call":1}"#, "{number}");
    }
}

#[tokio::test]
async fn a_tier_that_is_away_is_a_miss() {
    let map = Map::default();
    map.held().away = true;
    let (one, upstream) = (map.replica_by(|tier| tier.encrypted()), Upstream::numbers());
    assert_eq!(told(&one, &upstream, plain()).await, r#"{"call":0}"#);
    assert_eq!(told(&one, &upstream, plain()).await, r#"{"call":0}"#, "memory is still there");
    assert_eq!(told(&map.replica(), &upstream, plain()).await, r#"{"call":1}"#);
}

#[tokio::test(start_paused = true)]
async fn with_leases_one_replica_of_all_asks() {
    let map = Map::default();
    let upstream = Upstream::of(|number, _| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(json(&format!("{{\"call\":{number}}}")))
        })
    });
    let asks: Vec<_> = (0..8)
        .map(|_| {
            let replica = map.replica_by(|tier| tier.lease(Duration::from_secs(2)));
            let upstream = upstream.clone();
            tokio::spawn(async move { told(&replica, &upstream, plain()).await })
        })
        .collect();
    for asked in asks {
        assert_eq!(asked.await.unwrap(), r#"{"call":0}"#);
    }
    assert_eq!(upstream.calls(), 1);
    assert!(map.held().leases.is_empty());
}

/// The lease is given back as soon as it is known that nothing will be brought: at the head of an
/// answer that is not kept, by an error, and by one who leaves.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_will_not_come() {
    let map = Map::default();
    let leased = || map.replica_by(|tier| tier.lease(Duration::from_secs(60)));
    let open = Arc::new(Semaphore::new(0));
    let unkept = Upstream::new(|_, _| {
        let body = ScriptedBody::new([Step::Bytes(Bytes::from("{"))]);
        Response::builder().status(500).body(body).unwrap()
    });
    let unread = ask(&leased(), &unkept, plain()).await;
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

/// The inner service is called later than it would be without a tier, and unwinds into its caller
/// all the same; the next begins anew.
#[tokio::test]
async fn a_panic_of_the_call_is_the_originators() {
    let map = Map::default();
    let replica = map.replica();
    let upstream = Upstream::of(|number, _| {
        assert!(number > 0, "of the first");
        Box::pin(async { Ok(json("[]")) })
    });
    let first = tokio::spawn(replica.layer(upstream.clone()).oneshot(plain()));
    assert!(first.await.unwrap_err().is_panic());
    assert_eq!(told(&replica, &upstream, plain()).await, "[]");
}

/// It counts what it is made ready for.
#[tokio::test]
async fn the_instance_that_was_made_ready_is_called() {
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
            ready(Ok(json("[]")))
        }
    }

    let answer = Map::default().replica().layer(Careful(false)).oneshot(plain()).await.unwrap();
    assert_eq!(text(answer).await, "[]");
}
