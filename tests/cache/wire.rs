//! Concurrent requests over real connections.

use std::{convert::Infallible, net::SocketAddr};

use axum::{Router, body::Body, routing::post};
use http::Version;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet};
use tower_inference::{cache::Cacheable, payload::PayloadLayer, upstream::UpstreamLayer};

use super::*;

const MANY: usize = 1_000;

/// A server. The runtime of the test ends its tasks.
async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let mut server = auto::Builder::new(TokioExecutor::new());
                server.http2().max_concurrent_streams(2 * MANY as u32);
                let _client_left = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn client<B>(version: Version) -> Client<HttpConnector, B>
where
    B: http_body::Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http()
}

/// An upstream that counts its calls and finishes its response once all requests have come.
async fn upstream(stream: bool, come: Arc<Notify>) -> (SocketAddr, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let response = move || {
        let (counted, come) = (Arc::clone(&counted), Arc::clone(&come));
        async move {
            counted.fetch_add(1, SeqCst);
            let frames = (0..50).map(|number| format!("data: {{\"number\":{number}}}\n\n"));
            let frames: Vec<_> = frames.chain(["data: [DONE]\n\n".to_owned()]).collect();
            let response = Response::builder();
            if !stream {
                come.notified().await;
                let response = response.header("content-type", "application/json");
                let body = format!("{{\"text\":\"{}\"}}", "x".repeat(20_000));
                return response.body(Body::from(body)).unwrap();
            }
            // The head and half of the body come before the rest.
            let (send, body) = http_body_util::channel::Channel::<Bytes, Infallible>::new(100);
            tokio::spawn(async move {
                let mut send = send;
                let (half, rest) = frames.split_at(25);
                for frame in half {
                    send.send_data(frame.clone().into()).await.unwrap();
                }
                come.notified().await;
                for frame in rest {
                    send.send_data(frame.clone().into()).await.unwrap();
                }
            });
            response.header("content-type", "text/event-stream").body(Body::new(body)).unwrap()
        }
    };
    (serve(Router::new().route("/v1/chat/completions", post(response))).await, calls)
}

async fn a_thousand(version: Version, stream: bool) {
    let come = Arc::new(Notify::new());
    let (origin, calls) = upstream(stream, Arc::clone(&come)).await;
    let cache = CacheLayer::new("upstream", Scope::Shared).cacheable(Cacheable::always());
    let to_origin = tower::util::MapRequestLayer::new(move |mut request: Request<Payload>| {
        *request.uri_mut() = format!("http://{origin}{}", request.uri().path()).parse().unwrap();
        *request.version_mut() = Version::HTTP_11;
        request
    });
    let arrived = Arc::new(AtomicUsize::new(0));
    let caching =
        cache.clone().layer(UpstreamLayer::new().layer(to_origin.layer(client(Version::HTTP_11))));
    let counting = tower::service_fn(move |request: Request<Payload>| {
        // A request has joined once it was called.
        let response = caching.clone().oneshot(request);
        let (arrived, come) = (Arc::clone(&arrived), Arc::clone(&come));
        async move {
            let mut response = Box::pin(response);
            let first = std::future::poll_fn(|cx| Poll::Ready(response.as_mut().poll(cx))).await;
            if arrived.fetch_add(1, SeqCst) + 1 == MANY {
                come.notify_one();
            }
            match first {
                Poll::Ready(response) => response,
                Poll::Pending => response.await,
            }
        }
    });
    let counting = PayloadLayer::new().layer(counting);
    let server = serve(counting).await;

    let body = format!("{{\"model\":\"m\",\"messages\":[],\"stream\":{stream}}}");
    // Over HTTP/2, a hundred requests share a connection. A client's h2 rejects thousands of small
    // frames at once as a flood.
    let clients: Vec<_> = (0..10).map(|_| client(version)).collect();
    let mut reading = JoinSet::new();
    for number in 0..MANY {
        let request = Request::post(format!("http://{server}{CHAT}"))
            .version(version)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.clone())))
            .unwrap();
        let response = clients[number % clients.len()].request(request);
        reading.spawn(async {
            let response = response.await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            response.into_body().collect().await
        });
    }
    let mut first = None;
    let mut count = 0;
    while let Some(body) = reading.join_next().await {
        let body = body.unwrap().unwrap().to_bytes();
        assert_eq!(first.get_or_insert_with(|| body.clone()), &body);
        count += 1;
    }
    assert_eq!((count, calls.load(SeqCst)), (MANY, 1));
    assert!(first.unwrap().len() > 1_000);

    let counts = &cache.counts()[0];
    assert_eq!((counts.misses, counts.hits, counts.followers), (1, 0, MANY as u64 - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_plain_requests_over_http_1_are_one_call() {
    a_thousand(Version::HTTP_11, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_plain_requests_over_http_2_are_one_call() {
    a_thousand(Version::HTTP_2, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_streams_over_http_1_are_one_call() {
    a_thousand(Version::HTTP_11, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_streams_over_http_2_are_one_call() {
    a_thousand(Version::HTTP_2, true).await;
}

/// The upstream continues once the client has the first half.
#[tokio::test]
async fn the_first_byte_is_not_delayed() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let come = Arc::new(Notify::new());
        let (origin, _) = upstream(true, Arc::clone(&come)).await;
        let cache = CacheLayer::new("upstream", Scope::Shared).cacheable(Cacheable::always());
        let to_origin = tower::util::MapRequestLayer::new(move |mut request: Request<Payload>| {
            *request.uri_mut() = format!("http://{origin}{CHAT}").parse().unwrap();
            *request.version_mut() = Version::HTTP_11;
            request
        });
        let inner = UpstreamLayer::new().layer(to_origin.layer(client(Version::HTTP_11)));
        let server = serve(PayloadLayer::new().layer(cache.layer(inner))).await;
        let request = Request::post(format!("http://{server}{CHAT}"))
            .version(version)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from_static(b"[]")))
            .unwrap();
        let mut body = client(version).request(request).await.unwrap().into_body();
        let mut read = Vec::new();
        while !String::from_utf8_lossy(&read).contains("\"number\":24") {
            read.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        come.notify_one();
        read.extend_from_slice(&body.collect().await.unwrap().to_bytes());
        assert!(read.ends_with(b"data: [DONE]\n\n"));
    }
}

/// The windows are full before the client reads. h2 ends connections with too many small frames.
#[tokio::test]
async fn a_long_stream_is_replayed_to_a_slow_client() {
    let frames = (0..2_000).map(|number| format!("data: {{\"number\":{number}}}\n\n"));
    let frames: Vec<_> = frames.chain(["data: [DONE]\n\n".to_owned()]).collect();
    let sent = frames.concat();
    let upstream = Upstream::new(move |_, _| {
        events(frames.clone().into_iter().map(|frame| Step::Bytes(frame.into())))
    });
    let cache = CacheLayer::new("upstream", Scope::Shared).cacheable(Cacheable::always());
    let inner = tower::service_fn(move |request| {
        let upstream = upstream.clone();
        async move { Ok::<_, Infallible>(upstream.oneshot(request).await.unwrap()) }
    });
    let server = serve(PayloadLayer::new().layer(cache.layer(inner))).await;
    for version in [Version::HTTP_11, Version::HTTP_11, Version::HTTP_2] {
        let request = Request::post(format!("http://{server}{CHAT}"))
            .version(version)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from_static(b"[]")))
            .unwrap();
        let body = client(version).request(request).await.unwrap().into_body();
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(body.collect().await.unwrap().to_bytes(), sent, "{version:?}");
    }
}
