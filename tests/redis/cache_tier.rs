//! `RedisCache` as a tier.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tower_inference::cache::{LeaseResult, RedisCache, RedisError, Tier};

use super::{
    gateway::{Shared, secret},
    logged,
    server::{Brand, Server, until},
    shared::against_each,
    wire::{Reply, Wire},
};

const NAMESPACE: &str = "tower-inference-cache";
const MINUTE: Duration = Duration::from_secs(60);
const KEY: [u8; 32] = [0xab; 32];

against_each! {
    values_are_shared
    keys_and_namespaces_are_separate
    keys_are_spread_and_expire
    put_new_does_not_replace
    a_removed_value_is_not_found
    writes_keep_their_order
    a_lease_has_one_holder
    only_the_holder_releases_a_lease
    a_lease_expires
    a_value_of_another_type_is_missing
    reads_are_bounded
    foreign_values_are_returned_unchanged
}

/// Waits long enough for a busy machine.
fn patient(cache: RedisCache) -> RedisCache {
    cache.read_timeout(Duration::from_secs(10))
}

fn single(address: &str) -> RedisCache {
    RedisCache::single(secret(address)).unwrap()
}

/// Waits for the connection. The cache finds nothing before.
async fn ready(cache: RedisCache) -> RedisCache {
    assert!(cache.remove([0; 32]).await);
    cache
}

async fn replica(shared: &Shared) -> RedisCache {
    ready(anew(shared)).await
}

fn anew(shared: &Shared) -> RedisCache {
    patient(match shared {
        Shared::Single(server) => single(&server.address()),
        Shared::Cluster(cluster) => {
            let addresses = cluster.addresses();
            RedisCache::cluster(addresses.iter().map(|address| secret(address))).unwrap()
        }
    })
}

/// Returns the server of a key and the name of the key there.
fn holder(shared: &Shared, key: [u8; 32]) -> (Wire, String) {
    let name = name(key);
    let has = |server: &&Server| server.keys().contains(&name);
    (shared.servers().iter().find(has).unwrap().wire(), name)
}

fn name(key: [u8; 32]) -> String {
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{NAMESPACE}:v1:{digits}")
}

fn key(number: u8) -> [u8; 32] {
    [number; 32]
}

async fn put(cache: &RedisCache, key: [u8; 32], value: &'static [u8]) -> bool {
    cache.put(key, Bytes::from_static(value), MINUTE).await
}

async fn is(cache: &RedisCache, key: [u8; 32], value: &[u8]) -> bool {
    cache.get(key).await.as_deref() == Some(value)
}

async fn values_are_shared(shared: Shared) {
    let [one, other] = [replica(&shared).await, replica(&shared).await];
    assert_eq!(one.get(KEY).await, None);
    assert!(put(&one, KEY, b"first").await && is(&other, KEY, b"first").await);
    assert!(put(&other, KEY, b"second\0\xff").await && is(&one, KEY, b"second\0\xff").await);
    assert_eq!(one.get(key(1)).await, None);
}

async fn keys_and_namespaces_are_separate(shared: Shared) {
    let one = replica(&shared).await;
    let other = ready(anew(&shared).namespace("another")).await;
    put(&one, KEY, b"one").await;
    assert_eq!(other.get(KEY).await, None);
    put(&other, KEY, b"other").await;
    assert!(is(&one, KEY, b"one").await && is(&other, KEY, b"other").await);
}

async fn keys_are_spread_and_expire(shared: Shared) {
    let cache = replica(&shared).await;
    for number in 0..30 {
        assert!(put(&cache, key(number), b"value").await);
        assert_eq!(cache.lease(key(number), [7; 16], MINUTE).await, LeaseResult::Granted);
    }
    for server in shared.servers() {
        let keys = server.keys();
        assert!(keys.len() >= 5, "{keys:?}");
        for key in keys {
            let digits = key.strip_prefix(&format!("{NAMESPACE}:v1:")).unwrap();
            let digits = digits.strip_prefix("lease:").unwrap_or(digits);
            assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let left = server.wire().must(&format!("PTTL {key}")).number();
            assert!((1..=60_000).contains(&left), "{key}: {left}");
        }
    }
}

async fn put_new_does_not_replace(shared: Shared) {
    let cache = replica(&shared).await;
    let new = |value| cache.put_new(KEY, Bytes::from_static(value), MINUTE);
    assert!(new(b"first").await);
    assert!(!new(b"second").await);
    assert!(is(&cache, KEY, b"first").await);
}

