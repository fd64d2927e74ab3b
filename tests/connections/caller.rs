//! The client under test, below the layer that makes responses of its errors.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt};
use tower_inference::{
    client::{Builder, HttpsClient, ResponseBody as ClientBody},
    context::RequestContext,
    payload::Payload,
    upstream::{ResponseBody, Upstream, UpstreamLayer},
};

pub(crate) const CHAT: &str = "/v1/chat/completions";
pub(crate) const HELLO: &str = r#"{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}"#;

/// Callers share the pool of their clones.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    upstream: Upstream<HttpsClient<Payload>>,
    base: String,
}

/// What came of a request.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    /// As the record of the request has it.
    pub(crate) attempts: u32,
    /// Whether the body of the response was whole.
    pub(crate) whole: bool,
}

impl Caller {
    pub(crate) fn new(builder: Builder, address: SocketAddr) -> Self {
        Self::of(builder, UpstreamLayer::new(), format!("http://{address}"))
    }

    pub(crate) fn of(builder: Builder, layer: UpstreamLayer, base: String) -> Self {
        Self { upstream: layer.layer(builder.build_for().unwrap()), base }
    }

    /// Opens a connection, and leaves it in the pool.
    pub(crate) async fn warm(&self) {
        assert_eq!(self.get("/v1/models").await.status, 200);
        settle().await;
    }

    pub(crate) async fn chat(&self) -> Outcome {
        self.post(CHAT, HELLO).await
    }

    pub(crate) async fn get(&self, path: &str) -> Outcome {
        self.send(Request::get(format!("{}{path}", self.base)).body(Payload::default()).unwrap())
            .await
    }

    pub(crate) async fn post(&self, path: &str, json: &str) -> Outcome {
        self.send(self.request(path, Payload::buffered(json.to_owned()))).await
    }

    pub(crate) async fn stream(&self, path: &str, json: &'static str) -> Outcome {
        self.send(self.request(path, Payload::streamed(Full::new(Bytes::from(json))))).await
    }

    fn request(&self, path: &str, body: Payload) -> Request<Payload> {
        Request::post(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .unwrap()
    }

    pub(crate) async fn send(&self, mut request: Request<Payload>) -> Outcome {
        let context = RequestContext::new();
        request.extensions_mut().insert(context.clone());
        let mut upstream = self.upstream.clone();
        let Ok(upstream) = upstream.ready().await;
        let response: Response<ResponseBody<ClientBody>> = upstream.call(request).await.unwrap();
        let status = response.status().as_u16();
        let whole = response.into_body().collect().await.is_ok();
        Outcome { status, attempts: context.outcome().attempts, whole }
    }
}

/// Runs `test` while tokio's clock stands still, but where the test advances it. A clock that is
/// paused moves by itself when all tasks wait, as they do for a socket: one of them never does.
pub(crate) async fn stopped<T>(test: impl Future<Output = T>) -> T {
    tokio::time::pause();
    let busy = async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = test => done,
        () = busy => unreachable!(),
    }
}

/// Lets the tasks of connections do what they can do now: a connection goes back to the pool after
/// the response has been read.
pub(crate) async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}
