//! Replicas of a cache that share one server: whatever the server is, and whatever lies there.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, Service, ServiceExt as _};
use tower_inference::{
    cache::{CacheLayer, RedisCache, Scope, SecondTier, Tier as _},
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
    what_one_replica_was_answered_all_answer
    whatever_lies_there_is_a_miss
    replicas_that_ask_at_once_call_once
    what_one_invalidates_no_other_finds
}

/// Counts its calls.
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
            // So that those who ask at once ask while it is under way.
            tokio::task::yield_now().await;
            Ok(response)
        })
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send>>;

/// A replica before an upstream that counts its calls, and what it keeps.
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
        // Long enough for a machine that is busy with other things.
        Self::of(tier.unwrap().wait(Duration::from_secs(10)), set).await
    }

    async fn of(tier: RedisCache, set: impl Fn(SecondTier) -> SecondTier) -> Self {
        // Until it has connected, nothing is found.
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

    /// All that it has told the server is done.
    async fn done(&self) {
        assert!(self.tier.remove([0; 32]).await);
    }
}

const JSON: (&str, &str) = ("application/json", r#"{"choices":[{"text":"seven"}]}"#);
const STREAM: &str = "data: {\"choices\":[{\"text\":\"seven\"}]}\n\ndata: [DONE]\n\n";

async fn what_one_replica_was_answered_all_answer(shared: Shared) {
    let one = Replica::by(&shared, SecondTier::encrypted).await;
    assert_eq!(one.told(false).await, JSON.1);
    assert_eq!(one.told(true).await, STREAM);
    one.done().await;
    // What is encrypted and what is not is read by both.
    for other in [Replica::new(&shared).await, Replica::by(&shared, SecondTier::encrypted).await] {
        assert_eq!(other.told(false).await, JSON.1);
        assert_eq!(other.told(true).await, STREAM);
        assert_eq!(other.calls(), 0);
    }
}

/// What there is in place of a value, and another.
type Spoil = fn(&[u8], &[u8]) -> Vec<u8>;

/// Under each key there is: nothing, less, more, another bit, what belongs under another, and what
/// somebody else made.
async fn whatever_lies_there_is_a_miss(shared: Shared) {
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
            // The server shows no difference between this and nothing; it ends by its time.
            continue;
        }
        // The first has put it right, for the second.
        other.done().await;
        let another = Replica::new(&shared).await;
        assert_eq!(another.told(true).await, STREAM);
        assert_eq!(another.calls(), 0);
    }
}

fn value(server: &Server, key: &str) -> Vec<u8> {
    server.wire().must(&format!("GET {key}")).bytes()
}

async fn replicas_that_ask_at_once_call_once(shared: Shared) {
    let leased = |tier: SecondTier| tier.lease(Duration::from_secs(20));
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

async fn what_one_invalidates_no_other_finds(shared: Shared) {
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

/// Of a server that hangs, one request waits for what it has been given to wait, and then it is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_a_miss() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        let tier = RedisCache::single(secret(&server.address())).unwrap();
        let replica = Replica::of(tier, |tier| tier).await;
        let mut wire = server.wire();
        // It answers nobody for a minute.
        wire.must("CLIENT PAUSE 60000 ALL");
        for _ in 0..20 {
            assert_eq!(replica.told(false).await, JSON.1);
            assert_eq!(replica.told(true).await, STREAM);
            replica.layer.invalidate_all();
        }
        assert_eq!(replica.calls(), 40);
        drop(wire);
    }
}