async fn a_removed_value_is_not_found(shared: Shared) {
    let cache = replica(&shared).await;
    put(&cache, KEY, b"value").await;
    assert!(cache.remove(KEY).await);
    assert_eq!(cache.get(KEY).await, None);
    assert!(cache.remove(KEY).await, "nothing is there");
    assert!(shared.keys().is_empty());
}

async fn writes_keep_their_order(shared: Shared) {
    let cache = replica(&shared).await;
    for _ in 0..20 {
        drop(cache.put(KEY, Bytes::from_static(b"value"), MINUTE));
        drop(cache.remove(KEY));
    }
    assert!(cache.put(KEY, Bytes::from_static(b"last"), MINUTE).await);
    assert!(is(&cache, KEY, b"last").await);
    drop(cache.put(KEY, Bytes::from_static(b"value"), MINUTE));
    assert!(cache.remove(KEY).await);
    assert_eq!(cache.get(KEY).await, None);
}

async fn a_lease_has_one_holder(shared: Shared) {
    let replicas = [(); 3].map(|()| anew(&shared));
    for replica in &replicas {
        ready(replica.clone()).await;
    }
    let mut running = tokio::task::JoinSet::new();
    for number in 0..60 {
        let replica = replicas[usize::from(number) % 3].clone();
        running.spawn(async move { replica.lease(KEY, [number; 16], MINUTE).await });
    }
    let won = running.join_all().await.into_iter().filter(|leased| *leased == LeaseResult::Granted);
    assert_eq!(won.count(), 1);
}

async fn only_the_holder_releases_a_lease(shared: Shared) {
    let [one, other] = [replica(&shared).await, replica(&shared).await];
    assert_eq!(one.lease(KEY, [1; 16], MINUTE).await, LeaseResult::Granted);
    assert_eq!(one.get(KEY).await, None, "it is no value");
    other.release(KEY, [2; 16]);
    // A later write is done after it.
    assert!(put(&other, KEY, b"value").await);
    assert_eq!(other.lease(KEY, [2; 16], MINUTE).await, LeaseResult::Taken);
    one.release(KEY, [1; 16]);
    assert!(put(&one, KEY, b"value").await);
    assert_eq!(other.lease(KEY, [2; 16], MINUTE).await, LeaseResult::Granted);
}

