//! The same with real servers behind it, whose values are changed by the raw protocol.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "shared with the tests of the crate's public face"
)]

#[path = "../../../tests/redis/server.rs"]
mod server;
#[path = "../../../tests/redis/wire.rs"]
mod wire;

use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use self::{
    server::{Brand, Cluster, Server},
    wire::{Reply, Wire},
};
use super::{
    tests::{Replica, TAGS, at, replica},
    *,
};
use crate::{cache::RedisCache, secret::Secret};

/// One server or more, that tests ask alike.
struct Shared(Vec<Server>);

/// What no server may ever show.
const SECRET: &str = "secret-0123456789abcdef-0123456789abcdef";
const BODY: &str = "completion-in-clear";

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

impl Shared {
    fn redis() -> Option<Self> {
        Some(Self(vec![Brand::Redis.start()?]))
    }

    fn valkey() -> Option<Self> {
        Some(Self(vec![Brand::Valkey.start()?]))
    }

    fn redis_cluster() -> Option<Self> {
        Brand::Redis.cluster().map(|Cluster(nodes)| Self(nodes))
    }

    fn valkey_cluster() -> Option<Self> {
        Brand::Valkey.cluster().map(|Cluster(nodes)| Self(nodes))
    }

    /// Waits long enough for a machine that is busy with other things.
    fn cache(&self) -> RedisCache {
        let addresses = self.0.iter().map(|server| secret(&server.address()));
        let cache = match &self.0[..] {
            [server] => RedisCache::single(secret(&server.address())),
            _ => RedisCache::cluster(addresses),
        };
        cache.unwrap().wait(Duration::from_secs(10))
    }

    /// All that is there, as it came.
    fn all(&self) -> Vec<(String, Vec<u8>)> {
        let of = |server: &Server| {
            let mut wire = server.wire();
            let keys = server.keys().into_iter();
            keys.map(|key| (key.clone(), wire.must(&format!("GET {key}")).bytes()))
                .collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// The answer: the longest there is.
    fn answer(&self) -> (String, Vec<u8>) {
        self.all().into_iter().max_by_key(|(_, value)| value.len()).unwrap()
    }

    fn wire_of(&self, key: &str) -> Wire {
        self.0.iter().find(|server| server.keys().iter().any(|other| other == key)).unwrap().wire()
    }

    fn set(&self, key: &str, value: &[u8]) {
        let mut wire = self.wire_of(key);
        let reply = wire.try_ask(&[b"SET", key.as_bytes(), value, b"KEEPTTL"]).unwrap();
        assert_eq!(reply, Reply::Line("OK".into()));
    }
}

/// A replica, and what shares its connection.
async fn with(
    settings: impl Fn(SecondTier) -> SecondTier,
    shared: &Shared,
) -> (Replica, RedisCache) {
    let cache = shared.cache();
    // Until it has connected, nothing is found.
    done(&cache).await;
    let tier = settings(SecondTier::new(cache.clone(), secret(SECRET)));
    (replica(&tier, 10), cache)
}

async fn simple(shared: &Shared) -> (Replica, RedisCache) {
    with(|settings| settings, shared).await
}

/// All that was begun before is done.
async fn done(cache: &RedisCache) {
    assert!(cache.remove([0; 32]).await);
}

async fn keep(replica: &Replica, cache: &RedisCache, name: &str) {
    replica.turn(name).await.keep(&replica.entry(BODY, &TAGS));
    done(cache).await;
}

/// Runs each of these tests against each kind of server.
macro_rules! against_each {
    ($($test:ident)*) => {
        against_each!(redis: $($test)*);
        against_each!(redis_cluster: $($test)*);
        against_each!(valkey: $($test)*);
        against_each!(valkey_cluster: $($test)*);
    };
    ($server:ident: $($test:ident)*) => {
        mod $server {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if let Some(shared) = super::Shared::$server() {
                        super::$test(shared).await;
                    }
                }
            )*
        }
    };
}

against_each! {
    what_one_replica_keeps_another_finds
    the_server_is_shown_nothing
    whatever_is_put_there_is_nothing
    values_that_changed_places_are_nothing
    another_secret_finds_nothing
    what_one_invalidates_no_one_finds
    what_was_evicted_is_missed_and_no_more
    one_replica_of_all_asks
}

