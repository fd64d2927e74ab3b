//! Tests of the test servers themselves.

use super::{
    proxy::Proxy,
    server::{Brand, until},
    wire::{Reply, Wire},
};

const WRITING: &str = "return redis.call('SET',KEYS[1],ARGV[1])";

fn refusal(reply: Reply) -> String {
    match reply {
        Reply::Error(error) => error,
        other => panic!("not refused: {other:?}"),
    }
}

fn write(wire: &mut Wire) -> Reply {
    wire.try_ask(&[b"EVAL", WRITING.as_bytes(), b"1", b"{a}:v1:0", b"1"]).unwrap()
}

fn runs_scripts_and_counts_them(brand: Brand) {
    let Some(server) = brand.start() else { return };
    assert_eq!(write(&mut server.wire()), Reply::Line("OK".into()));
    assert_eq!(server.scripts(), 1);
    assert_eq!(server.keys(), ["{a}:v1:0"]);
    assert_eq!(server.value("{a}:v1:0"), b"1");
}

#[test]
fn redis_runs_scripts_and_counts_them() {
    runs_scripts_and_counts_them(Brand::Redis);
}

#[test]
fn valkey_runs_scripts_and_counts_them() {
    runs_scripts_and_counts_them(Brand::Valkey);
}

#[test]
fn servers_refuse_scripts_when_full_and_when_replicas() {
    let Some(server) = Brand::Redis.start() else { return };
    let mut wire = server.wire();
    wire.must("CONFIG SET maxmemory 1");
    assert!(refusal(write(&mut wire)).starts_with("OOM"));
    wire.must("CONFIG SET maxmemory 0");
    wire.must("REPLICAOF 127.0.0.1 1");
    assert!(refusal(write(&mut wire)).contains("READONLY"));
    wire.must("REPLICAOF NO ONE");
    assert_eq!(write(&mut wire), Reply::Line("OK".into()));
    assert_eq!(server.scripts(), 1, "refused scripts are not counted");
}

#[test]
fn a_stopped_server_restarts_at_its_address() {
    let Some(mut server) = Brand::Redis.start() else { return };
    write(&mut server.wire());
    server.end();
    assert!(Wire::open(server.port).is_err());
    server.begin();
    assert!(server.keys().is_empty());
}

#[test]
fn a_cluster_moves_its_slots() {
    let Some(cluster) = Brand::Redis.cluster() else { return };
    let holder = || {
        until("a node answers", 10, || {
            cluster.0.iter().position(|node| !matches!(write(&mut node.wire()), Reply::Error(_)))
        })
    };
    let before = holder();
    cluster.move_slot_of("{a}:v1:0");
    let after = holder();
    assert_ne!(before, after);
    assert!(refusal(write(&mut cluster.0[before].wire())).starts_with("MOVED"));
    assert_eq!(cluster.0[after].value("{a}:v1:0"), b"1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_leads_elsewhere_and_cuts() {
    let Some(first) = Brand::Redis.start() else { return };
    let Some(second) = Brand::Redis.start() else { return };
    let proxy = Proxy::to(first.port).await;
    let mut wire = Wire::open(proxy.port).unwrap();
    assert_eq!(write(&mut wire), Reply::Line("OK".into()));
    proxy.point(None);
    assert!(wire.try_ask(&[b"PING"]).is_err());
    proxy.point(Some(second.port));
    assert_eq!(Wire::open(proxy.port).unwrap().ask("PING"), Reply::Line("PONG".into()));
    assert_eq!((first.keys().len(), second.keys().len()), (1, 0));
}
