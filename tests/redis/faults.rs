//! Faults of a shared store. Each is noticed within the timeout, logged once, never lifts a limit, and
//! ends with its cause.

use std::time::{Duration, Instant};

use http::StatusCode;
use tower_inference::limits::{OutagePolicy, RedisStore};

use super::{
    gateway::{Gateway, HASHING, NAMESPACE, Shared, burst, passing, patient, secret},
    logged::{self, changes},
    proxy::Proxy,
    server::{Brand, Cluster, Server, until},
};

/// What every request of these tests may take, whatever is wrong: a thousand times the wait of a
/// request would be more than that, and so would any timeout of the client's own.
const PATIENCE: Duration = Duration::from_secs(20);

const WAIT: Duration = Duration::from_millis(100);

const LOCAL: OutagePolicy = OutagePolicy::Local { replicas: 2 };

const BOTH: [OutagePolicy; 2] = [LOCAL, OutagePolicy::Reject];

/// A replica with 20 permits for each caller, of which its share is 10.
fn gateway(address: &str, outage: OutagePolicy) -> Gateway {
    let store = RedisStore::single(secret(address), secret(HASHING)).unwrap();
    Gateway::new(burst(20), store.decision_timeout(WAIT).outage_policy(outage))
}

/// Sends requests until the server counts one.
async fn shares(gateway: &Gateway, server: &Server) {
    shares_by(gateway, || server.scripts()).await;
}

/// Asks until scripts are run for it, which takes five seconds at most.
async fn shares_by(gateway: &Gateway, scripts: impl Fn() -> u64) {
    let end = Instant::now() + Duration::from_secs(5);
    let mut counted = 0;
    for number in 0.. {
        let before = scripts();
        gateway.ask(&format!("shares-{number}")).await;
        // One alone may be the store's own probe, before it takes the server for there.
        counted = if scripts() > before { counted + 1 } else { 0 };
        if counted == 3 {
            return;
        }
        assert!(Instant::now() < end, "not shared again within 5 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asserts that the outage policy decides on 30 requests while the store is away.
async fn away(gateway: &Gateway, outage: OutagePolicy, caller: &str) {
    let asked = async {
        let mut passed = 0;
        for _ in 0..30 {
            match (gateway.ask(caller).await, outage) {
                ((StatusCode::OK, _), _) => passed += 1,
                ((StatusCode::TOO_MANY_REQUESTS, _), OutagePolicy::Local { .. }) => {}
                ((StatusCode::SERVICE_UNAVAILABLE, body), OutagePolicy::Reject) => {
                    assert!(body.contains("throttle-unavailable"), "{body}");
                }
                (answer, _) => panic!("{answer:?}"),
            }
        }
        passed
    };
    let passed = tokio::time::timeout(PATIENCE, asked).await.expect("decisions take too long");
    let share = if outage == LOCAL { 10 } else { 0 };
    assert_eq!(passed, share, "{outage:?}");
}

/// The whole life of one fault of one server: shared, away, shared again.
async fn survives<T>(
    server: &mut Server,
    address: &str,
    mut begin: impl FnMut(&mut Server) -> T,
    mut end: impl FnMut(&mut Server, T),
) {
    logged::listen();
    for outage in BOTH {
        let [first, second] = [(), ()].map(|()| gateway(address, outage));
        shares(&first, server).await;
        shares(&second, server).await;
        changes();
        let state = begin(server);
        away(&first, outage, "a").await;
        away(&second, outage, "a").await;
        let said = changes();
        assert_eq!(said.len(), 2, "one line for each of two stores: {said:?}");
        end(server, state);
        shares(&first, server).await;
        shares(&second, server).await;
        let said = changes();
        assert_eq!(said.len(), 2, "one line for each of two stores: {said:?}");
        let caller = if outage == LOCAL { "after-local" } else { "after-refusing" };
        let gateways = [first, second];
        let mut passed = 0;
        for gateway in gateways.iter().cycle().take(60) {
            passed += usize::from(gateway.passes(caller).await);
        }
        assert_eq!(passed, 20, "{outage:?}");
        server.wire().must("FLUSHALL");
    }
}

/// Runs each of these tests against each brand.
macro_rules! against_both {
    ($($test:ident)*) => {
        against_both!(redis Redis: $($test)*);
        against_both!(valkey Valkey: $($test)*);
    };
    ($module:ident $brand:ident: $($test:ident)*) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(super::Brand::$brand).await;
                }
            )*
        }
    };
}

