//! A server that sends too much. Its connection is closed before it costs memory.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tower_inference::{
    cache::{RedisCache, Tier},
    limits::RedisStore,
};

use super::{
    fake::{Fake, Flood, When},
    gateway::{Gateway, HASHING, burst, secret},
    logged::{self, changes},
    server::Brand,
};

/// What the buffers of two kernels' sockets may hold, and the longest reply.
const TAKEN: u64 = 24 << 20;
/// What each connection would be sent.
const POURED: u64 = 256 << 20;

#[track_caller]
fn assert_little_was_taken(fake: &Fake, flood: Flood, when: When) {
    let each = fake.sent() / (fake.floods() as u64 + 1);
    assert!(each <= TAKEN, "{flood:?} {when:?}: {} MiB a connection", each >> 20);
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flood_of_any_form_is_read() {
    for when in [When::AtFirst, When::InUse, When::AfterUse] {
        for flood in Flood::ALL {
            let fake = Fake::start(flood, when, POURED).await;
            let store = RedisStore::single(secret(&fake.address()), secret(HASHING)).unwrap();
            let gateway = Gateway::new(burst(20), store.decision_timeout(Duration::from_secs(10)));
            let (status, _) = gateway.ask("a").await;
            // A reply that comes together with a flood may be lost with it.
            let passes = when == When::AfterUse && status == StatusCode::OK;
            assert!(passes || status == StatusCode::SERVICE_UNAVAILABLE, "{flood:?}: {status}");
            until("the connection is closed", || fake.floods() > 0).await;
            assert_little_was_taken(&fake, flood, when);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flood_of_values_is_read() {
    for flood in Flood::ALL {
        let fake = Fake::start(flood, When::InUse, POURED).await;
        let cache = RedisCache::single(secret(&fake.address())).unwrap();
        let cache = cache.read_timeout(Duration::from_secs(10)).max_entry_bytes(1 << 16);
        let flooded = async {
            while fake.floods() == 0 {
                assert_eq!(cache.get([7; 32]).await, None);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), flooded).await.expect("never asked");
        assert_little_was_taken(&fake, flood, When::InUse);
    }
}

/// What real servers say in the newer protocol is within the bounds.
#[tokio::test]
async fn the_newer_protocol_is_read_too() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        let address = secret(&format!("{}/?protocol=resp3", server.address()));
        let store = RedisStore::single(address.clone(), secret(HASHING)).unwrap();
        let gateway = Gateway::new(burst(3), store.decision_timeout(Duration::from_secs(10)));
        assert_eq!(gateway.passing("a", 5).await, 3, "{brand:?}");
        let cache = RedisCache::single(address).unwrap().read_timeout(Duration::from_secs(10));
        let value = Bytes::from(vec![b'x'; 1 << 20]);
        assert!(cache.put([1; 32], value.clone(), Duration::from_secs(60)).await);
        assert_eq!(cache.get([1; 32]).await, Some(value), "the longest value there may be");
    }
}

#[tokio::test]
async fn the_log_names_the_exceeded_bound() {
    logged::listen();
    for (flood, cause) in [
        (Flood::Bytes(1 << 40), "a reply is longer than the connection allows"),
        (Flood::Line, "a line of a reply is longer than 64 KiB"),
        (Flood::Error, "a line of a reply is longer than 64 KiB"),
        (Flood::Numbers(1 << 40), "a reply has more than 32768 values"),
        (Flood::Nested, "a reply is deeper than 16 levels"),
        (Flood::Garbage, "a reply is not RESP"),
        (Flood::Pushes, "the server sent a reply without a request"),
    ] {
        let fake = Fake::start(flood, When::InUse, POURED).await;
        let store = RedisStore::single(secret(&fake.address()), secret(HASHING)).unwrap();
        let gateway = Gateway::new(burst(20), store.decision_timeout(Duration::from_secs(10)));
        changes();
        assert_eq!(gateway.ask("a").await.0, StatusCode::SERVICE_UNAVAILABLE);
        let said = changes();
        assert!(said.len() == 1 && said[0].contains(cause), "{flood:?}: {said:?}");
    }
}
