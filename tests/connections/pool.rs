//! How long an idle connection is reused.

use std::time::Duration;

use tokio::time::advance;
use tower_inference::{
    client::{Builder, HttpsClient},
    upstream::UpstreamLayer,
};

use crate::{
    caller::{Caller, stopped},
    http1::Server,
    table::{caller_of, self_signed},
};

/// The connections that two requests take, `idle` apart.
async fn connections(builder: Builder, idle: Duration) -> usize {
    let server = Server::start(&[]).await;
    apart(&server, Caller::new(builder, server.address), idle).await
}

async fn apart(server: &Server, caller: Caller, idle: Duration) -> usize {
    caller.warm().await;
    advance(idle).await;
    caller.warm().await;
    server.connections()
}

#[tokio::test]
async fn http_connections_are_given_up_before_uvicorn_closes_them() {
    stopped(async {
        assert_eq!(connections(HttpsClient::builder(), Duration::from_secs(4)).await, 1);
        assert_eq!(connections(HttpsClient::builder(), Duration::from_millis(4001)).await, 2);
    })
    .await;
}

#[tokio::test]
async fn https_connections_are_given_up_before_load_balancers_close_them() {
    stopped(async {
        for (idle, connections) in [(50_000, 1), (50_001, 2)] {
            let (builder, acceptor) = self_signed();
            let server = Server::start_with(&[], Some(acceptor)).await;
            let base = format!("https://localhost:{}", server.address.port());
            let caller = Caller::of(builder, UpstreamLayer::new(), base);
            assert_eq!(apart(&server, caller, Duration::from_millis(idle)).await, connections);
        }
    })
    .await;
}

#[tokio::test]
async fn the_idle_time_is_a_setting() {
    stopped(async {
        let builder = || HttpsClient::builder().pool_idle_timeout(Duration::from_secs(60));
        assert_eq!(connections(builder(), Duration::from_secs(60)).await, 1);
        assert_eq!(connections(builder(), Duration::from_secs(61)).await, 2);
    })
    .await;
}

#[tokio::test]
async fn without_an_idle_time_no_connection_is_reused() {
    let builder = HttpsClient::builder().pool_idle_timeout(Duration::ZERO);
    assert_eq!(stopped(connections(builder, Duration::ZERO)).await, 2);
}

#[tokio::test]
async fn clones_share_the_pool() {
    let server = Server::start(&[]).await;
    let caller = caller_of(&server);
    for _ in 0..3 {
        caller.clone().warm().await;
    }
    assert_eq!(server.connections(), 1);
}
