//! Settlements after a decision, and counts that stay in the process.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    context::RequestContext,
    identity::{Identity, Proof},
    limits::{Concurrency, Limit, OutagePolicy, Quota, Rate, RedisStore, Store, Subject},
    payload::Payload,
    throttle::ThrottleLayer,
    token_budget::TokenBudgetLayer,
};

use super::{
    gateway::{Gateway, HASHING, burst, patient, secret},
    logged,
    server::{Brand, Server},
};

fn store(server: &Server) -> RedisStore {
    patient(RedisStore::single(secret(&server.address()), secret(HASHING)).unwrap())
}

/// Until what was queued has been told.
fn settled(store: &Store, many: u64) -> impl Future<Output = ()> {
    let store = store.clone();
    async move {
        let wait = async {
            while store.redis_counts().unwrap().settled < many {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("never settled");
    }
}

async fn chat(layer: &TokenBudgetLayer, prompt: u64, completion: u64) -> StatusCode {
    let usage = format!(
        r#"{{"choices":[],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{}}}}}"#,
        prompt + completion,
    );
    let inner = service_fn(move |_| {
        let body = Full::new(Bytes::from(usage.clone()));
        let answer = Response::builder().header(CONTENT_TYPE, "application/json");
        std::future::ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
    });
    let body = r#"{"model":"m","messages":[{"role":"user","content":"abcd"}],"max_tokens":10}"#;
    let request = Request::post("/v1/chat/completions").header(CONTENT_TYPE, "application/json");
    let request = request.body(Payload::buffered(body)).unwrap();
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

#[tokio::test]
async fn replicas_share_settlements_and_their_debt() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        let stores: [Store; 2] = [(), ()].map(|()| store(&server).into());
        let layers = stores.each_ref().map(|store| {
            TokenBudgetLayer::new(Limit::global(Quota::per_month(100))).store(store.clone())
        });
        let remaining = async |layer: &TokenBudgetLayer| {
            layer.limit_state("global", &Subject::global()).await.unwrap().remaining
        };
        // Sixteen are reserved: six and ten. Less and more is used.
        assert_eq!(chat(&layers[0], 6, 3).await, StatusCode::OK);
        settled(&stores[0], 1).await;
        assert_eq!(remaining(&layers[1]).await, 91);
        assert_eq!(chat(&layers[1], 95, 1).await, StatusCode::OK);
        settled(&stores[1], 1).await;
        assert_eq!(remaining(&layers[0]).await, 0, "105 of 100 are used");
        assert_eq!(chat(&layers[0], 6, 1).await, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(chat(&layers[1], 6, 1).await, StatusCode::TOO_MANY_REQUESTS);
    }
}

#[tokio::test]
async fn settlements_during_an_outage_are_sent_later() {
    let Some(server) = Brand::Redis.start() else { return };
    // The server forgets with its process, so it hangs instead: and is told only once.
    let store: Store = store(&server).decision_timeout(Duration::from_millis(200)).into();
    let budget = Limit::global(Rate::per_day(1).burst(1_000));
    let layer = TokenBudgetLayer::new(budget).store(store.clone());
    let inner = service_fn(|_| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let body = r#"{"model":"m","messages":[{"role":"user","content":"abcd"}],"max_tokens":10}"#;
    let request = || {
        let request = Request::post("/v1/chat/completions");
        let request = request.header(CONTENT_TYPE, "application/json");
        request.body(Payload::buffered(body)).unwrap()
    };
    let mut under_way = Vec::new();
    for number in 1..=3 {
        under_way.push(tokio::spawn(layer.layer(inner).oneshot(request())));
        asked(&store, number).await;
    }
    server.hang();
    assert_eq!(refused(&layer, request()).await, StatusCode::SERVICE_UNAVAILABLE);
    // Seven of seventeen stay charged of each: the prompt, which was sent upstream.
    for call in under_way {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    server.go_on();
    settled(&store, 3).await;
    let state = layer.limit_state("global", &Subject::global()).await.unwrap();
    let charged = 1_000 - state.remaining;
    // The server may have counted the rejected request after it resumed.
    assert!([21, 21 + 17].contains(&charged), "{charged}");
    assert_eq!(store.redis_counts().unwrap().unsettled, 0);
}

async fn asked(store: &Store, many: u64) {
    let asked = async {
        while store.redis_counts().unwrap().server < many {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.expect("never asked");
}

async fn refused(layer: &TokenBudgetLayer, request: Request<Payload>) -> StatusCode {
    let inner = service_fn(|_| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    layer.layer(inner).oneshot(request).await.unwrap().status()
}

fn request(caller: &str) -> Request<()> {
    let mut request = Request::new(());
    let identity = Identity::new(Proof::Jwt, "https://issuer.example", caller);
    RequestContext::ensure(request.extensions_mut()).set_identity(Arc::new(identity));
    request
}

fn subject(caller: &str) -> Subject {
    Subject::identity(&Identity::new(Proof::Jwt, "https://issuer.example", caller).principal())
}

/// A layer that lets one request of a caller be in flight, and so many of them pass.
fn one_at_a_time(store: &Store, most: u32) -> ThrottleLayer {
    ThrottleLayer::new(burst(most))
        .limit(Limit::per_identity(Concurrency::new(1)).name("in-flight"))
        .store(store.clone())
}

async fn in_flight(layer: &ThrottleLayer) -> u64 {
    let state = layer.limit_state("in-flight", &subject("a")).await.unwrap();
    state.capacity - state.remaining
}

#[tokio::test]
async fn a_permit_in_flight_is_given_back_after_any_decision() {
    let Some(server) = Brand::Redis.start() else { return };
    let store: Store = store(&server).decision_timeout(Duration::from_millis(300)).into();
    let layer = one_at_a_time(&store, 1);
    let inner = service_fn(|_| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"answer"))))
    });
    let response = layer.layer(inner).oneshot(request("a")).await.unwrap();
    assert_eq!((response.status(), in_flight(&layer).await), (StatusCode::OK, 1));

    // A request rejected for its permit in flight takes nothing on the server.
    let before = store.redis_counts().unwrap();
    let second = layer.layer(inner).oneshot(request("a")).await.unwrap();
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(store.redis_counts().unwrap().server, before.server + 1);
    drop(second);
    response.into_body().collect().await.unwrap();
    assert_eq!(in_flight(&layer).await, 0);

    // The server rejects the request.
    let third = layer.layer(inner).oneshot(request("a")).await.unwrap();
    assert_eq!((third.status(), in_flight(&layer).await), (StatusCode::TOO_MANY_REQUESTS, 0));

    // The caller leaves while the server decides, and then while it is away.
    server.hang();
    let waiting = layer.layer(inner).oneshot(request("a"));
    assert!(tokio::time::timeout(Duration::from_millis(1), waiting).await.is_err());
    let fourth = layer.layer(inner).oneshot(request("a")).await.unwrap();
    assert_eq!(fourth.status(), StatusCode::SERVICE_UNAVAILABLE);
    server.go_on();
    until_up(&layer).await;
    assert_eq!(in_flight(&layer).await, 0);
}

async fn until_up(layer: &ThrottleLayer) {
    let subject = subject("other");
    let up = async {
        while layer.limit_state("identity", &subject).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), up).await.expect("never there again");
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced() {
    let Some(server) = Brand::Redis.start() else { return };
    logged::listen();
    let gateway = Gateway::new(burst(20), store(&server));
    assert!(gateway.passes("a").await);
    for _ in 0..3 {
        logged::taken();
        server.wire().must("CLIENT KILL TYPE normal SKIPME yes");
        assert!(gateway.passes("a").await);
        let said: Vec<_> = logged::taken();
        assert!(!said.iter().any(|line| line.contains("is away")), "{said:?}");
    }
}

#[tokio::test]
async fn requests_that_touch_the_server_are_counted() {
    for brand in [Brand::Redis, Brand::Valkey] {
        let Some(server) = brand.start() else { continue };
        let store: Store = store(&server).lease(10).into();
        assert_eq!(Store::default().redis_counts(), None, "nothing is shared in memory");
        let gateway = Gateway::new(burst(1_000), store.clone());
        assert_eq!(gateway.passing("a", 50).await, 50);
        let counts = store.redis_counts().unwrap();
        assert_eq!(counts.server + counts.leased, 50);
        assert!((5..=10).contains(&counts.server), "one of ten: {counts:?}");
        assert_eq!((counts.local, counts.rejected, counts.unsettled), (0, 0, 0));

        // What nobody came for goes back: all but the fifty that passed are there again.
        let subject = subject("a");
        let back = async {
            while gateway.0.limit_state("identity", &subject).await.unwrap().remaining != 950 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), back).await.expect("the lease never ends");
    }
}

#[tokio::test]
async fn local_decisions_are_settled_locally() {
    let Some(mut server) = Brand::Redis.start() else { return };
    let store: Store = store(&server)
        .decision_timeout(Duration::from_millis(200))
        .outage_policy(OutagePolicy::Local { replicas: 2 })
        .into();
    let budget = Limit::global(Rate::per_day(1).burst(100));
    let layer = TokenBudgetLayer::new(budget).store(store.clone());
    server.end();
    // Sixteen at a time of fifty, of which all but two come back.
    for _ in 0..10 {
        assert_eq!(chat(&layer, 1, 1).await, StatusCode::OK);
    }
    assert_eq!(store.redis_counts().unwrap().local, 10);
    server.begin();
    // A slow machine may miss the decision timeout once more.
    let back = async {
        loop {
            let state = layer.limit_state("global", &Subject::global()).await.unwrap();
            if state.capacity == 100 {
                break state;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let shared = tokio::time::timeout(Duration::from_secs(20), back).await.expect("never back");
    assert_eq!(shared.remaining, 100);
    assert_eq!(store.redis_counts().unwrap().settled, 0, "nothing of it is the server's");
    assert!(server.keys().is_empty());
}
