//! Connections to an upstream that closes them, as uvicorn does with idle ones.

use http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    client::{CHAT, post, send},
    process::unless_hung,
    stub::{Folder, gateway},
    token::{self, Signer},
};

/// Starts an upstream whose first connection ends with its second request.
async fn closing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (first, _) = listener.accept().await.unwrap();
        tokio::spawn(serve(first, 1));
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, usize::MAX));
        }
    });
    url
}

/// Answers as many requests, and reads one more.
async fn serve(mut stream: TcpStream, requests: usize) {
    for nth in 0..=requests {
        let mut request = Vec::new();
        while !request.ends_with(CHAT.as_bytes()) {
            if stream.read_buf(&mut request).await.is_ok_and(|read| read == 0) {
                return;
            }
        }
        if nth < requests {
            let answer =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

/// The statuses of two requests, and the attempts that the record of the second one has.
async fn two(name: &str, flags: [&str; 2]) -> ([StatusCode; 2], u64) {
    let folder = Folder::new(name);
    let signer = Signer::es256();
    let mut gateway = gateway(&folder, &closing().await, &signer, flags).await;
    let mut statuses = [StatusCode::OK; 2];
    let mut attempts = 0;
    for status in &mut statuses {
        let request = post("/v1/chat/completions", &signer.sign(&token::claims()), CHAT);
        *status = unless_hung(send(gateway.address, request)).await.status();
        let record = gateway.said("\"attempts\":").await;
        let record: serde_json::Value = serde_json::from_str(&record).unwrap();
        attempts = record["attempts"].as_u64().unwrap();
    }
    (statuses, attempts)
}

#[tokio::test]
async fn a_request_that_met_the_close_is_sent_once_more() {
    let seen = two("closing", ["--upstream-retry", "1m"]).await;
    assert_eq!(seen, ([StatusCode::OK; 2], 2));
}

#[tokio::test]
async fn a_request_is_not_resent_when_retries_are_off() {
    let seen = two("closing-off", ["--upstream-retry", "0s"]).await;
    assert_eq!(seen, ([StatusCode::OK, StatusCode::BAD_GATEWAY], 1));
}

#[tokio::test]
async fn no_request_meets_the_close_when_no_connection_is_reused() {
    let seen = two("closing-idle", ["--upstream-keep-alive", "0s"]).await;
    assert_eq!(seen, ([StatusCode::OK; 2], 1));
}
