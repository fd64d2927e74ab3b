//! Parallel failed authentications stay in debt in full, as in memory.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    limits::{Limit, Rate, RedisStore, Store},
    rejection::{Refusal, Rejection},
    throttle::ThrottleLayer,
};

use super::{
    gateway::{HASHING, patient, secret},
    server::Brand,
};

/// Returns the seconds that the next attempt must wait.
async fn owed_after(brand: Brand, attempts_at_once: u64) -> Option<u64> {
    let server = brand.start()?;
    let store = RedisStore::single(secret(&server.address()), secret(HASHING)).unwrap();
    let store: Store = patient(store).into();
    let limit = Limit::global(Rate::per_minute(1).burst(3)).failed_authentications();
    let layer = ThrottleLayer::new(limit).store(store.clone());
    let gate = Arc::new(Semaphore::new(0));
    let inner = {
        let gate = Arc::clone(&gate);
        service_fn(move |_: Request<()>| {
            let gate = Arc::clone(&gate);
            async move {
                drop(gate.acquire().await.unwrap());
                let mut response = Response::new(Full::<Bytes>::default());
                response.extensions_mut().insert(Rejection::new(Refusal::InvalidToken));
                Ok::<_, Infallible>(response)
            }
        })
    };
    let service = layer.layer(inner);
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..attempts_at_once {
        attempts.spawn(service.clone().oneshot(Request::new(())));
    }
    let all_allowed = async {
        while layer.counts()[0].allowed < attempts_at_once {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all_allowed).await.expect("one was rejected");
    gate.add_permits(1);
    while let Some(ended) = attempts.join_next().await {
        assert_eq!(ended.unwrap().unwrap().status(), StatusCode::OK);
    }
    let settled = async {
        while store.redis_counts().unwrap().settled < attempts_at_once {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), settled).await.expect("never settled");
    let refused = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    Some(refused.headers()["retry-after"].to_str().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_attempts_stay_in_debt_in_full() {
    for brand in [Brand::Redis, Brand::Valkey] {
        for (attempts, seconds) in [(10, 480), (500, (500 - 3 + 1) * 60), (2_000, 86_400 + 60)] {
            let Some(owed) = owed_after(brand, attempts).await else { continue };
            // Seconds pass meanwhile.
            assert!((seconds - 30..=seconds).contains(&owed), "{brand:?} {attempts}: {owed}");
        }
    }
}