async fn a_lease_expires(shared: Shared) {
    let [one, other] = [replica(&shared).await, replica(&shared).await];
    let short = Duration::from_millis(30);
    assert_eq!(one.lease(KEY, [1; 16], short).await, LeaseResult::Granted);
    drop(one);
    let end = Instant::now() + Duration::from_secs(10);
    while other.lease(KEY, [2; 16], MINUTE).await == LeaseResult::Taken {
        assert!(Instant::now() < end, "still taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn a_value_of_another_type_is_missing(shared: Shared) {
    logged::listen();
    let cache = replica(&shared).await;
    put(&cache, KEY, b"value").await;
    for command in ["LPUSH", "SADD", "PFADD"] {
        let (mut wire, name) = holder(&shared, KEY);
        wire.must(&format!("DEL {name}"));
        wire.must(&format!("{command} {name} element"));
        if command == "PFADD" {
            // This type reads as a string.
            assert!(cache.get(KEY).await.unwrap().starts_with(b"HYLL"));
        } else {
            assert_eq!(cache.get(KEY).await, None, "{command}");
        }
        // The server is still available.
        assert!(put(&cache, key(1), b"other").await && is(&cache, key(1), b"other").await);
        assert!(put(&cache, KEY, b"again").await && is(&cache, KEY, b"again").await);
    }
    assert_eq!(logged::changes(), [""; 0]);
}

async fn reads_are_bounded(shared: Shared) {
    let [cache, generous] = [1_000, 10_000_000].map(|limit| anew(&shared).max_entry_bytes(limit));
    ready(cache.clone()).await;
    assert_eq!((cache.max_value_bytes(), generous.max_value_bytes()), (1_000, 10_000_000));
    for (length, fits) in [(999, true), (1_000, true), (1_001, false), (5_000_000, false)] {
        let value = Bytes::from(vec![b'x'; length]);
        assert!(generous.put(KEY, value.clone(), MINUTE).await);
        assert_eq!(generous.get(KEY).await.map(|value| value.len()), Some(length));
        let before = sent(&shared);
        assert_eq!(cache.get(KEY).await.is_some(), fits, "{length}");
        assert!(sent(&shared) - before < 20_000, "no more than that has come");
        assert_eq!(cache.put(key(1), value, MINUTE).await, fits, "{length}");
    }
}

/// Returns the bytes that the servers have sent.
fn sent(shared: &Shared) -> i64 {
    let of = |server: &Server| {
        let statistics = server.wire().must("INFO stats").text();
        let line = statistics.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        line.unwrap().trim().parse::<i64>().unwrap()
    };
    shared.servers().iter().map(of).sum()
}

async fn foreign_values_are_returned_unchanged(shared: Shared) {
    let cache = replica(&shared).await;
    put(&cache, KEY, b"value").await;
    let (mut wire, name) = holder(&shared, KEY);
    for value in [&b"\r\n$-1\r\n"[..], b"\0", &[0xff; 1_000]] {
        let reply = wire.try_ask(&[b"SET", name.as_bytes(), value]).unwrap();
        assert_eq!(reply, Reply::Line("OK".into()));
        assert!(is(&cache, KEY, value).await);
    }
    wire.try_ask(&[b"SET", name.as_bytes(), b""]).unwrap();
    assert_eq!(cache.get(KEY).await, None);
}

/// The maximum time of all reads: a hundredth of their timeouts.
const PATIENCE: Duration = Duration::from_secs(20);
const WAIT: Duration = Duration::from_millis(500);

/// Nothing is found, each lease is granted and only one read waits.
async fn is_away(cache: &RedisCache) {
    let asked = async {
        // The first use of a forbidden command notices it.
        cache.release(KEY, [1; 16]);
        let _perhaps = (cache.remove(KEY).await, put(cache, KEY, b"value").await);
        for _ in 0..1_000 {
            assert_eq!(cache.get(KEY).await, None);
            assert_eq!(cache.lease(KEY, [1; 16], MINUTE).await, LeaseResult::Granted);
            assert_eq!(cache.lease(KEY, [2; 16], MINUTE).await, LeaseResult::Granted);
        }
        assert!(!put(cache, KEY, b"value").await);
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("it takes too long");
}

async fn is_available_again(cache: &RedisCache) {
    let end = Instant::now() + PATIENCE;
    while !put(cache, key(9), b"again").await || !is(cache, key(9), b"again").await {
        assert!(Instant::now() < end, "not there again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Takes the server through a fault and back.
async fn survives(brand: Brand, begin: impl AsyncFn(&mut Server), end: impl AsyncFn(&mut Server)) {
    let Some(mut server) = brand.start() else { return };
    logged::listen();
    server.wire().must("ACL SETUSER gateway reset on >password-in-clear ~* +@all");
    let address = format!("redis://gateway:password-in-clear@127.0.0.1:{}", server.port);
    let cache = single(&address).read_timeout(WAIT);
    is_available_again(&cache).await;
    assert!(logged::changes().is_empty());
    begin(&mut server).await;
    is_away(&cache).await;
    let said = logged::changes();
    assert_eq!(said.len(), 1, "{said:?}");
    end(&mut server).await;
    is_available_again(&cache).await;
    let said = logged::changes();
    assert_eq!(said.len(), 1, "{said:?}");
}

#[tokio::test]
async fn a_hanging_server() {
    for brand in [Brand::Redis, Brand::Valkey] {
        survives(brand, async |server| server.hang(), async |server| server.go_on()).await;
    }
}

#[tokio::test]
async fn a_forbidding_server() {
    for brand in [Brand::Redis, Brand::Valkey] {
        for command in ["getrange", "set", "del", "evalsha", "script|load"] {
            let of = async |server: &mut Server, sign| {
                server.wire().must(&format!("ACL SETUSER gateway {sign}{command}"));
                server.wire().must("SCRIPT FLUSH");
                // Its use notices it, and so does a new connection.
                server.wire().must("CLIENT KILL USER gateway");
            };
            let begin = async |server: &mut Server| of(server, '-').await;
            survives(brand, begin, async |server| of(server, '+').await).await;
        }
    }
}

#[tokio::test]
async fn a_full_server() {
    let begin = async |server: &mut Server| drop(server.wire().must("CONFIG SET maxmemory 1"));
    let end = async |server: &mut Server| drop(server.wire().must("CONFIG SET maxmemory 0"));
    let begin = async |server: &mut Server| {
        begin(server).await;
        server.wire().must("CLIENT KILL USER gateway");
    };
    survives(Brand::Redis, begin, end).await;
}

#[tokio::test]
async fn a_server_that_became_a_replica() {
    let begin = async |server: &mut Server| {
        server.wire().must("REPLICAOF 127.0.0.1 1");
        server.wire().must("CLIENT KILL USER gateway");
    };
    let end = async |server: &mut Server| drop(server.wire().must("REPLICAOF NO ONE"));
    survives(Brand::Redis, begin, end).await;
}

#[tokio::test]
async fn a_server_that_crashes_and_starts_again() {
    let end = async |server: &mut Server| {
        server.begin();
        server.wire().must("ACL SETUSER gateway reset on >password-in-clear ~* +@all");
    };
    survives(Brand::Redis, async |server| server.end(), end).await;
}

#[tokio::test]
async fn a_server_that_was_never_there() {
    let Some(mut server) = Brand::Redis.start() else { return };
    logged::listen();
    server.end();
    let cache = single(&server.address()).read_timeout(WAIT);
    is_away(&cache).await;
    server.begin();
    is_available_again(&cache).await;
    assert_eq!(logged::changes().len(), 2);
}

/// A write without room in the queue fails at once.
#[tokio::test]
async fn queued_writes_are_bounded() {
    let Some(server) = Brand::Redis.start() else { return };
    let cache = single(&server.address()).read_timeout(Duration::from_secs(60));
    is_available_again(&cache).await;
    server.hang();
    let value = |length: usize| Bytes::from(vec![0; length]);
    let mut refused = 0;
    let mut waiting = Vec::new();
    for number in 0..200_u8 {
        let mut told = cache.put(key(number), value(1 << 20), MINUTE);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match told.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(done) => {
                assert!(!done);
                refused += 1;
            }
            std::task::Poll::Pending => waiting.push(told),
        }
        tokio::task::yield_now().await;
    }
    // One write is in progress, and sixteen are queued.
    assert!((183..=184).contains(&refused), "{refused}");
    server.go_on();
    for told in waiting {
        assert!(told.await);
    }
}

/// The commands are those of the documentation.
const ENOUGH: &str = "+get +getrange +set +del +evalsha +script|load";

#[tokio::test]
async fn the_documented_access_list_suffices() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        logged::listen();
        let mut wire = server.wire();
        wire.must(&format!(
            "ACL SETUSER gateway reset on >password-in-clear ~{NAMESPACE}:* {ENOUGH}"
        ));
        wire.must("ACL SETUSER default off");
        let address = format!("redis://gateway:password-in-clear@127.0.0.1:{}", server.port);
        let cache = ready(patient(single(&address))).await;
        assert!(put(&cache, KEY, b"value").await && is(&cache, KEY, b"value").await);
        assert_eq!(cache.lease(KEY, [1; 16], MINUTE).await, LeaseResult::Granted);
        assert_eq!(cache.lease(KEY, [2; 16], MINUTE).await, LeaseResult::Taken);
        cache.release(KEY, [1; 16]);
        assert!(cache.remove(KEY).await);
        // Through the administrator's connection. The default user cannot connect any more.
        assert_eq!(wire.must("KEYS *").list(), []);
        let seen = format!("{cache:?} {}", logged::taken().concat());
        assert!(!seen.contains("password-in-clear"), "{seen}");
        let elsewhere = patient(single(&address)).namespace("elsewhere");
        assert!(!put(&elsewhere, KEY, b"value").await);
        assert_eq!(elsewhere.get(KEY).await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_keeps_its_values() {
    for shared in [Shared::redis_cluster(), Shared::valkey_cluster()] {
        let Some(shared) = shared else { continue };
        let Shared::Cluster(cluster) = &shared else { continue };
        let cache = replica(&shared).await;
        put(&cache, KEY, b"value").await;
        cluster.move_slot_of(&name(KEY));
        until("it is found where it went", 10, || {
            let found = is(&cache, KEY, b"value");
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(found))
                .then_some(())
        });
        assert!(put(&cache, KEY, b"other").await && is(&cache, KEY, b"other").await);
    }
}

#[test]
fn invalid_addresses_are_errors() {
    let single = |address: &str| RedisCache::single(secret(address)).unwrap_err();
    assert!(matches!(single("not an address"), RedisError::Address(_)));
    assert_eq!(single("rediss://localhost/#insecure"), RedisError::Insecure);
    assert_eq!(RedisCache::cluster([]).unwrap_err(), RedisError::Address("there is none"));
    let cache = RedisCache::single(secret("rediss://localhost")).unwrap();
    let error = cache.root_certificates(b"none").unwrap_err();
    assert!(matches!(error, RedisError::Certificate(_)), "{error}");
}