async fn what_one_replica_keeps_another_finds(shared: Shared) {
    let [(one, cache), (other, _)] = [simple(&shared).await, simple(&shared).await];
    assert!(!other.finds("a").await);
    keep(&one, &cache, "a").await;
    let Looked::Found(entry) = other.look_by("a", &TAGS).await else { panic!("not found") };
    assert_eq!(entry.pieces[..], [BODY]);
    assert!(!other.finds("b").await);
    let (key, _) = shared.answer();
    let left = shared.wire_of(&key).must(&format!("PTTL {key}")).number();
    assert!((1..=120_000).contains(&left), "{left}");
}

async fn the_server_is_shown_nothing(shared: Shared) {
    let (replica, cache) = with(SecondTier::encrypted, &shared).await;
    keep(&replica, &cache, "name-in-clear").await;
    assert_eq!(shared.all().len(), 4);
    for (key, value) in shared.all() {
        let seen = [key.as_bytes(), &value].concat();
        for hidden in [BODY, SECRET, "name-in-clear"] {
            let hidden = hidden.as_bytes();
            assert!(!seen.windows(hidden.len()).any(|window| window == hidden));
        }
    }
}

async fn whatever_is_put_there_is_nothing(shared: Shared) {
    let both: [fn(SecondTier) -> SecondTier; 2] = [|settings| settings, SecondTier::encrypted];
    for settings in both {
        let (replica, cache) = with(settings, &shared).await;
        keep(&replica, &cache, "a").await;
        let (key, value) = shared.answer();
        for byte in 0..value.len() {
            let mut spoilt = value.clone();
            spoilt[byte] ^= 0x40;
            shared.set(&key, &spoilt);
            assert!(!replica.finds("a").await, "byte {byte}");
            shared.set(&key, &value[..byte]);
            assert!(!replica.finds("a").await, "cut at {byte}");
        }
        let long = vec![1; 3 << 20];
        for hostile in [&b"\x01\x00"[..], b"\x01\x01", b"{}", &[0xff; 4_096], &long] {
            shared.set(&key, hostile);
            assert!(!replica.finds("a").await);
        }
        shared.set(&key, &value);
        assert!(replica.finds("a").await);
        let mut wire = shared.wire_of(&key);
        wire.must(&format!("DEL {key}"));
        wire.must(&format!("RPUSH {key} a b"));
        assert!(!replica.finds("a").await);
        keep(&replica, &cache, "a").await;
        assert!(replica.finds("a").await, "it is written over");
        assert!(cache.remove(replica.second.0.seal.entry(at("a"))).await);
    }
}

async fn values_that_changed_places_are_nothing(shared: Shared) {
    let (replica, cache) = simple(&shared).await;
    keep(&replica, &cache, "a").await;
    let (of_a, a) = shared.answer();
    keep(&replica, &cache, "b").await;
    let all = shared.all();
    let (of_b, b) = all.iter().find(|(key, value)| *key != of_a && value.len() == a.len()).unwrap();
    shared.set(&of_a, b);
    shared.set(of_b, &a);
    assert!(!replica.finds("a").await && !replica.finds("b").await);
    // An answer in the place of an epoch, which is then made anew.
    let (epoch, _) = all.iter().find(|(_, value)| value.len() < a.len()).unwrap();
    shared.set(&of_a, &a);
    assert!(replica.finds("a").await);
    shared.set(epoch, &a);
    assert!(!replica.finds("a").await);
    keep(&replica, &cache, "a").await;
    assert!(replica.finds("a").await);
}

async fn another_secret_finds_nothing(shared: Shared) {
    let (one, cache) = simple(&shared).await;
    keep(&one, &cache, "a").await;
    let (of_one, value) = shared.answer();
    let of_other = shared.cache();
    done(&of_other).await;
    let tier = SecondTier::new(of_other.clone(), secret("another secret"));
    let other = replica(&tier, 10);
    assert!(!other.finds("a").await);
    keep(&other, &of_other, "a").await;
    let name = other.second.0.seal.entry(at("a"));
    assert!(cache.put(name, value.into(), Duration::from_secs(60)).await);
    assert!(!other.finds("a").await, "not under its own name either");
    assert!(one.finds("a").await);
    assert!(!shared.wire_of(&of_one).must(&format!("GET {of_one}")).bytes().is_empty());
}

