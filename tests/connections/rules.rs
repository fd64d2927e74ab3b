//! Which requests are sent once more.

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use http_body_util::{Empty, Full};
use tower::ServiceExt;
use tower_inference::client::HttpsClient;

use crate::{
    caller::{CHAT, Caller, HELLO, settle},
    http1::{Act, Server},
    http2,
    table::{AGAIN, ONCE, Seen, builder, caller_of, caller_of2, reused2_post, seen},
};

/// A request on a reused connection that ends without a byte of a response.
async fn post(path: &str, json: &str) -> Seen {
    let server = Server::start(&[&[Act::Answer, Act::CloseAfter(usize::MAX)]]).await;
    let caller = caller_of(&server);
    caller.warm().await;
    seen(caller.post(path, json).await, &server)
}

#[tokio::test]
async fn stateless_inference_is_sent_again() {
    for path in [CHAT, "/v1/completions", "/v1/embeddings", "/v1/messages", "/rerank", "/generate"]
    {
        assert_eq!(post(path, HELLO).await, AGAIN, "{path}");
    }
}

#[tokio::test]
async fn requests_that_the_upstream_stores_are_sent_once() {
    for path in ["/v1/files", "/v1/batches", "/v1/messages/batches", "/v1/responses"] {
        assert_eq!(post(path, HELLO).await, ONCE, "{path}");
    }
    for json in [r#"{"store": true}"#, r#"{"background": true}"#] {
        assert_eq!(post(CHAT, json).await, ONCE, "{json}");
        assert_eq!(post("/v1/responses", json).await, ONCE, "{json}");
    }
}

#[tokio::test]
async fn a_route_that_is_not_known_to_be_stateless_is_sent_once() {
    for path in ["/v1/fine_tuning/jobs", "/v1/threads/t/runs", "/jobs"] {
        assert_eq!(post(path, HELLO).await, ONCE, "{path}");
    }
}

#[tokio::test]
async fn a_streamed_body_is_sent_once() {
    let server = Server::start(&[&[Act::Answer, Act::CloseAfter(usize::MAX)]]).await;
    let caller = caller_of(&server);
    caller.warm().await;
    assert_eq!(seen(caller.stream(CHAT, HELLO).await, &server), ONCE);
}

#[tokio::test]
async fn a_refused_stream_is_resent_on_any_route_unless_the_upstream_stores_it() {
    for act in [http2::Act::Reset(http2::REFUSED_STREAM), http2::Act::GoAwayBelow(http2::NO_ERROR)]
    {
        let scripts: &[&[http2::Act]] = &[&[http2::Act::Answer, act]];
        assert_eq!(reused2_post(scripts, "/v1/fine_tuning/jobs").await, AGAIN);
        for path in ["/v1/files", "/v1/batches", "/v1/responses"] {
            assert_eq!(reused2_post(scripts, path).await, ONCE, "{path}");
        }
        let server = http2::Server::start(scripts).await;
        let caller = caller_of2(&server);
        caller.warm().await;
        let outcome = caller.post(CHAT, r#"{"store": true}"#).await;
        assert_eq!((outcome.status, server.requests()), (502, 2));
    }
}

#[tokio::test]
async fn keys_are_fetched_again() {
    // As `RemoteKeys` asks for them.
    let server = Server::start(&[&[Act::Answer, Act::CloseAfter(1)]]).await;
    let client: HttpsClient<Empty<Bytes>> = builder().build_for().unwrap();
    for _ in 0..2 {
        let uri = format!("http://{}/.well-known/jwks.json", server.address);
        let request = Request::get(uri).body(Empty::new()).unwrap();
        assert_eq!(client.clone().oneshot(request).await.unwrap().status(), 200);
        settle().await;
    }
    assert_eq!((server.requests(), server.connections()), (3, 2));
}

#[tokio::test]
async fn a_body_of_bytes_is_sent_again() {
    let server = Server::start(&[&[Act::Answer, Act::ResetAfter(usize::MAX)]]).await;
    let client: HttpsClient<Full<Bytes>> = builder().build_for().unwrap();
    for _ in 0..2 {
        let request = Request::post(format!("http://{}{CHAT}", server.address))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(HELLO))
            .unwrap();
        assert_eq!(client.clone().oneshot(request).await.unwrap().status(), 200);
        settle().await;
    }
    assert_eq!((server.requests(), server.connections()), (3, 2));
}

#[tokio::test]
async fn the_second_attempt_has_the_same_head_and_body() {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let caller = Caller::new(HttpsClient::builder(), address);
    let warm = tokio::spawn({
        let caller = caller.clone();
        async move { caller.warm().await }
    });
    let (mut first, _) = listener.accept().await.unwrap();
    let mut read = vec![0; 4096];
    assert!(first.read(&mut read).await.unwrap() > 0);
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    first.write_all(answer).await.unwrap();
    warm.await.unwrap();

    let chat = tokio::spawn(async move { caller.chat().await });
    let length = first.read(&mut read).await.unwrap();
    let request = read[..length].to_vec();
    drop(first);
    let (mut second, _) = listener.accept().await.unwrap();
    let length = second.read(&mut read).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&read[..length]), String::from_utf8_lossy(&request));
    assert!(request.ends_with(HELLO.as_bytes()));
    second.write_all(answer).await.unwrap();
    assert_eq!(chat.await.unwrap().status, 200);
}
