//! How long after the call a request may be sent once more.

use std::time::Duration;

use tokio::time::advance;
use tower_inference::client::{Builder, HttpsClient};

use crate::{
    caller::{Caller, stopped},
    http1::{Act, Server},
    table::{AGAIN, ONCE, Seen, seen},
};

/// A server takes the request, and dies after `time`.
async fn dies_after(time: Duration, builder: Builder) -> Seen {
    let server = Server::start(&[&[Act::Answer, Act::CloseWhenTold]]).await;
    let caller = Caller::new(builder, server.address);
    caller.warm().await;
    let chat = tokio::spawn(async move { caller.chat().await });
    server.has_seen(2).await;
    advance(time).await;
    server.go.notify_one();
    seen(chat.await.unwrap(), &server)
}

#[tokio::test]
async fn within_a_second_by_default() {
    stopped(async {
        let builder = HttpsClient::builder;
        assert_eq!(dies_after(Duration::ZERO, builder()).await, AGAIN);
        assert_eq!(dies_after(Duration::from_secs(1), builder()).await, AGAIN);
        assert_eq!(dies_after(Duration::from_millis(1001), builder()).await, ONCE);
    })
    .await;
}

#[tokio::test]
async fn a_request_is_sent_once_when_the_server_dies_during_a_generation() {
    stopped(async {
        assert_eq!(dies_after(Duration::from_secs(20), HttpsClient::builder()).await, ONCE);
    })
    .await;
}

#[tokio::test]
async fn within_the_window_that_was_set() {
    stopped(async {
        let builder = || HttpsClient::builder().retry_window(Duration::from_secs(30));
        assert_eq!(dies_after(Duration::from_secs(30), builder()).await, AGAIN);
        assert_eq!(dies_after(Duration::from_secs(31), builder()).await, ONCE);
    })
    .await;
}

#[tokio::test]
async fn never_when_it_is_turned_off() {
    stopped(async {
        let builder = HttpsClient::builder().retry_window(Duration::ZERO);
        assert_eq!(dies_after(Duration::ZERO, builder).await, ONCE);
    })
    .await;
}
