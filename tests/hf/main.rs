//! `HfTokenLayer`: where a request goes, what it carries, and what comes back.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/wire.rs"]
mod wire;

mod bodies;
mod contract;
mod fetched_tokens;
mod on_the_wire;
mod rejected_tokens;
mod request;
mod response;
mod tokens;

use std::{
    convert::Infallible,
    fs,
    future::{Ready, ready},
    io,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_inference::{
    clock::{FakeClock, SharedClock},
    context::RequestContext,
    hf::{HfTokenLayer, Origin, ResponseBody, TokenSource},
    secret::Secret,
    upstream::UpstreamLayer,
};

use crate::{
    support::{Probe, ScriptedBody, Step},
    wire::Log,
};

const ROUTER: &str = "https://router.huggingface.co";
const TOKEN: &str = "hf_theGatewaysOwn";

fn source() -> TokenSource {
    TokenSource::value(Secret::new(TOKEN)).unwrap()
}

fn layer() -> HfTokenLayer {
    HfTokenLayer::new(ROUTER.parse().unwrap(), source())
}

/// What the client is called with.
async fn sent(layer: HfTokenLayer, request: Request<()>) -> Request<()> {
    let sent = Mutex::new(None);
    let client = service_fn(|request: Request<()>| {
        *sent.lock().unwrap() = Some(request);
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    });
    layer.layer(client).oneshot(request).await.unwrap();
    sent.into_inner().unwrap().expect("the client is called")
}

/// Returns the response that the caller gets for a response of the upstream.
async fn received<R>(layer: HfTokenLayer, response: Response<R>) -> Response<ResponseBody<R>>
where
    R: http_body::Body<Data = Bytes>,
{
    let response = Mutex::new(Some(response));
    let client = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(response.lock().unwrap().take().unwrap()))
    });
    layer.layer(client).oneshot(Request::new(())).await.unwrap()
}

/// A folder of a test's own, gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("token-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

/// A layer whose token is in a file, and the clock it looks at.
struct Filed {
    layer: HfTokenLayer,
    clock: FakeClock,
}

impl Filed {
    fn new(path: PathBuf) -> Self {
        let clock = FakeClock::new(UNIX_EPOCH);
        let source = TokenSource::file(path).unwrap().clock(SharedClock::new(clock.clone()));
        Self { layer: HfTokenLayer::new(ROUTER.parse().unwrap(), source), clock }
    }

    async fn token(&self) -> String {
        let sent = sent(self.layer.clone(), Request::new(())).await;
        sent.headers()["authorization"].to_str().unwrap().replace("Bearer ", "")
    }

    async fn token_a_second_later(&self) -> String {
        self.clock.advance(Duration::from_secs(1));
        self.token().await
    }
}
