//! A gateway on hyper: one stack around an HTTP client.
//!
//! `cargo run --example hyper` prints commands to paste. The upstream is a script in this process. The
//! comments say what a real one needs.

use std::{convert::Infallible, env, error::Error, io, time::Duration};

use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tower::{Layer, Service};
use tower_inference::{
    access_log::{AccessLogLayer, Sink},
    auth::AuthLayer,
    cache::{CacheLayer, Scope},
    hf::{HfTokenLayer, TokenSource},
    limits::{Limit, Rate},
    model::Profile,
    request_id::RequestIdLayer,
    schema::{BuiltInSchemas, SchemaLayer},
    secret::Secret,
    stack::Stack,
    stalled_reader::StalledReaderLayer,
    test_util::{TestIssuer, TestResponse, TestUpstream},
    throttle::ThrottleLayer,
    upstream::UpstreamLayer,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // For your identity provider: `RemoteKeys::discovery(issuer, client).build()?`.
    let issuer = TestIssuer::new();
    // For a real upstream: `HttpsClient::builder().build()?`.
    let client = TestUpstream::new(TestResponse::chat("Hello from the script"));
    // For a real token: `TokenSource::env("HF_TOKEN")?`.
    let token = TokenSource::value(Secret::new("hf_example"))?;

    let log = Sink::new(io::stderr())?;
    let limit = Limit::per_identity(Rate::per_second(1).burst(5));
    let schemas = BuiltInSchemas::new(Profile::router());
    let gateway = Stack::new() // each layer has its place, whatever the order of the calls
        .stalled_reader(StalledReaderLayer::new())
        .request_id(RequestIdLayer::new())
        .access_log(AccessLogLayer::json(log.clone()))
        .auth(AuthLayer::new(issuer.jwt().required_scopes(["infer"])?))
        .throttle(ThrottleLayer::new(limit))
        .schema(SchemaLayer::built_in(&schemas))
        .cache(CacheLayer::new("router", Scope::Identity).cache_status())
        .upstream(UpstreamLayer::new().total_timeout(Duration::from_secs(600)))
        .hf_token(HfTokenLayer::new("https://router.huggingface.co".parse()?, token))
        .layer(client);

    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}/v1/chat/completions", listener.local_addr()?);
    println!("listening on http://{}", listener.local_addr()?);
    println!("TOKEN={}", issuer.token("ann").scope("infer"));
    let chat = r#"{"temperature": 0, "messages": [{"role": "user", "content": "Hi"}]}"#;
    println!(r#"curl {url} -H "authorization: Bearer $TOKEN" --json '{chat}'"#);

    serve(listener, gateway).await?;
    if !log.flush() {
        eprintln!("the access log lost lines");
    }
    Ok(())
}

/// Serves until SIGTERM and then completes the requests in flight.
async fn serve<S, B>(listener: TcpListener, gateway: S) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = http::Response<B>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    // hyper has no timeout for request heads without a timer.
    server.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    server.http2().timer(TokioTimer::new());
    let graceful = GracefulShutdown::new();
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = terminate.recv() => break,
        };
        let service = TowerToHyperService::new(gateway.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("connection: {error}");
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
    Ok(())
}
