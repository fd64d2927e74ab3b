//! The layer with real servers and clients: hyper over HTTP/1.1 and axum.

use std::{convert::Infallible, sync::Arc};

use axum::{Router, routing::post_service};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::Mutex,
    task::JoinHandle,
};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    context::RequestContext,
    payload::{Payload, PayloadLayer},
};

// === a gateway of hyper, between two wires that the test holds ===

/// Serves one connection; the other end is given back.
fn serve<S, R>(service: S) -> DuplexStream
where
    S: Service<Request<hyper::body::Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (ours, theirs) = duplex(1 << 16);
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(theirs), TowerToHyperService::new(service));
    tokio::spawn(connection);
    ours
}

/// A gateway, with its caller's wire and its upstream's.
async fn gateway(layer: PayloadLayer) -> (DuplexStream, DuplexStream) {
    let (upstream, theirs) = duplex(1 << 16);
    let (sender, connection) =
        hyper::client::conn::http1::handshake::<_, Payload>(TokioIo::new(theirs)).await.unwrap();
    tokio::spawn(connection);
    let sender = Arc::new(Mutex::new(sender));
    let forward = service_fn(move |request| forward(sender.clone(), request));
    (serve(layer.layer(forward)), upstream)
}

async fn forward(
    sender: Arc<Mutex<SendRequest<Payload>>>,
    request: Request<Payload>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let received = sender.lock().await.send_request(request).await;
    let mut response = Response::new(Empty::new());
    *response.status_mut() = received.map_or(StatusCode::BAD_GATEWAY, |response| response.status());
    Ok(response)
}

/// Reads until `end` has come.
async fn read_until(wire: &mut DuplexStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let byte = wire.read_u8().await.unwrap_or_else(|_| {
            panic!("ended after {:?}", String::from_utf8_lossy(&read));
        });
        read.push(byte);
    }
    String::from_utf8(read).unwrap()
}

/// Reads a request that ends in `end`, and answers 200.
fn answering(mut upstream: DuplexStream, end: &'static str) -> JoinHandle<String> {
    tokio::spawn(async move {
        let request = read_until(&mut upstream, end).await;
        upstream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        request
    })
}

const HEAD: &str =
    "POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n";

