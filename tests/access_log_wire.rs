//! `AccessLogLayer` under a real server: what hyper polls and drops, and what a caller that leaves
//! does. Nothing waits for time to pass; each test waits for its record.

mod support;

use std::{
    convert::Infallible,
    future::{Future, pending},
    net::SocketAddr,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Channel, Empty, Full, channel::Sender};
use hyper::{body::Incoming, server::conn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use support::{ScriptedBody, Step};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, UnboundedReceiver},
    task::JoinHandle,
};
use tower::{Layer, Service, service_fn};
use tower_inference::{
    access_log::{AccessLogLayer, RequestBody},
    record::{Record, RequestOutcome},
};

/// What the tests ask of a record.
#[derive(Debug, PartialEq)]
struct Seen {
    outcome: RequestOutcome,
    status: Option<u16>,
    bytes: (u64, u64),
    grpc_status: Option<u32>,
}

fn seen(outcome: RequestOutcome, status: u16, bytes_out: u64) -> Seen {
    Seen { outcome, status: Some(status), bytes: (0, bytes_out), grpc_status: None }
}

/// A server of one connection.
struct Server {
    address: SocketAddr,
    records: UnboundedReceiver<Seen>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start<S, F, R>(http2: bool, respond: S) -> Self
    where
        S: Fn(Request<RequestBody<Incoming>>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<R>> + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (tell, records) = mpsc::unbounded_channel();
        let layer = AccessLogLayer::sink(move |record: &Record<'_>| {
            let _nobody_asks = tell.send(Seen {
                outcome: record.outcome(),
                status: record.status().map(|status| status.as_u16()),
                bytes: (record.bytes_in(), record.bytes_out()),
                grpc_status: record.grpc_status(),
            });
        });
        let inner = service_fn(move |request| {
            let response = respond(request);
            async move { Ok::<_, Infallible>(response.await) }
        });
        let service = layer.layer(inner);
        drop(layer);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, service, http2).await;
        });
        Self { address, records, task }
    }

    /// The one record, after which the connection is closed and no other comes.
    async fn record(mut self) -> Seen {
        let record = self.records.recv().await.unwrap();
        // Dropping the connection, and with it the last handles of the sink.
        self.task.abort();
        assert_eq!(self.records.recv().await, None, "a second record");
        record
    }

    /// Sends a request as written, and reads until `until` has come or the server has closed.
    async fn exchange(&self, request: &str, until: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut got = String::new();
        while !got.contains(until) {
            let mut buffer = [0; 4_096];
            let read = stream.read(&mut buffer).await.unwrap();
            if read == 0 {
                break;
            }
            got.push_str(str::from_utf8(&buffer[..read]).unwrap());
        }
        (stream, got)
    }
}

async fn serve<S, R>(stream: TcpStream, service: S, http2: bool)
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (stream, service) = (TokioIo::new(stream), TowerToHyperService::new(service));
    // A caller that leaves is an error of the connection, and what some of the tests are about.
    let _result = if http2 {
        conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
    } else {
        conn::http1::Builder::new().serve_connection(stream, service).await
    };
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("5"))])
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn answers_without_a_body_are_complete() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let server = Server::start(false, move |_| async move {
            Response::builder().status(status).body(ScriptedBody::new([Step::Stall])).unwrap()
        })
        .await;
        let request = format!("{method} / HTTP/1.1\r\nhost: a\r\n\r\n");
        let (_open, got) = server.exchange(&request, "\r\n\r\n").await;
        assert!(got.starts_with(&format!("HTTP/1.1 {status}")), "{got}");
        assert_eq!(server.record().await, seen(RequestOutcome::Complete, status, 0));
    }
}

#[tokio::test]
async fn an_empty_body_is_complete() {
    let server = Server::start(false, |_| async { Response::new(Empty::<Bytes>::new()) }).await;
    let (_open, got) = server.exchange(GET, "\r\n\r\n").await;
    assert!(got.contains("content-length: 0"), "{got}");
    assert_eq!(server.record().await, seen(RequestOutcome::Complete, 200, 0));
}

/// hyper polls such a body no further than its last byte.
#[tokio::test]
async fn a_body_of_known_length_is_complete_with_its_last_byte() {
    // Known by the body's own word, and by the field alone.
    let server = Server::start(false, |_| async {
        Response::new(
            ScriptedBody::new([Step::Data(b"hel"), Step::Data(b"lo"), Step::Stall]).announce(5),
        )
    })
    .await;
    let (_open, got) = server.exchange(GET, "hello").await;
    assert!(got.ends_with("hello"), "{got}");
    assert_eq!(server.record().await, seen(RequestOutcome::Complete, 200, 5));

    let server = Server::start(false, |_| async {
        let body = ScriptedBody::new([Step::Data(b"hel"), Step::Data(b"lo"), Step::Stall]);
        Response::builder().header("content-length", "5").body(body).unwrap()
    })
    .await;
    let (_open, got) = server.exchange(GET, "hello").await;
    assert!(got.ends_with("hello"), "{got}");
    assert_eq!(server.record().await, seen(RequestOutcome::Complete, 200, 5));

    let server =
        Server::start(false, |_| async { Response::new(Full::new(Bytes::from("hello"))) }).await;
    let (_open, _) = server.exchange(GET, "hello").await;
    assert_eq!(server.record().await, seen(RequestOutcome::Complete, 200, 5));
}

