//! `FallbackLayer`: which target a request goes to, what is retried, and what the client gets.

mod attempts;
mod charges;
mod content;
mod cool_downs;
mod load;
mod log;
mod shared;
mod targets;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header::RETRY_AFTER};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt};
use tower_inference::{
    context::RequestContext,
    fallback::{FallbackLayer, Target},
    hf::{HfTokenLayer, Stage, TokenSource},
    model::Profile,
    payload::Payload,
    secret::Secret,
    test_util::{TestRequest, TestResponse, TestUpstream},
    upstream::UpstreamLayer,
};

/// Upstreams by their hosts.
#[derive(Clone, Default)]
pub struct Hosts {
    upstreams: BTreeMap<&'static str, TestUpstream>,
    delay: Duration,
    delays: BTreeMap<&'static str, Duration>,
}

impl Hosts {
    pub fn of(upstreams: impl IntoIterator<Item = (&'static str, TestUpstream)>) -> Self {
        Self { upstreams: upstreams.into_iter().collect(), ..Self::default() }
    }

    /// Lets each response come late.
    pub fn slow(self) -> Self {
        Self { delay: seconds(1), ..self }
    }

    /// Lets each response of a host come late.
    pub fn slow_at(mut self, host: &'static str, delay: Duration) -> Self {
        self.delays.insert(host, delay);
        self
    }

    /// The requests that a host has received.
    pub fn requests(&self, host: &str) -> Vec<TestRequest> {
        self.upstreams[host].requests()
    }

    /// The number of requests that each host has received, in the order of their names.
    pub fn calls(&self) -> Vec<usize> {
        self.upstreams.values().map(TestUpstream::calls).collect()
    }
}

impl Service<Request<Payload>> for Hosts {
    type Response = <TestUpstream as Service<Request<Payload>>>::Response;
    type Error = <TestUpstream as Service<Request<Payload>>>::Error;
    type Future = <TestUpstream as Service<Request<Payload>>>::Future;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let name = request.uri().host().unwrap().split('.').next().unwrap().to_owned();
        let response = self.upstreams.get_mut(&*name).unwrap().call(request);
        let delay = self.delays.get(&*name).copied().unwrap_or(self.delay);
        if delay.is_zero() {
            return response;
        }
        Box::pin(async move {
            let response = response.await;
            tokio::time::sleep(delay).await;
            response
        })
    }
}

/// A stage whose host and name are `name`.
pub fn stage(name: &str) -> Stage {
    let token = TokenSource::value(Secret::new(format!("hf_tokenOf{name}"))).unwrap();
    Stage::new(name, format!("https://{name}.example").parse().unwrap(), token)
}

pub fn target(name: &str) -> Target {
    Target::new(stage(name))
}

/// The targets `a` and `b` in this order.
pub fn two() -> FallbackLayer {
    FallbackLayer::new([target("a"), target("b")])
}

pub fn chat(body: impl Into<Bytes>) -> Request<Payload> {
    Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Payload::buffered(body))
        .unwrap()
}

pub fn hello() -> Request<Payload> {
    chat(r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#)
}

/// The response as the client got it.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub target: Option<String>,
    pub retry_after: Option<u64>,
    pub body: String,
    /// Whether the body ended without an error.
    pub is_whole: bool,
    pub context: RequestContext,
}

/// Sends a request through the layer, with `UpstreamLayer` and `HfTokenLayer` inside.
pub async fn send(layer: &FallbackLayer, hosts: &Hosts, request: Request<Payload>) -> Got {
    let inner = HfTokenLayer::stage(stage("default")).layer(hosts.clone());
    send_to(layer.layer(UpstreamLayer::new().layer(inner)), request).await
}

pub async fn send_to<S, B>(service: S, mut request: Request<Payload>) -> Got
where
    S: Service<Request<Payload>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
{
    let context = RequestContext::ensure(request.extensions_mut());
    let response = service.oneshot(request).await.unwrap();
    read(response, context).await
}

pub async fn read<B: Body<Data = Bytes>>(response: Response<B>, context: RequestContext) -> Got {
    let (head, body) = response.into_parts();
    let text = |name: &str| Some(head.headers.get(name)?.to_str().unwrap().to_owned());
    let mut body = std::pin::pin!(body);
    let (mut bytes, mut is_whole) = (Vec::new(), true);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => is_whole = false,
        }
    }
    Got {
        status: head.status.as_u16(),
        target: text("x-inference-target"),
        retry_after: text("retry-after").map(|seconds| seconds.parse().unwrap()),
        body: String::from_utf8(bytes).unwrap(),
        is_whole,
        context,
    }
}

pub fn status(status: u16) -> TestResponse {
    TestResponse::error(StatusCode::from_u16(status).unwrap())
}

pub fn busy(code: u16, retry_after: &'static str) -> TestResponse {
    status(code).header(RETRY_AFTER, HeaderValue::from_static(retry_after))
}

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Hosts `a` and `b` with one response each.
pub fn hosts(a: TestResponse, b: TestResponse) -> Hosts {
    Hosts::of([("a", TestUpstream::new(a)), ("b", TestUpstream::new(b))])
}

pub fn openai(name: &str) -> Target {
    Target::new(stage(name).profile(Profile::openai()))
}
