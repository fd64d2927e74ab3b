//! A thousand requests around the close of their connections, at each byte of a request.

use std::time::Duration;

use tokio::net::TcpListener;
use tower_inference::client::{Builder, HttpsClient};

use crate::{
    caller::Caller,
    http1::{Act, Server},
};

const REQUESTS: usize = 1000;
const AT_ONCE: usize = 25;

/// Requests that were answered, of those that a server met with the end of the connection after 0,
/// 1, 2… bytes of them, by FIN and RST in turns. Each connection answers one request before.
async fn answered(builder: Builder) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dies = |nth: usize| {
        let bytes = nth / 2 % 300;
        let end = match (bytes, nth % 2) {
            // Closed right behind the response, while the next request is on its way.
            (0, _) => return vec![Act::Say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")],
            (bytes, 0) => Act::CloseAfter(bytes),
            (bytes, _) => Act::ResetAfter(bytes),
        };
        vec![Act::Answer, end]
    };
    let server = Server::listen(listener, dies, None);
    let caller = Caller::new(builder, server.address);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let caller = caller.clone();
        callers.spawn(async move {
            let mut answered = 0;
            for _ in 0..REQUESTS / AT_ONCE {
                answered += usize::from(caller.chat().await.status == 200);
            }
            answered
        });
    }
    callers.join_all().await.into_iter().sum()
}

#[tokio::test]
async fn a_thousand_requests_around_the_close_get_a_response() {
    // A machine under load may need more than a second for a round trip.
    let builder = HttpsClient::builder().retry_window(Duration::from_secs(60));
    assert_eq!(answered(builder).await, REQUESTS);
}

#[tokio::test]
async fn without_the_retry_some_are_not() {
    let builder = HttpsClient::builder().retry_window(Duration::ZERO);
    assert!(answered(builder).await < REQUESTS);
}