#[tokio::test]
async fn a_chunked_body_is_complete_with_its_end() {
    let server = Server::start(false, |_| async {
        Response::new(ScriptedBody::new([Step::Data(b"hel"), Step::Pending, Step::Data(b"lo")]))
    })
    .await;
    let (_open, got) = server.exchange(GET, "\r\n0\r\n\r\n").await;
    assert!(got.contains("transfer-encoding: chunked"), "{got}");
    assert_eq!(server.record().await, seen(RequestOutcome::Complete, 200, 5));
}

#[tokio::test]
async fn an_error_in_the_body_is_one() {
    let server = Server::start(false, |_| async {
        Response::new(ScriptedBody::new([Step::Data(b"hel"), Step::Pending, Step::Error]))
    })
    .await;
    let (_open, got) = server.exchange(GET, "never sent").await;
    assert!(!got.contains("\r\n0\r\n"), "{got}");
    assert_eq!(server.record().await, seen(RequestOutcome::Failed, 200, 3));
}

#[tokio::test]
async fn bytes_of_the_request_are_counted() {
    let server = Server::start(false, |request: Request<RequestBody<Incoming>>| async {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(Full::new(body))
    })
    .await;
    let request = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
    let (_open, _) = server.exchange(request, "abcdefg").await;
    assert_eq!(server.record().await.bytes, (7, 7));
}

#[tokio::test]
async fn a_caller_that_leaves_half_way_is_cancelled() {
    // The server's side of the stream stays open, and says nothing more.
    let (keep, mut kept) = mpsc::unbounded_channel::<Sender<Bytes, Infallible>>();
    let server = Server::start(false, move |_| {
        let keep = keep.clone();
        async move {
            let (mut sender, body) = Channel::new(1);
            sender.send_data(Bytes::from("hello")).await.unwrap();
            keep.send(sender).unwrap();
            Response::new(body)
        }
    })
    .await;
    let (open, got) = server.exchange(GET, "hello").await;
    assert!(got.contains("transfer-encoding: chunked"), "{got}");
    let _open_at_our_end = kept.recv().await.unwrap();
    drop(open);
    assert_eq!(server.record().await, seen(RequestOutcome::Cancelled, 200, 5));
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_head_is_cancelled_without_status() {
    let (came, mut coming) = mpsc::unbounded_channel();
    let server = Server::start(false, move |_| {
        came.send(()).unwrap();
        pending::<Response<Empty<Bytes>>>()
    })
    .await;
    let mut open = TcpStream::connect(server.address).await.unwrap();
    open.write_all(GET.as_bytes()).await.unwrap();
    coming.recv().await.unwrap();
    drop(open);
    let record = server.record().await;
    assert_eq!((record.outcome, record.status), (RequestOutcome::Cancelled, None));
}

// === HTTP/2 ===

/// Status and trailers of the answer, unless the stream was reset.
async fn over_http2(
    server: &Server,
    method: Method,
) -> hyper::Result<(StatusCode, Option<HeaderMap>)> {
    let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
    let _driver = tokio::spawn(connection);
    let request = Request::builder().method(method).uri("http://a/").body(Empty::<Bytes>::new());
    let response = client.send_request(request.unwrap()).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.trailers().cloned()))
}

#[tokio::test]
async fn trailers_are_an_end() {
    // Also after an announced length, which HTTP/2 allows.
    for announced in [false, true] {
        let server = Server::start(true, move |_| async move {
            let steps = [Step::Data(b"hel"), Step::Data(b"lo"), Step::Trailers(trailers())];
            let body = ScriptedBody::new(steps);
            Response::new(if announced { body.announce(5) } else { body })
        })
        .await;
        let (_, got) = over_http2(&server, Method::GET).await.unwrap();
        assert_eq!(got, Some(trailers()), "announced: {announced}");
        let expected = Seen { grpc_status: Some(5), ..seen(RequestOutcome::Complete, 200, 5) };
        assert_eq!(server.record().await, expected, "announced: {announced}");
    }
}

#[tokio::test]
async fn an_error_after_the_announced_bytes_is_one() {
    let server = Server::start(true, |_| async {
        let steps = [Step::Data(b"hel"), Step::Data(b"lo"), Step::Error];
        Response::new(ScriptedBody::new(steps).announce(5))
    })
    .await;
    over_http2(&server, Method::GET).await.unwrap_err();
    assert_eq!(server.record().await, seen(RequestOutcome::Failed, 200, 5));
}

#[tokio::test]
async fn a_head_request_over_http2_is_complete() {
    let server =
        Server::start(true, |_| async { Response::new(ScriptedBody::new([]).announce(5)) }).await;
    let (status, _) = over_http2(&server, Method::HEAD).await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(server.record().await, seen(RequestOutcome::Complete, 200, 0));
}