against_both! {
    a_server_that_became_a_replica
    a_server_that_is_full
    a_server_that_asks_for_another_password
    a_user_who_may_no_more
    a_server_that_hangs
    a_server_that_crashes_and_starts_again
    a_server_whose_scripts_were_flushed_is_not_away
}

async fn a_server_whose_scripts_were_flushed_is_not_away(brand: Brand) {
    let Some(server) = brand.start() else { return };
    logged::listen();
    let store = RedisStore::single(secret(&server.address()), secret(HASHING)).unwrap();
    let gateway = Gateway::new(burst(20), patient(store));
    assert_eq!(gateway.passing("a", 5).await, 5);
    for _ in 0..5 {
        server.wire().must("SCRIPT FLUSH");
        assert!(gateway.passes("a").await);
    }
    assert_eq!(gateway.passing("a", 20).await, 10);
    assert!(server.scripts() >= 20, "all of it was counted there");
    assert!(changes().len() <= 1, "at most that it is there");
}

async fn a_server_that_became_a_replica(brand: Brand) {
    let Some(mut server) = brand.start() else { return };
    let address = server.address();
    let begin = |server: &mut Server| drop(server.wire().must("REPLICAOF 127.0.0.1 1"));
    let end = |server: &mut Server, ()| drop(server.wire().must("REPLICAOF NO ONE"));
    survives(&mut server, &address, begin, end).await;
}

async fn a_server_that_is_full(brand: Brand) {
    let Some(mut server) = brand.start() else { return };
    let address = server.address();
    let begin = |server: &mut Server| drop(server.wire().must("CONFIG SET maxmemory 1"));
    let end = |server: &mut Server, ()| drop(server.wire().must("CONFIG SET maxmemory 0"));
    survives(&mut server, &address, begin, end).await;
}

async fn a_server_that_asks_for_another_password(brand: Brand) {
    let Some(mut server) = brand.start() else { return };
    let address = server.address();
    let begin = |server: &mut Server| {
        let mut wire = server.wire();
        wire.must("CONFIG SET requirepass another-password");
        wire.must("CLIENT KILL TYPE normal SKIPME yes");
        wire
    };
    let end = |_: &mut Server, mut wire: super::wire::Wire| {
        wire.must("CONFIG SET requirepass ");
    };
    survives(&mut server, &address, begin, end).await;
}

async fn a_user_who_may_no_more(brand: Brand) {
    let Some(mut server) = brand.start() else { return };
    let user = format!("ACL SETUSER gateway reset on >password-in-clear ~{{{NAMESPACE}}}:* +@all");
    server.wire().must(&user);
    let address = format!("redis://gateway:password-in-clear@127.0.0.1:{}", server.port);
    let begin = |server: &mut Server| drop(server.wire().must("ACL SETUSER gateway -@all"));
    let end = |server: &mut Server, ()| drop(server.wire().must("ACL SETUSER gateway +@all"));
    survives(&mut server, &address, begin, end).await;
}

async fn a_server_that_hangs(brand: Brand) {
    let Some(mut server) = brand.start() else { return };
    let address = server.address();
    let begin = |server: &mut Server| server.hang();
    let end = |server: &mut Server, ()| server.go_on();
    survives(&mut server, &address, begin, end).await;
}

async fn a_server_that_crashes_and_starts_again(brand: Brand) {
    let Some(mut server) = brand.start() else { return };
    let address = server.address();
    let begin = |server: &mut Server| server.end();
    let end = |server: &mut Server, ()| server.begin();
    survives(&mut server, &address, begin, end).await;
}

#[tokio::test]
async fn a_stalled_connection() {
    let Some(mut server) = Brand::Redis.start() else { return };
    let proxy = Proxy::to(server.port).await;
    survives(&mut server, &proxy.address(), |_| proxy.stall(), |_, ()| proxy.go_on()).await;
}

