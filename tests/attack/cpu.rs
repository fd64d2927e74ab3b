//! Bodies that cost time to read.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use crate::{
    client, size,
    stub::{self, Folder, Served},
    token::{self, Signer},
};

/// 480,000 escaped names cost up to 1.75 s without a pause, and four such clients took an honest
/// one to 7 s. The gateway has one thread here, so that all of them share it. The turns themselves are
/// counted in `payload::memory` and in `turn`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_requests_pass_while_long_bodies_are_read() {
    let (folder, signer) = (Folder::new("attack-cpu"), Signer::es256());
    let arrived = Arc::new(AtomicUsize::new(0));
    let upstream = {
        let arrived = Arc::clone(&arrived);
        move |request: axum::extract::Request| async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            if body.len() > 100_000 {
                arrived.fetch_add(1, Relaxed);
            }
            ([(header::CONTENT_TYPE, "application/json")], "{}")
        }
    };
    let served = Served::start(axum::Router::new().fallback(upstream)).await;
    // Room for all of them: it is time that is attacked here, and a debug build takes much of it.
    let flags = ["--threads", "1", "--max-bodies", "1GiB", "--head-timeout", "60s"];
    let gateway = stub::gateway(&folder, &served.url, &signer, flags).await;
    let token = signer.sign(&token::claims());
    let address = gateway.address;

    // Short values between the names, so that there are many turns to take.
    let members = size(120_000, 480_000);
    let names: String = (0..members).map(|at| format!(",\"\\u0061{at:06}\":0")).collect();
    let body = Bytes::from(format!("{{\"model\":\"demo\",\"messages\":[]{names}}}"));
    let mut long = JoinSet::new();
    for _ in 0..LONG {
        let request = client::post("/v1/chat/completions", &token, "");
        let request = request.map(|_| Full::new(body.clone()));
        long.spawn(send(address, request));
    }
    while arrived.load(Relaxed) < LONG {
        let request = client::post("/v1/chat/completions", &token, client::CHAT);
        assert_eq!(send(address, request).await, StatusCode::OK);
        // One that was refused never arrives.
        while let Some(status) = long.try_join_next() {
            assert_eq!(status.unwrap(), StatusCode::OK);
        }
    }
    while let Some(status) = long.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
}

const LONG: usize = 4;

/// Sends over a connection of its own. A debug build on a busy machine takes minutes over bodies of
/// this length, so this waits longer for what has hung than the other tests.
async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> StatusCode {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = timeout(Duration::from_secs(900), sender.send_request(request)).await;
    response.expect("hung").unwrap().status()
}

/// Names that are the same but for their case, or that come twice at the very end, are told apart
/// in linear work: `payload::names::tests` counts it. Here all of them get a response.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_slow_to_read_get_a_response() {
    let (folder, signer) = (Folder::new("attack-slow"), Signer::es256());
    let answer = |request: axum::extract::Request| async {
        request.into_body().collect().await.unwrap();
        ([(header::CONTENT_TYPE, "application/json")], "{}")
    };
    let served = Served::start(axum::Router::new().fallback(answer)).await;
    let flags = ["--schema", "builtin", "--max-tokens", "100", "--head-timeout", "60s"];
    let gateway = stub::gateway(&folder, &served.url, &signer, flags).await;
    let token = signer.sign(&token::claims());

    let count = size(20_000, 450_000);
    let case = |at: usize| -> String {
        (0..24).map(|bit| if at >> bit & 1 == 0 { 'a' } else { 'A' }).collect()
    };
    let object = |name: &dyn Fn(usize) -> String, count: usize| {
        let members: String = (0..count).map(|at| format!(",\"{}\":0", name(at))).collect();
        format!(
            "{{\"model\":\"demo\",\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}]{members}}}"
        )
    };
    let escaped = |at: usize| format!("\\u0061{at:06}");
    let twice = |at: usize| escaped(if at + 1 == count { 0 } else { at });
    let bodies = [
        (object(&escaped, count), StatusCode::OK),
        (object(&case, count.min(250_000)), StatusCode::OK),
        (object(&twice, count), StatusCode::BAD_REQUEST),
        (object(&|at| format!("Max_Token\\u0073{at}"), count.min(250_000)), StatusCode::OK),
        // A twin of a limited name among all the others.
        (
            object(&|at| if at == 7 { "MAX_TOKENS".into() } else { escaped(at) }, count),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ];
    for (at, (body, expected)) in bodies.into_iter().enumerate() {
        let request = client::post("/v1/chat/completions", &token, &body);
        assert_eq!(send(gateway.address, request).await, expected, "{at}");
    }
}
