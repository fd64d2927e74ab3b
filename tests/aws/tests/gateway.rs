//! A gateway on hyper and the upstream behind it.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::Instant};
use tower::Layer;
use tower_inference::{
    client::HttpsClient,
    hf::{HfTokenLayer, TokenSource},
    payload::PayloadLayer,
    request_id::RequestIdLayer,
    stack::Stack,
    upstream::UpstreamLayer,
};

/// Beyond this a test has hung. Nothing is asserted about time.
const HUNG: Duration = Duration::from_secs(60);

/// An upstream that accepts certain tokens and answers everything else with 401.
#[derive(Clone)]
pub struct Upstream {
    pub address: SocketAddr,
    state: Arc<Mutex<UpstreamState>>,
}

#[derive(Default)]
struct UpstreamState {
    accepted: HashSet<String>,
    // The tokens of all requests, in order.
    received: Vec<String>,
    rejected: Vec<String>,
}

/// A gateway with one upstream.
pub struct Gateway {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What a client of the gateway gets.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub retry_after: Option<String>,
    pub body: String,
}

impl Upstream {
    pub async fn start(accepted: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        upstream.accept(accepted);
        let this = upstream.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = this.clone();
                tokio::spawn(async move {
                    let serve = service_fn(move |request| this.clone().serve(request));
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ended = server.serve_connection(TokioIo::new(stream), serve).await;
                });
            }
        });
        upstream
    }

    /// Accepts these tokens from now on and no others.
    pub fn accept(&self, tokens: &[&str]) {
        let mut state = self.state.lock().unwrap();
        state.accepted = tokens.iter().map(|&token| token.to_owned()).collect();
    }

    /// Returns the token of the latest request.
    pub fn latest(&self) -> Option<String> {
        self.state.lock().unwrap().received.last().cloned()
    }

    /// Returns the tokens that were answered with 401.
    pub fn rejected(&self) -> Vec<String> {
        self.state.lock().unwrap().rejected.clone()
    }

    /// Returns the number of requests.
    pub fn requests(&self) -> usize {
        self.state.lock().unwrap().received.len()
    }

    async fn serve(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        let token = token.to_owned();
        // A real server reads the request before it responds.
        request.into_body().collect().await?;
        let mut state = self.state.lock().unwrap();
        state.received.push(token.clone());
        let mut response = Response::new(Full::from("{}"));
        if !state.accepted.contains(&token) {
            state.rejected.push(token);
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        Ok(response)
    }
}

impl Gateway {
    pub async fn start(source: TokenSource, upstream: &Upstream) -> Self {
        let origin = format!("http://{}", upstream.address).parse().unwrap();
        let service = Stack::new()
            .request_id(RequestIdLayer::new())
            .payload(PayloadLayer::new())
            .upstream(UpstreamLayer::new())
            .hf_token(HfTokenLayer::new(origin, source))
            .layer(HttpsClient::builder().build().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ended = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, client }
    }

    /// Sends a chat request.
    pub async fn chat(&self) -> Reply {
        let uri = format!("http://{}/v1/chat/completions", self.address);
        let request = Request::post(uri).header("content-type", "application/json");
        let request = request.body(Full::from(r#"{"model":"m","messages":[]}"#)).unwrap();
        let response = unless_hung("a request", self.client.request(request)).await.unwrap();
        let (head, body) = response.into_parts();
        let retry_after = head.headers.get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Reply { status: head.status, retry_after, body }
    }
}

/// Sends requests until the upstream receives `token`. All of them must succeed.
pub async fn until_token(gateway: &Gateway, upstream: &Upstream, token: &str) {
    until(&format!("the token {token}"), async || {
        assert_eq!(gateway.chat().await.status, 200);
        upstream.latest().as_deref() == Some(token)
    })
    .await;
}

/// Repeats `look` until it finds something.
pub async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + HUNG;
    while !look().await {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn unless_hung<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(done) = tokio::time::timeout(HUNG, future).await else { panic!("hung: {what}") };
    done
}
