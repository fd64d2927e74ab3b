//! The timeouts of responses: `--upstream-head-timeout` and the others.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    client::{CHAT, post, send, slug},
    process::unless_hung,
    stub::{Folder, gateway},
    token::{self, Signer},
};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    transfer-encoding: chunked\r\n\r\n";
const CHUNK: &str = "2\r\n:\n\r\n";

/// Starts an upstream that says this in answer to a request, and then hangs.
async fn hanging(said: String) -> String {
    async fn serve(mut stream: TcpStream, said: String) {
        let mut request = Vec::new();
        while !request.ends_with(CHAT.as_bytes()) {
            if stream.read_buf(&mut request).await.is_ok_and(|read| read == 0) {
                return;
            }
        }
        stream.write_all(said.as_bytes()).await.unwrap();
        // Until the gateway closes the connection.
        let _closed = stream.read_buf(&mut request).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, said.clone()));
        }
    });
    url
}

#[tokio::test]
async fn an_upstream_that_hangs_is_cut_off_as_the_flags_say() {
    let signer = Signer::es256();
    for (flag, said) in [
        ("--upstream-head-timeout", String::new()),
        ("--upstream-total-timeout", String::new()),
        ("--upstream-first-byte-timeout", HEAD.to_owned()),
        ("--upstream-idle-timeout", [HEAD, CHUNK].concat()),
        ("--upstream-total-timeout", [HEAD, CHUNK].concat()),
    ] {
        let folder = Folder::new(&format!("patience{flag}-{}", said.len()));
        let url = hanging(said.clone()).await;
        let gateway = gateway(&folder, &url, &signer, [flag, "200ms"]).await;
        let request = post("/v1/chat/completions", &signer.sign(&token::claims()), CHAT);
        let mut response = unless_hung(send(gateway.address, request)).await;
        if said.is_empty() {
            let slug = slug(response, StatusCode::GATEWAY_TIMEOUT).await;
            assert_eq!(slug, "upstream-timeout", "{flag}");
            continue;
        }
        assert_eq!(response.status(), StatusCode::OK, "{flag}");
        let mut text = Vec::new();
        let broken = loop {
            match unless_hung(response.body_mut().frame()).await {
                None => break false,
                Some(Err(_)) => break true,
                Some(Ok(frame)) => text.extend(frame.into_data().unwrap_or_default()),
            }
        };
        assert!(broken, "{flag}: nobody takes it for whole");
        let expected = if said.len() > HEAD.len() { ":\n" } else { "" };
        assert_eq!(Bytes::from(text), expected, "{flag}");
    }
}
