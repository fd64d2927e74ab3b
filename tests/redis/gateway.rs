//! Gateways with one shared store.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt, service_fn};
use tower_inference::{
    context::RequestContext,
    identity::{Identity, Proof},
    limits::{Limit, Quota, Rate, RedisStore, Store},
    secret::Secret,
    throttle::ThrottleLayer,
};

use super::server::{Brand, Cluster, Server};

pub const NAMESPACE: &str = "tower-inference";

/// The secret of the key hash. It must be neither in a log nor on the server.
pub const HASHING: &str = "hashing-0123456789abcdef-0123456789abcdef";

/// One replica: a layer with a store of its own.
#[derive(Clone, Debug)]
pub struct Gateway(pub ThrottleLayer);

/// One server or more, that tests ask alike.
#[derive(Debug)]
pub enum Shared {
    Single(Server),
    Cluster(Cluster),
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// So many for each identity, and as good as none after them.
pub fn burst(most: u32) -> Limit {
    Limit::per_identity(Rate::per_day(1).burst(most))
}

pub fn quota(most: u64) -> Limit {
    Limit::per_identity(Quota::per_month(most))
}

/// Waits for its answers long enough for a machine that is busy with other things.
pub fn patient(store: RedisStore) -> RedisStore {
    store.decision_timeout(Duration::from_secs(10))
}

// === impl Gateway ===

impl Gateway {
    pub fn new(limit: Limit, store: impl Into<Store>) -> Self {
        Self(ThrottleLayer::new(limit).store(store))
    }

    /// The answer to one request of this caller.
    pub async fn ask(&self, caller: &str) -> (StatusCode, String) {
        let inner = service_fn(|_: Request<Empty<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let mut request = Request::new(Empty::new());
        let identity = Identity::new(Proof::Jwt, "https://issuer.example", caller)
            .with_tenant("tenant-in-clear");
        RequestContext::ensure(request.extensions_mut()).set_identity(Arc::new(identity));
        let Ok(response) = self.0.layer(inner).oneshot(request).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub async fn passes(&self, caller: &str) -> bool {
        match self.ask(caller).await {
            (StatusCode::OK, _) => true,
            (StatusCode::TOO_MANY_REQUESTS, _) => false,
            other => panic!("{other:?}"),
        }
    }

    /// How many of so many pass, one after another.
    pub async fn passing(&self, caller: &str, requests: usize) -> usize {
        let mut passed = 0;
        for _ in 0..requests {
            passed += usize::from(self.passes(caller).await);
        }
        passed
    }
}

/// How many of so many requests to each of these pass, all at a time.
pub async fn passing(gateways: &[Gateway], caller: &'static str, requests: usize) -> usize {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..requests {
        for gateway in gateways {
            let gateway = gateway.clone();
            running.spawn(async move { gateway.passes(caller).await });
        }
    }
    running.join_all().await.into_iter().filter(|passed| *passed).count()
}

// === impl Shared ===

impl Shared {
    pub fn redis() -> Option<Self> {
        Brand::Redis.start().map(Self::Single)
    }

    pub fn valkey() -> Option<Self> {
        Brand::Valkey.start().map(Self::Single)
    }

    pub fn redis_cluster() -> Option<Self> {
        Brand::Redis.cluster().map(Self::Cluster)
    }

    pub fn valkey_cluster() -> Option<Self> {
        Brand::Valkey.cluster().map(Self::Cluster)
    }

    pub fn servers(&self) -> &[Server] {
        match self {
            Self::Single(server) => std::slice::from_ref(server),
            Self::Cluster(cluster) => &cluster.0,
        }
    }

    pub fn store(&self) -> RedisStore {
        let hashing = secret(HASHING);
        patient(
            match self {
                Self::Single(server) => RedisStore::single(secret(&server.address()), hashing),
                Self::Cluster(cluster) => {
                    let addresses = cluster.addresses();
                    RedisStore::cluster(addresses.iter().map(|address| secret(address)), hashing)
                }
            }
            .unwrap(),
        )
    }

    /// Two replicas with this limit.
    pub fn gateways(&self, limit: &Limit) -> [Gateway; 2] {
        [(), ()].map(|()| Gateway::new(limit.clone(), self.store()))
    }

    pub fn scripts(&self) -> u64 {
        self.servers().iter().map(Server::scripts).sum()
    }

    pub fn keys(&self) -> Vec<(&Server, String)> {
        let of_each = |server| Server::keys(server).into_iter().map(move |key| (server, key));
        self.servers().iter().flat_map(of_each).collect()
    }
}
