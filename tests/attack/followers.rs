//! Followers that stop reading.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::{Router, body::Body, response::Response};
use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt as _, channel};
use hyper::body::Incoming;
use tokio::net::TcpSocket;

use crate::{
    client::{post, send, send_over_http1},
    process::{Gateway, unless_hung},
    size,
    stub::{Folder, Served, gateway},
    token::{self, Signer},
};

const EVENT: usize = 16 << 10;

/// Answers with events once it is let, and counts its calls.
async fn serve(
    events: usize,
    calls: Arc<AtomicUsize>,
    gate: Arc<tokio::sync::Semaphore>,
) -> Served {
    let respond = move || {
        let gate = Arc::clone(&gate);
        calls.fetch_add(1, SeqCst);
        async move {
            let (mut sender, body) = channel::Channel::<Bytes, std::io::Error>::new(4);
            tokio::spawn(async move {
                let event = Bytes::from(format!("data: {}\n\n", "x".repeat(EVENT - 8)));
                let _opened = gate.acquire().await.map(tokio::sync::SemaphorePermit::forget);
                for _ in 0..events {
                    if sender.send_data(event.clone()).await.is_err() {
                        return;
                    }
                }
                let _ended = sender.send_data(Bytes::from_static(b"data: [DONE]\n\n")).await;
            });
            let mut response = Response::new(Body::new(body));
            let event_stream = "text/event-stream".parse().unwrap();
            response.headers_mut().insert(header::CONTENT_TYPE, event_stream);
            response
        }
    };
    Served::start(Router::new().fallback(respond)).await
}

const CHAT: &str =
    r#"{"model":"demo","temperature":0,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

/// A follower. One that is to stall has small buffers, so that they are full soon.
async fn follower(gateway: &Gateway, token: &str, stalls: bool) -> Incoming {
    let socket = TcpSocket::new_v4().unwrap();
    if stalls {
        socket.set_recv_buffer_size(8 << 10).unwrap();
    }
    let stream = socket.connect(gateway.address).await.unwrap();
    let response = send_over_http1(stream, post("/v1/chat/completions", token, CHAT)).await;
    let status = response.headers()["cache-status"].to_str().unwrap();
    assert!(status.ends_with("; collapsed"), "{status}");
    response.into_body()
}

/// They stall one behind the other, so that each alone would keep the others waiting. Were each to
/// cost them as much as the first, the honest readers would hang.
#[tokio::test]
async fn followers_that_stall_cost_the_others_one_sum_of_time() {
    let (stalling, apart) = (size(4, 10), 2 << 20);
    let length = (stalling + 2) * apart;
    let (calls, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let upstream = serve(length / EVENT, Arc::clone(&calls), Arc::clone(&gate)).await;
    let (folder, signer) = (Folder::new("followers"), Signer::es256());
    let flags = ["--cache-ttl", "1h", "--reader-timeout", "1h"];
    let gateway = gateway(&folder, &upstream.url, &signer, flags).await;
    let token = signer.sign(&token::claims());

    let first = send(gateway.address, post("/v1/chat/completions", &token, CHAT)).await;
    let mut stalled = Vec::new();
    for number in 0..stalling {
        let mut body = follower(&gateway, &token, true).await;
        stalled.push(tokio::spawn(async move {
            let mut read = 0;
            while read < number * apart {
                match body.frame().await.expect("it is not over yet") {
                    Ok(frame) => read += frame.into_data().unwrap().len(),
                    // It was cut, as it was slow already.
                    Err(_) => return None,
                }
            }
            Some((body, read))
        }));
    }
    let honest = follower(&gateway, &token, false).await;
    gate.add_permits(1);
    let whole = length + b"data: [DONE]\n\n".len();
    let honest = tokio::spawn(unless_hung(honest.collect()));
    assert_eq!(unless_hung(first.into_body().collect()).await.unwrap().to_bytes().len(), whole);
    assert_eq!(honest.await.unwrap().unwrap().to_bytes().len(), whole);
    for stalled in stalled {
        let Some((mut body, mut read)) = unless_hung(stalled).await.unwrap() else { continue };
        // What its buffers had is still there, and then it breaks off.
        let broken = loop {
            match unless_hung(body.frame()).await {
                Some(Ok(frame)) => read += frame.into_data().unwrap().len(),
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        assert!(broken && read < whole, "{read} of {whole}");
    }
    assert_eq!(calls.load(SeqCst), 1);
}
