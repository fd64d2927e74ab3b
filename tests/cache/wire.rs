//! A thousand at once, over real connections.

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
use tower_inference::{
    cache::Cacheable, payload::PayloadLayer, stack::Stack, upstream::UpstreamLayer,
};

use super::*;

const MANY: usize = 1_000;

/// A server that lives as long as the test's runtime, which ends its tasks.
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

/// An upstream that ends its answer once all have come, and counts its calls.
async fn upstream(stream: bool, come: Arc<Notify>) -> (SocketAddr, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let answer = move || {
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
            // The head and half of it, and then the rest.
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
    (serve(Router::new().route("/v1/chat/completions", post(answer))).await, calls)
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
    let gateway = Stack::new()
        .payload(PayloadLayer::new())
        .cache(cache.clone())
        .upstream(UpstreamLayer::new())
        .layer(to_origin.layer(client(Version::HTTP_11)));
    let arrived = Arc::new(AtomicUsize::new(0));
    let counting = tower::service_fn(move |request: Request<Incoming>| {
        let (gateway, arrived) = (gateway.clone(), Arc::clone(&arrived));
        let come = Arc::clone(&come);
        async move {
            let mut answer = Box::pin(gateway.oneshot(request));
            // It is part of the flight once it was called.
            let first = std::future::poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
            if arrived.fetch_add(1, SeqCst) + 1 == MANY {
                come.notify_one();
            }
            match first {
                Poll::Ready(answer) => answer,
                Poll::Pending => answer.await,
            }
        }
    });
    let server = serve(counting).await;

    let body = format!("{{\"model\":\"m\",\"messages\":[],\"stream\":{stream}}}");
    let (mut asking, client) = (JoinSet::new(), client(version));
    for _ in 0..MANY {
        let request = Request::post(format!("http://{server}{CHAT}"))
            .version(version)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.clone())))
            .unwrap();
        asking.spawn(client.request(request));
    }
    let mut reading = JoinSet::new();
    while let Some(answer) = asking.join_next().await {
        let answer = answer.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        reading.spawn(answer.into_body().collect());
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

    // And what was kept is the same.
    let counts = &cache.counts()[0];
    assert_eq!((counts.misses, counts.hits + counts.followers), (1, MANY as u64 - 1));
    assert!(stream || counts.followers == MANY as u64 - 1, "{counts:?}");
}

#[tokio::test]
async fn a_thousand_plain_requests_over_http_1_are_one_call() {
    a_thousand(Version::HTTP_11, false).await;
}

#[tokio::test]
async fn a_thousand_plain_requests_over_http_2_are_one_call() {
    a_thousand(Version::HTTP_2, false).await;
}

#[tokio::test]
async fn a_thousand_streams_over_http_1_are_one_call() {
    a_thousand(Version::HTTP_11, true).await;
}

#[tokio::test]
async fn a_thousand_streams_over_http_2_are_one_call() {
    a_thousand(Version::HTTP_2, true).await;
}