#[tokio::test]
async fn a_cut_connection() {
    let Some(mut server) = Brand::Redis.start() else { return };
    let proxy = Proxy::to(server.port).await;
    let port = server.port;
    let end = |_: &mut Server, ()| proxy.point(Some(port));
    survives(&mut server, &proxy.address(), |_| proxy.point(None), end).await;
}

#[tokio::test]
async fn a_server_that_is_away_when_the_store_is_created() {
    logged::listen();
    for outage in BOTH {
        let Some(mut server) = Brand::Redis.start() else { return };
        server.end();
        changes();
        let gateway = gateway(&server.address(), outage);
        away(&gateway, outage, "a").await;
        assert_eq!(changes().len(), 1);
        server.begin();
        shares(&gateway, &server).await;
        assert_eq!(gateway.passing("b", 30).await, 20);
    }
}

#[tokio::test]
async fn a_promoted_replica_keeps_the_counts() {
    let Some(mut primary) = Brand::Redis.start() else { return };
    let Some(replica) = Brand::Redis.start() else { return };
    replica.wire().must(&format!("REPLICAOF 127.0.0.1 {}", primary.port));
    let proxy = Proxy::to(primary.port).await;
    let gateway = gateway(&proxy.address(), OutagePolicy::Reject);
    shares(&gateway, &primary).await;
    assert_eq!(gateway.passing("a", 15).await, 15);
    until("the replica has it all", 10, || {
        let told = |server: &Server, name: &str| {
            let state = server.wire().must("INFO replication").text();
            state.lines().find_map(|line| Some(line.strip_prefix(name)?.to_owned()))
        };
        let offset = told(&primary, "master_repl_offset:")?;
        (told(&replica, "slave_repl_offset:")? == offset).then_some(())
    });
    primary.end();
    away(&gateway, OutagePolicy::Reject, "a").await;
    replica.wire().must("REPLICAOF NO ONE");
    proxy.point(Some(replica.port));
    shares(&gateway, &replica).await;
    assert_eq!(gateway.passing("a", 30).await, 5, "fifteen were taken before");
}

fn clustered(cluster: &Cluster, outage: OutagePolicy) -> Gateway {
    let addresses = cluster.addresses();
    let addresses = addresses.iter().map(|address| secret(address));
    let store = RedisStore::cluster(addresses, secret(HASHING)).unwrap();
    Gateway::new(burst(20), store.decision_timeout(Duration::from_secs(2)).outage_policy(outage))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_slot_keeps_the_counts() {
    let Some(shared) = Shared::redis_cluster() else { return };
    let Shared::Cluster(cluster) = &shared else { return };
    let gateways = [(), ()].map(|()| clustered(cluster, OutagePolicy::Reject));
    assert_eq!(passing(&gateways, "a", 4).await, 8);
    cluster.move_slot_of(&format!("{{{NAMESPACE}}}"));
    for gateway in &gateways {
        shares_by(gateway, || cluster.scripts()).await;
    }
    assert_eq!(passing(&gateways, "a", 20).await, 12);
    assert_eq!(cluster.0.iter().filter(|node| !node.keys().is_empty()).count(), 1);
}

#[tokio::test]
async fn a_cluster_node_that_crashes_and_restarts() {
    logged::listen();
    for outage in BOTH {
        let Some(mut cluster) = Brand::Redis.cluster() else { return };
        let gateway = clustered(&cluster, outage);
        shares_by(&gateway, || cluster.scripts()).await;
        let holder = cluster.0.iter().position(|node| !node.keys().is_empty()).unwrap();
        cluster.0[holder].end();
        away(&gateway, outage, "a").await;
        cluster.0[holder].begin();
        until("the cluster is whole again", 20, || {
            let state = cluster.0[holder].wire().must("CLUSTER INFO").text();
            state.contains("cluster_state:ok").then_some(())
        });
        shares_by(&gateway, || cluster.0[holder].scripts()).await;
        assert_eq!(gateway.passing("b", 30).await, 20);
    }
}
