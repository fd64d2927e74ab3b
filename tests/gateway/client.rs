//! A client that sends what it is told.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::process::unless_hung;

/// A request with a JSON body and, unless it is empty, a token.
pub fn post(path: &str, token: &str, body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::post(path)
        .header(header::HOST, "gateway")
        .header(header::CONTENT_TYPE, "application/json");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

pub fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header(header::HOST, "gateway").body(Full::default()).unwrap()
}

pub const CHAT: &str = r#"{"model":"demo","messages":[{"role":"user","content":"hi there"}]}"#;
pub const CHAT_STREAM: &str =
    r#"{"model":"demo","stream":true,"messages":[{"role":"user","content":"hi there"}]}"#;

/// Sends over a connection of its own.
pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    send_over_http1(stream, request).await
}

pub async fn send_over_http1<I>(io: I, request: Request<Full<Bytes>>) -> Response<Incoming>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    unless_hung(sender.send_request(request)).await.unwrap()
}

pub async fn send_over_http2<I>(io: I, request: Request<Full<Bytes>>) -> Response<Incoming>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let executor = TokioExecutor::new();
    let (mut sender, connection) = http2::handshake(executor, TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    unless_hung(sender.send_request(request)).await.unwrap()
}

pub async fn bytes(response: Response<Incoming>) -> Bytes {
    unless_hung(response.into_body().collect()).await.unwrap().to_bytes()
}

pub async fn json(response: Response<Incoming>) -> Value {
    let body = bytes(response).await;
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {body:?}"))
}

/// The slug of a refusal of the gateway's own.
pub async fn slug(response: Response<Incoming>, status: StatusCode) -> String {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let problem = json(response).await;
    let kind = problem["type"].as_str().unwrap();
    kind.trim_start_matches("urn:tower-inference:refusal:").to_owned()
}

/// The next piece of a body.
pub async fn piece(body: &mut Incoming) -> Option<Bytes> {
    let frame = unless_hung(body.frame()).await?.unwrap();
    Some(frame.into_data().unwrap_or_default())
}
