//! Replicas of a cache that share a server.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::time::timeout;
use tower::{Layer as _, Service, ServiceExt as _};
use tower_inference::{
    cache::{CacheLayer, MemoryTier, RedisCache, Scope, SecondTier, Tier as _},
    context::RequestContext,
    identity::{Identity, Proof},
    payload::Payload,
};

use super::{
    gateway::{HASHING, Shared, secret},
    server::{Brand, Server},
    shared::against_each,
};

against_each! {
    replicas_serve_the_responses_of_others
    a_changed_value_is_a_miss
    concurrent_requests_of_replicas_share_one_call
    invalidation_concerns_all_replicas
    the_server_learns_nothing
    another_secret_finds_no_entry
    an_evicted_value_is_a_miss
}

/// An upstream that counts its calls.
#[derive(Clone)]
struct Upstream {
    streamed: bool,
    calls: Arc<AtomicUsize>,
}

impl Service<Request<Payload>> for Upstream {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Payload>) -> Answering {
        self.calls.fetch_add(1, SeqCst);
        let (media, body) = if self.streamed { ("text/event-stream", STREAM) } else { JSON };
        let response = Response::builder().header("content-type", media);
        let response = response.body(Full::from(body)).unwrap();
        Box::pin(async move {
            // Concurrent requests come while the call is in flight.
            tokio::task::yield_now().await;
            Ok(response)
        })
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

/// A replica and its upstream.
struct Replica {
    layer: CacheLayer,
    tier: RedisCache,
    calls: Arc<AtomicUsize>,
}

impl Replica {
    async fn new(shared: &Shared) -> Self {
        Self::by(shared, |tier| tier).await
    }

    async fn by(shared: &Shared, set: impl Fn(SecondTier) -> SecondTier) -> Self {
        let tier = match shared {
            Shared::Single(server) => RedisCache::single(secret(&server.address())),
            Shared::Cluster(cluster) => {
                let addresses = cluster.addresses();
                RedisCache::cluster(addresses.iter().map(|address| secret(address)))
            }
        };
        // Long enough for a busy machine.
        Self::of(tier.unwrap().read_timeout(Duration::from_secs(10)), set).await
    }

    async fn of(tier: RedisCache, set: impl Fn(SecondTier) -> SecondTier) -> Self {
        // The cache finds nothing before it has connected.
        assert!(tier.remove([0; 32]).await);
        let second = set(SecondTier::new(tier.clone(), secret(HASHING)));
        let layer = CacheLayer::new("router", Scope::Identity).second_tier(second);
        Self { layer, tier, calls: Arc::default() }
    }