#[tokio::test]
async fn chunked_upload_is_forwarded_with_its_length() {
    let (mut caller, upstream) = gateway(PayloadLayer::new()).await;
    let upstream = answering(upstream, "{\"a\":1}");
    let chunks = "transfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
    caller.write_all(format!("{HEAD}{chunks}").as_bytes()).await.unwrap();
    assert!(read_until(&mut caller, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK"));
    let forwarded = upstream.await.unwrap();
    assert!(forwarded.contains("\r\ncontent-length: 7\r\n"), "{forwarded}");
    assert!(!forwarded.contains("transfer-encoding"), "{forwarded}");
    assert!(forwarded.ends_with("\r\n\r\n{\"a\":1}"), "{forwarded}");
}

#[tokio::test]
async fn upload_with_trailers_keeps_them() {
    let (mut caller, upstream) = gateway(PayloadLayer::new()).await;
    let upstream = answering(upstream, "\r\n0\r\nx-sum: 1\r\n\r\n");
    let chunks =
        "trailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\nx-sum: 1\r\n\r\n";
    caller.write_all(format!("{HEAD}{chunks}").as_bytes()).await.unwrap();
    assert!(read_until(&mut caller, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK"));
    let forwarded = upstream.await.unwrap();
    assert!(forwarded.contains("transfer-encoding: chunked\r\n"), "{forwarded}");
    assert!(!forwarded.contains("content-length"), "{forwarded}");
}

#[tokio::test]
async fn streamed_upload_is_forwarded_unchanged() {
    let (mut caller, mut upstream) = gateway(PayloadLayer::streamed()).await;
    let chunk = "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
    caller.write_all(format!("{HEAD}{chunk}").as_bytes()).await.unwrap();
    // Before the rest is even there.
    let forwarded = read_until(&mut upstream, "3\r\nabc\r\n").await;
    assert!(forwarded.contains("transfer-encoding: chunked\r\n"), "{forwarded}");
    caller.write_all(b"0\r\n\r\n").await.unwrap();
    read_until(&mut upstream, "0\r\n\r\n").await;
}

#[tokio::test]
async fn streamed_upload_beyond_the_limit_is_aborted_upstream() {
    let (mut caller, mut upstream) = gateway(PayloadLayer::streamed().max_body_bytes(4)).await;
    let chunks = "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    caller.write_all(format!("{HEAD}{chunks}").as_bytes()).await.unwrap();
    assert!(read_until(&mut caller, "\r\n\r\n").await.starts_with("HTTP/1.1 502"));
    let mut forwarded = String::new();
    upstream.read_to_string(&mut forwarded).await.unwrap();
    assert!(!forwarded.ends_with("0\r\n\r\n"), "{forwarded}");
}

#[tokio::test]
async fn rest_of_a_rejected_body_is_not_parsed_as_a_request() {
    let (mut caller, mut upstream) = gateway(PayloadLayer::new().max_body_bytes(9)).await;
    let inside = "GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n";
    let head = format!("{HEAD}content-length: {}\r\n\r\n", inside.len());
    caller.write_all(format!("{head}{inside}").as_bytes()).await.unwrap();
    assert!(read_until(&mut caller, "\r\n\r\n").await.starts_with("HTTP/1.1 413"));
    drop(caller);
    let mut forwarded = String::new();
    upstream.read_to_string(&mut forwarded).await.unwrap();
    assert_eq!(forwarded, "");
}

#[tokio::test(start_paused = true)]
async fn a_stalled_upload_gets_a_response() {
    let (mut caller, _upstream) = gateway(PayloadLayer::new()).await;
    caller.write_all(format!("{HEAD}content-length: 3\r\n\r\n[1").as_bytes()).await.unwrap();
    assert!(read_until(&mut caller, "\r\n\r\n").await.starts_with("HTTP/1.1 408"));
}

// === axum ===

/// Where the outer layer's document lies in memory.
#[derive(Clone)]
struct Place(usize);

fn place(payload: &Payload) -> usize {
    payload.document().map_or(0, |document| std::ptr::from_ref(document).addr())
}

/// Answers with the length of the list that the body holds.
async fn inspect(request: Request<Payload>) -> Result<Response<String>, Infallible> {
    assert_eq!(request.extensions().get::<Place>().unwrap().0, place(request.body()));
    let length = request.body().document().map_or(0, |document| document.root().len());
    let context = RequestContext::of(request.extensions()).unwrap();
    Ok(Response::new(format!("{length} of {}", context.outcome().bytes_in)))
}

fn app() -> Router {
    // The router hides the type of the body from the layer inside it.
    let inside = PayloadLayer::new().layer(service_fn(inspect));
    let outside = ServiceBuilder::new().layer(PayloadLayer::new().max_body_bytes(64)).map_request(
        |mut request: Request<Payload>| {
            let place = Place(place(request.body()));
            request.extensions_mut().insert(place);
            request
        },
    );
    Router::new()
        .route("/json", post_service(inside))
        .route("/text", axum::routing::post(|text: String| async move { text }))
        .layer(outside)
}

async fn ask(path: &str, body: &'static str) -> (StatusCode, String) {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.body(axum::body::Body::from(body)).unwrap();
    let response = app().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn layer_works_around_and_inside_an_axum_router() {
    assert_eq!(ask("/json", "[1,2]").await, (StatusCode::OK, "2 of 5".to_owned()));
    assert_eq!(ask("/text", "[1, 2]").await, (StatusCode::OK, "[1, 2]".to_owned()));
    let (status, body) = ask("/text", "[1, 2").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("malformed-payload"), "{body}");
    let long = r#"["0123456789012345678901234567890123456789012345678901234567890123456789"]"#;
    assert_eq!(ask("/json", long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn axum_behind_hyper_reads_a_chunked_upload() {
    let mut caller = serve(app());
    let chunks = "transfer-encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n";
    let head = "POST /json HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n";
    caller.write_all(format!("{head}{chunks}").as_bytes()).await.unwrap();
    read_until(&mut caller, "\r\n\r\n2 of 5").await;
}
