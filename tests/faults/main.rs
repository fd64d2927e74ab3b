//! Faults of the upstream, played on real sockets over HTTP/1.1 and HTTP/2, and the response that a
//! real client gets through a real server over either version.

#[path = "../support/faults.rs"]
mod faults;

mod cold;
mod fallback;
mod held;
mod http1;
mod http2;
mod queue;

use std::{convert::Infallible, fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;
use faults::{Act, FaultyUpstream, FullBacklog};
use http::{Request, Response, Version};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time::timeout};
use tower::{BoxError, Service, ServiceBuilder};
use tower_inference::{
    client::{Builder, HttpsClient},
    hf::{HfTokenLayer, Origin, TokenSource},
    payload::PayloadLayer,
    secret::Secret,
    upstream::UpstreamLayer,
};

/// The deadlines of the gateway in a case that waits for them.
const WAIT: Duration = Duration::from_millis(500);
/// The deadlines in every other case. A busy machine must not make them pass.
const NO_WAIT: Duration = Duration::from_secs(15);
/// A case that takes longer hangs.
const HANGS: Duration = Duration::from_secs(20);

/// The response that a client gets.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Outcome {
    /// A response of the gateway itself.
    Rejected(u16),
    /// The body came to its end in order.
    Whole(u16, String),
    /// The body broke off after these bytes.
    Cut(u16, String),
}

use Outcome::{Cut, Rejected, Whole};

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A server over both versions, and a client over one of them.
struct Front {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Front {
    async fn start<S, B>(service: S, version: Version) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                tokio::spawn(async move {
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    builder.serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        let client = Client::builder(TokioExecutor::new())
            .http2_only(version == Version::HTTP_2)
            .build_http();
        Self { address, client }
    }

    fn request(&self, body: &'static str) -> Request<Full<Bytes>> {
        Request::post(format!("http://{}/v1/chat/completions", self.address))
            .header("content-type", "application/json")
            .body(Full::from(body))
            .unwrap()
    }

    async fn outcome(&self, body: &'static str) -> Outcome {
        self.received(body, |_| ()).await.0
    }

    /// Returns the response and the target that served it. `read` sees the body so far after each frame.
    async fn received(&self, body: &'static str, read: impl Fn(&str)) -> (Outcome, Option<String>) {
        // A body that fails at once may take its head along.
        let Ok(response) = self.client.request(self.request(body)).await else {
            return (Cut(200, String::new()), None);
        };
        let header = |name| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        // The gateway's own errors have a form of their own.
        let is_ours = header("content-type").is_some_and(|kind| kind == "application/problem+json");
        let target = header("x-inference-target");
        let mut body = response.into_body();
        let mut text = String::new();
        let broken = loop {
            match body.frame().await {
                None => break false,
                Some(Err(_)) => break true,
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    text.push_str(&String::from_utf8_lossy(&data));
                    read(&text);
                }
            }
        };
        let outcome = match (is_ours, broken) {
            (true, _) => Rejected(status),
            (false, true) => Cut(status, text),
            (false, false) => Whole(status, text),
        };
        (outcome, target)
    }
}

/// A gateway between a client and an upstream.
struct Gateway {
    layer: UpstreamLayer,
    front: Front,
}

impl Gateway {
    async fn start(
        upstream: SocketAddr,
        client: Builder,
        front: Version,
        deadline: Duration,
    ) -> Self {
        let origin: Origin = format!("http://{upstream}").parse().unwrap();
        let token = TokenSource::value(Secret::new("hf_faults")).unwrap();
        let layer = UpstreamLayer::new()
            .head_timeout(deadline)
            .first_byte_timeout(deadline)
            .idle_timeout(deadline)
            .total_timeout(4 * deadline)
            .max_in_flight(4);
        let service = ServiceBuilder::new()
            .layer(PayloadLayer::streamed())
            .layer(layer.clone())
            .layer(HfTokenLayer::new(origin, token))
            .service(client.build().unwrap());
        Self { layer, front: Front::start(service, front).await }
    }

    async fn outcome(&self, body: &'static str) -> Outcome {
        self.front.outcome(body).await
    }

    /// Waits until every slot is given back.
    async fn is_idle(&self) {
        while self.layer.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn http1() -> Builder {
    HttpsClient::builder()
}

fn http2() -> Builder {
    http1().http2_prior_knowledge()
}

/// The outcome of a script for clients over HTTP/1.1 and over HTTP/2. Every slot and every connection
/// is given back.
async fn outcomes(client: Builder, script: &[Act], deadline: Duration) -> [Outcome; 2] {
    let mut outcomes = Vec::new();
    for front in [Version::HTTP_11, Version::HTTP_2] {
        let upstream = FaultyUpstream::start(vec![script.to_vec()]).await;
        let gateway = Gateway::start(upstream.address, client.clone(), front, deadline).await;
        let case = async {
            let outcome = gateway.outcome("{}").await;
            gateway.is_idle().await;
            outcome
        };
        let outcome = timeout(HANGS, case).await.unwrap_or_else(|_| panic!("hangs: {script:?}"));
        // An idle connection of the pool goes with the gateway.
        drop(gateway);
        outcomes.push(outcome);
    }
    outcomes.try_into().unwrap()
}

/// The deadlines of a case with this outcome.
const fn deadline(expected: &Outcome) -> Duration {
    match expected {
        Rejected(504) | Cut(..) => WAIT,
        Rejected(_) | Whole(..) => NO_WAIT,
    }
}

/// Checks that a script has the same outcome for clients over both versions.
async fn check(client: Builder, script: &[Act], expected: Outcome) {
    let shown: String = format!("{script:?}").chars().take(200).collect();
    let outcomes = outcomes(client, script, deadline(&expected)).await;
    assert_eq!(outcomes, [expected.clone(), expected], "{shown}");
}

/// As [`check`], and the gateway closes the connection to the upstream by itself.
async fn check_closed(client: Builder, script: &[Act], expected: Outcome) {
    for front in [Version::HTTP_11, Version::HTTP_2] {
        let upstream = FaultyUpstream::start(vec![script.to_vec()]).await;
        let deadline = deadline(&expected);
        let gateway = Gateway::start(upstream.address, client.clone(), front, deadline).await;
        let case = async {
            assert_eq!(gateway.outcome("{}").await, expected, "{script:?}");
            gateway.is_idle().await;
            upstream.all_closed().await;
        };
        timeout(HANGS, case).await.unwrap_or_else(|_| panic!("hangs: {script:?}"));
    }
}