async fn what_one_invalidates_no_one_finds(shared: Shared) {
    type Forget = fn(&Second);
    let ways: [Forget; 4] = [
        |second| second.forget(at("a").0),
        |second| second.forget_all(Some(TAGS[0])),
        |second| second.forget_all(Some(TAGS[1])),
        |second| second.forget_all(None),
    ];
    let [(one, cache), (other, of_other)] = [simple(&shared).await, simple(&shared).await];
    for (number, forget) in ways.into_iter().enumerate() {
        keep(&one, &cache, "a").await;
        assert!(other.finds("a").await);
        let under_way = format!("under way {number}");
        let turn = one.turn(&under_way).await;
        forget(&other.second);
        done(&of_other).await;
        turn.keep(&one.entry(BODY, &TAGS));
        done(&cache).await;
        let (third, _) = simple(&shared).await;
        assert!(!one.finds("a").await && !other.finds("a").await && !third.finds("a").await);
        // What is under way by that key, the layer does not bring.
        assert_eq!(third.finds(&under_way).await, number == 0);
    }
}

async fn what_was_evicted_is_missed_and_no_more(shared: Shared) {
    let (replica, cache) = simple(&shared).await;
    keep(&replica, &cache, "a").await;
    let all = shared.all();
    assert_eq!(all.len(), 4, "an answer, and the epochs of all and of two tags");
    for (key, _) in all {
        assert!(replica.finds("a").await);
        shared.wire_of(&key).must(&format!("DEL {key}"));
        assert!(!replica.finds("a").await, "without {key}");
        keep(&replica, &cache, "a").await;
    }
}

async fn one_replica_of_all_asks(shared: Shared) {
    let leased = |settings: SecondTier| settings.lease(Duration::from_secs(30));
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(Arc::new(with(leased, &shared).await));
    }
    // There before, so that all begin in the same one.
    keep(&replicas[0].0, &replicas[0].1, "epochs").await;
    let mut looking = JoinSet::new();
    for number in 0..30 {
        let replica = Arc::clone(&replicas[number % 3]);
        looking.spawn(async move {
            match replica.0.look_by("a", &TAGS).await {
                Looked::Found(entry) => {
                    assert_eq!(entry.pieces[..], [BODY]);
                    false
                }
                Looked::Nothing(turn) => {
                    // As long as an upstream takes for it.
                    sleep(Duration::from_millis(120)).await;
                    turn.keep(&replica.0.entry(BODY, &TAGS));
                    true
                }
            }
        });
    }
    let asked = looking.join_all().await.into_iter().filter(|asked| *asked).count();
    assert_eq!(asked, 1);
    for replica in &replicas {
        done(&replica.1).await;
    }
    let leases = shared.all().into_iter().filter(|(key, _)| key.contains(":lease:"));
    assert_eq!(leases.count(), 0, "all are given back");
}

/// It costs each request the wait at most, and the first of them only.
#[tokio::test]
async fn a_server_that_hangs_costs_the_wait_once() {
    for shared in [Shared::redis(), Shared::valkey()].into_iter().flatten() {
        let cache = shared.cache().wait(Duration::from_millis(500));
        let tier = SecondTier::new(cache.clone(), secret(SECRET)).lease(Duration::from_secs(30));
        let replica = replica(&tier, 10);
        done(&cache).await;
        keep(&replica, &cache, "a").await;
        assert!(replica.finds("a").await);
        shared.0[0].hang();
        let looks = async {
            for number in 0..1_000 {
                replica.turn(if number % 2 == 0 { "a" } else { "b" }).await;
            }
        };
        timeout(Duration::from_secs(20), looks).await.expect("it takes too long");
        // What is invalidated meanwhile does not come back with the server.
        replica.second.forget_all(None);
        shared.0[0].go_on();
        let end = Instant::now() + Duration::from_secs(20);
        while !cache.put([1; 32], Bytes::from_static(b"x"), Duration::from_secs(9)).await {
            assert!(Instant::now() < end, "it is not there again");
            sleep(Duration::from_millis(20)).await;
        }
        for _ in 0..10 {
            assert!(!replica.finds("a").await);
            done(&cache).await;
        }
        assert!(replica.second.0.forgotten.lock().names.is_empty(), "it was told");
        keep(&replica, &cache, "a").await;
        assert!(replica.finds("a").await);
    }
}

/// Not even while it is not known whether there is one.
#[tokio::test]
async fn a_server_that_never_answers_costs_nothing() {
    for shared in [Shared::redis(), Shared::valkey()].into_iter().flatten() {
        shared.0[0].hang();
        let tier = SecondTier::new(shared.cache(), secret(SECRET)).lease(Duration::from_secs(30));
        let replica = replica(&tier, 10);
        let looks = async {
            for _ in 0..1_000 {
                replica.turn("a").await;
            }
        };
        // Each wait would be of ten seconds.
        timeout(Duration::from_secs(5), looks).await.expect("it takes too long");
    }
}
