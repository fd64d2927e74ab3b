//! `CacheLayer`.

#[path = "../support/conformance.rs"]
mod conformance;
#[path = "../support/scripts.rs"]
mod scripts;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/token.rs"]
mod token;

mod bypasses;
mod compressed;
mod counts;
mod flights;
mod freshness;
mod hits;
mod invalidation;
mod readers;
mod shared;
mod spellings;
mod stack;
mod stored;
mod streams;
mod tier;
mod wire;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::{Layer, Service, ServiceExt as _};
use tower_inference::{
    cache::{CacheLayer, MemoryTier, ResponseBody, Scope, SharedCalls},
    clock::{FakeClock, SharedClock},
    context::RequestContext,
    identity::{Identity, Proof},
    payload::Payload,
};

use crate::support::{ScriptedBody, Step};

const ISSUER: &str = "https://issuer.example";
const CHAT: &str = "/v1/chat/completions";

/// A layer with a fake clock.
fn layer(scope: Scope) -> (CacheLayer, FakeClock) {
    // 2026-11-23 09:08:07 UTC.
    let clock = FakeClock::new(std::time::UNIX_EPOCH + Duration::from_secs(1_795_424_887));
    let layer = CacheLayer::new("router", scope).clock(SharedClock::new(clock.clone()));
    (layer, clock)
}

fn user(subject: &str) -> Identity {
    Identity::new(Proof::Jwt, ISSUER, subject).with_tenant("acme")
}

/// A request with a body.
fn post(identity: Option<Identity>, path: &str, body: &str) -> Request<Payload> {
    let mut request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Payload::buffered(body.to_owned()))
        .unwrap();
    let context = RequestContext::ensure(request.extensions_mut());
    if let Some(identity) = identity {
        context.set_identity(Arc::new(identity));
    }
    request
}

/// A deterministic request.
fn plain() -> Request<Payload> {
    post(Some(user("a")), CHAT, r#"{"model":"m","temperature":0,"messages":[]}"#)
}

/// The same request for a stream.
fn streamed() -> Request<Payload> {
    post(Some(user("a")), CHAT, r#"{"model":"m","temperature":0,"messages":[],"stream":true}"#)
}

fn context<B>(request: &Request<B>) -> RequestContext {
    RequestContext::of(request.extensions()).unwrap().clone()
}

/// A scripted upstream that counts its calls.
#[derive(Clone)]
struct Upstream {
    respond: Arc<dyn Fn(usize, Request<Payload>) -> UpstreamFuture + Send + Sync>,
    calls: Arc<AtomicUsize>,
}

type UpstreamFuture = Pin<Box<dyn Future<Output = Result<Response<ScriptedBody>, Fault>> + Send>>;

#[derive(Debug, PartialEq)]
struct Fault;

impl Upstream {
    /// Responds at once, given the number of the call.
    fn new(
        respond: impl Fn(usize, Request<Payload>) -> Response<ScriptedBody> + Send + Sync + 'static,
    ) -> Self {
        Self::of(move |number, request| {
            let response = respond(number, request);
            Box::pin(async { Ok(response) })
        })
    }

    fn of(
        respond: impl Fn(usize, Request<Payload>) -> UpstreamFuture + Send + Sync + 'static,
    ) -> Self {
        Self { respond: Arc::new(respond), calls: Arc::default() }
    }

    /// Responds with the number of the call in a completion.
    fn numbers() -> Self {
        Self::new(|number, _| json(&completion(number)))
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

impl Service<Request<Payload>> for Upstream {
    type Response = Response<ScriptedBody>;
    type Error = Fault;
    type Future = UpstreamFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> UpstreamFuture {
        let number = self.calls.fetch_add(1, SeqCst);
        (self.respond)(number, request)
    }
}

/// A completion with this number, which is stored because it holds a result.
fn completion(number: usize) -> String {
    format!(
        "{{\"choices\":[{{\"message\":{{\"content\":\"{number}\"}},\"finish_reason\":\"stop\"}}]}}"
    )
}

/// A JSON response with its length.
fn json(body: &str) -> Response<ScriptedBody> {
    Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len())
        .body(ScriptedBody::new([Step::Bytes(Bytes::copy_from_slice(body.as_bytes()))]))
        .unwrap()
}

/// An event stream of these frames.
fn events(steps: impl IntoIterator<Item = Step>) -> Response<ScriptedBody> {
    Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .body(ScriptedBody::new(steps))
        .unwrap()
}

type CacheResponse = Response<ResponseBody<ScriptedBody>>;

async fn send(layer: &CacheLayer, upstream: &Upstream, request: Request<Payload>) -> CacheResponse {
    layer.layer(upstream.clone()).oneshot(request).await.unwrap()
}

/// Reads the frames and the trailers of a response.
async fn read(response: CacheResponse) -> (Vec<Bytes>, Option<HeaderMap>) {
    let mut body = response.into_body();
    let (mut frames, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.unwrap().into_data() {
            Ok(data) => frames.push(data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    (frames, trailers)
}

async fn text(response: CacheResponse) -> String {
    String::from_utf8(read(response).await.0.concat()).unwrap()
}

/// Returns the body of the response to a request.
async fn body_of(layer: &CacheLayer, upstream: &Upstream, request: Request<Payload>) -> String {
    text(send(layer, upstream, request).await).await
}