    fn told(&self, streamed: bool) -> impl Future<Output = Bytes> + Send + use<> {
        let body = format!(r#"{{"model":"m","temperature":0,"stream":{streamed}}}"#);
        let mut request = Request::post("/v1/completions")
            .header("content-type", "application/json")
            .body(Payload::buffered(body))
            .unwrap();
        let context = RequestContext::ensure(request.extensions_mut());
        context.set_route("completions");
        context.set_identity(Arc::new(Identity::new(Proof::Jwt, "https://issuer.example", "u")));
        let upstream = Upstream { streamed, calls: Arc::clone(&self.calls) };
        let asked = self.layer.layer(upstream).oneshot(request);
        async move { asked.await.unwrap().into_body().collect().await.unwrap().to_bytes() }
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// Waits until all queued writes are done.
    async fn done(&self) {
        assert!(self.tier.remove([0; 32]).await);
    }
}

const JSON: (&str, &str) =
    ("application/json", r#"{"choices":[{"text":"seven","finish_reason":"stop"}]}"#);
const STREAM: &str = "data: {\"choices\":[{\"text\":\"seven\"}]}\n\ndata: [DONE]\n\n";

async fn replicas_serve_the_responses_of_others(shared: Shared) {
    let one = Replica::by(&shared, SecondTier::encrypted).await;
    assert_eq!(one.told(false).await, JSON.1);
    assert_eq!(one.told(true).await, STREAM);
    one.done().await;
    // Replicas read both forms of values.
    for other in [Replica::new(&shared).await, Replica::by(&shared, SecondTier::encrypted).await] {
        assert_eq!(other.told(false).await, JSON.1);
        assert_eq!(other.told(true).await, STREAM);
        assert_eq!(other.calls(), 0);
    }
}

/// A changed value, made of it and of another one.
type Spoil = fn(&[u8], &[u8]) -> Vec<u8>;

/// Values that are missing, truncated, extended, altered, moved or foreign.
async fn a_changed_value_is_a_miss(shared: Shared) {
    let one = Replica::new(&shared).await;
    one.told(false).await;
    one.told(true).await;
    one.done().await;
    let keys = shared.keys();
    let values: Vec<Vec<u8>> = keys.iter().map(|(server, key)| value(server, key)).collect();
    let ways: [Spoil; 6] = [
        |_, _| Vec::new(),
        |value, _| value[..value.len() - 1].to_vec(),
        |value, _| [value, b"\0"].concat(),
        |value, _| [&value[..value.len() - 1], &[value[value.len() - 1] ^ 1]].concat(),
        |_, other| other.to_vec(),
        |_, _| br#"{"choices":[{"text":"forged"}]}"#.to_vec(),
    ];
    for spoil in ways {
        for (number, (server, key)) in keys.iter().enumerate() {
            let other = &values[(number + 1) % values.len()];
            let spoilt = spoil(&values[number], other);
            server.wire().try_ask(&[b"SET", key.as_bytes(), &spoilt]).unwrap();
        }
        let other = Replica::new(&shared).await;
        assert_eq!(other.told(false).await, JSON.1);
        other.done().await;
        assert_eq!(other.told(true).await, STREAM);
        assert_eq!(other.calls(), 2);
        if spoil(b"value", b"other").is_empty() {
            // The server reads an empty value like a missing one. It expires.
            continue;
        }
        // The first replica has repaired the value.
        other.done().await;
        let another = Replica::new(&shared).await;
        assert_eq!(another.told(true).await, STREAM);
        assert_eq!(another.calls(), 0);
    }
}

fn value(server: &Server, key: &str) -> Vec<u8> {
    server.wire().must(&format!("GET {key}")).bytes()
}

async fn concurrent_requests_of_replicas_share_one_call(shared: Shared) {
    let leased = |tier: SecondTier| tier.lease_timeout(Duration::from_secs(20));
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(Replica::by(&shared, leased).await);
    }
    let asks = (0..100).map(|number| tokio::spawn(replicas[number % 4].told(number % 8 < 4)));
    for asked in asks.collect::<Vec<_>>() {
        let told = asked.await.unwrap();
        assert!(told == JSON.1 || told == STREAM);
    }
    assert_eq!(replicas.iter().map(Replica::calls).sum::<usize>(), 2);
}

async fn invalidation_concerns_all_replicas(shared: Shared) {
    let one = Replica::new(&shared).await;
    for invalidate in [
        |layer: &CacheLayer| layer.invalidate_route("completions"),
        |layer: &CacheLayer| layer.invalidate_all(),
    ] {
        one.told(false).await;
        invalidate(&one.layer);
        one.done().await;
        let other = Replica::new(&shared).await;
        other.told(false).await;
        assert_eq!(other.calls(), 1);
    }
}

async fn the_server_learns_nothing(shared: Shared) {
    let one = Replica::by(&shared, SecondTier::encrypted).await;
    one.told(false).await;
    one.done().await;
    // The response and the epochs of its route, its model and all entries.
    assert_eq!(shared.keys().len(), 4);
    for (server, key) in shared.keys() {
        let seen = [key.as_bytes(), &value(server, &key)].concat();
        for hidden in ["seven", "completions", "issuer.example", "router", HASHING] {
            let hidden = hidden.as_bytes();
            assert!(!seen.windows(hidden.len()).any(|window| window == hidden));
        }
        let left = server.wire().must(&format!("PTTL {key}")).number();
        assert!((1..=30 * 86_400_000).contains(&left), "{left}");
    }
}

async fn another_secret_finds_no_entry(shared: Shared) {
    let one = Replica::new(&shared).await;
    one.told(false).await;
    one.done().await;
    let other = SecondTier::new(one.tier.clone(), secret("another secret, of as many bytes"));
    let layer = CacheLayer::new("router", Scope::Identity).second_tier(other);
    let other = Replica { layer, tier: one.tier.clone(), calls: Arc::default() };
    other.told(false).await;
    assert_eq!(other.calls(), 1);
}

/// Evicts the response or one of its epochs.
async fn an_evicted_value_is_a_miss(shared: Shared) {
    let one = Replica::new(&shared).await;
    one.told(false).await;
    one.done().await;
    for (server, key) in shared.keys() {
        let other = Replica::new(&shared).await;
        other.told(false).await;
        assert_eq!(other.calls(), 0);
        server.wire().must(&format!("DEL {key}"));
        let other = Replica::new(&shared).await;
        other.told(false).await;
        assert_eq!(other.calls(), 1, "without {key}");
        other.done().await;
    }
}

/// One request waits for the timeout, and then the server is unavailable. A response that is
/// invalidated meanwhile does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_server_costs_one_timeout() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        let tier = RedisCache::single(secret(&server.address())).unwrap();
        let tier = tier.read_timeout(Duration::from_millis(500));
        let leased = |tier: SecondTier| tier.lease_timeout(Duration::from_secs(30));
        let mut replica = Replica::of(tier, leased).await;
        // The replica stores nothing in memory.
        replica.layer = replica.layer.memory(MemoryTier::new().max_bytes(0));
        // Another replica writes it, because a response without room in memory is not written.
        let other = RedisCache::single(secret(&server.address())).unwrap();
        let other = Replica::of(other.read_timeout(Duration::from_secs(10)), leased).await;
        other.told(false).await;
        other.done().await;
        assert_eq!((replica.told(false).await, replica.calls()), (JSON.1.into(), 0));
        server.hang();
        let asked = async {
            for number in 0..1_000 {
                replica.told(number % 2 == 0).await;
            }
        };
        timeout(Duration::from_secs(20), asked).await.expect("it takes too long");
        assert_eq!(replica.calls(), 1_000);
        replica.layer.invalidate_all();
        server.go_on();
        let end = Instant::now() + Duration::from_secs(20);
        while !replica.tier.remove([0; 32]).await {
            assert!(Instant::now() < end, "it is not there again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let before = replica.calls();
        for _ in 0..10 {
            replica.told(false).await;
        }
        assert_eq!(replica.calls() - before, 10);
    }
}

/// Requests do not wait for a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_costs_nothing() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        server.hang();
        let tier = RedisCache::single(secret(&server.address())).unwrap();
        let second = SecondTier::new(tier.read_timeout(Duration::from_secs(10)), secret(HASHING));
        let layer =
            CacheLayer::new("router", Scope::Identity).memory(MemoryTier::new().max_bytes(0));
        let layer = layer.second_tier(second.lease_timeout(Duration::from_secs(30)));
        let tier = RedisCache::single(secret(&server.address())).unwrap();
        let replica = Replica { layer, tier, calls: Arc::default() };
        let asked = async {
            for _ in 0..1_000 {
                replica.told(false).await;
            }
        };
        // Each timeout is ten seconds.
        timeout(Duration::from_secs(5), asked).await.expect("it takes too long");
        assert_eq!(replica.calls(), 1_000);
    }
}
