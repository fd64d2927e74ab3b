//! Fetches over sockets of this machine with `HttpsClient`.

use std::sync::{Mutex, atomic::AtomicUsize};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// A server that answers each request with `response`.
pub struct Server {
    pub address: String,
    response: Arc<Mutex<Vec<u8>>>,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (response, heads) =
            (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let connections = Arc::new(AtomicUsize::new(0));
        let serving = (Arc::clone(&response), Arc::clone(&heads), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            let mut serving_all = tokio::task::JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (response, heads, connections) = serving.clone();
                connections.fetch_add(1, SeqCst);
                serving_all.spawn(async move {
                    while let Ok(head) = read_head(&mut stream).await {
                        heads.lock().unwrap().push(head);
                        let response = response.lock().unwrap().clone();
                        // The client may close before the end.
                        if stream.write_all(&response).await.is_err() || !has_length(&response) {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, response, heads, connections, task }
    }

    pub fn respond(&self, status: &str, fields: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{fields}\r\n");
        *self.response.lock().unwrap() = (head + body).into_bytes();
    }

    pub fn last_head(&self) -> String {
        self.heads.lock().unwrap().last().unwrap().clone()
    }
}

async fn read_head(stream: &mut tokio::net::TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap().to_lowercase())
}

fn has_length(response: &[u8]) -> bool {
    response.windows(15).any(|window| window == b"content-length:")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn keys_are_fetched_over_a_socket_and_renewed_by_their_tag() {
    let server = Server::start().await;
    server.respond("200 OK", "etag: \"v1\"\r\ncontent-type: text/html\r\n", &crate::issuer::jwks());
    let client = HttpsClient::builder().build().unwrap();
    let (layer, source, _clock) = layer_of(RemoteKeys::jwks(server.address.clone(), client));
    assert_eq!(source.refresh().await, Ok(()));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    assert!(!server.last_head().contains("if-none-match"));
    server.respond("304 Not Modified", "etag: \"v1\"\r\n", "");
    assert_eq!(source.refresh().await, Ok(()));
    assert!(server.last_head().contains("if-none-match: \"v1\""), "{}", server.last_head());
    // Both fetches used one connection.
    assert_eq!(server.connections.load(SeqCst), 1);
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
}

#[tokio::test]
async fn redirect_and_large_response_are_refused_over_a_socket() {
    let (server, other) = (Server::start().await, Server::start().await);
    other.respond("200 OK", "", &crate::issuer::jwks());
    let client = HttpsClient::builder().build().unwrap();
    let (_layer, source, _clock) = layer_of(RemoteKeys::jwks(server.address.clone(), client));
    server.respond("302 Found", &format!("location: {}\r\n", other.address), "");
    assert_eq!(source.refresh().await.unwrap_err().fault, KeysFault::Status(302));
    assert_eq!(other.connections.load(SeqCst), 0);
    // No length is announced. The bytes are counted as they come.
    let mut endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    endless.resize(1 << 20, b' ');
    *server.response.lock().unwrap() = endless;
    assert_eq!(fault(source.refresh().await), "TooLarge");
}

/// The aged set of a real server arrives although the response of the request was there first.
#[tokio::test]
async fn withdrawn_key_stops_working_with_a_real_server() {
    let server = Server::start().await;
    server.respond("200 OK", "", &crate::issuer::jwks());
    let client = HttpsClient::builder().build().unwrap();
    let remote = RemoteKeys::jwks(server.address.clone(), client);
    let (layer, source, clock) = layer_of(remote.fetch_timeout(seconds(30)));
    source.refresh().await.unwrap();
    server.respond("200 OK", "", &set(&[crate::issuer::P256.jwk_with(json!({ "kid": "other" }))]));
    clock.advance(seconds(600));
    assert!(try_token(&layer, &ed("EdDSA")).await.passed());
    // The age falls when the set has arrived. No request polls the fetch.
    let arrived = async {
        while source.age() != Some(Duration::ZERO) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(seconds(20), arrived).await.expect("the set never arrived");
    assert_eq!(try_token(&layer, &ed("EdDSA")).await.refusal(), INVALID);
}
