//! How long an idle connection is reused.

use std::time::Duration;

use tokio::time::{advance, pause, resume};
use tower_inference::client::{Builder, HttpsClient};

use crate::{caller::Caller, http1::Server, table::caller_of};

/// The connections that two requests take, `idle` apart.
async fn connections(builder: Builder, idle: Duration) -> usize {
    let server = Server::start(&[]).await;
    let caller = Caller::new(builder, server.address);
    caller.warm().await;
    pause();
    advance(idle).await;
    resume();
    caller.warm().await;
    server.connections()
}

#[tokio::test]
async fn http_connections_are_given_up_before_uvicorn_closes_them() {
    assert_eq!(connections(HttpsClient::builder(), Duration::from_secs(3)).await, 1);
    assert_eq!(connections(HttpsClient::builder(), Duration::from_millis(4001)).await, 2);
}

#[tokio::test]
async fn the_idle_time_is_a_setting() {
    let builder = || HttpsClient::builder().pool_idle_timeout(Duration::from_secs(60));
    assert_eq!(connections(builder(), Duration::from_secs(59)).await, 1);
    assert_eq!(connections(builder(), Duration::from_secs(61)).await, 2);
}

#[tokio::test]
async fn without_an_idle_time_no_connection_is_reused() {
    let builder = HttpsClient::builder().pool_idle_timeout(Duration::ZERO);
    assert_eq!(connections(builder, Duration::ZERO).await, 2);
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
