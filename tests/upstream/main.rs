//! `UpstreamLayer`: deadlines, slots and the errors and responses of the HTTP client.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/wire.rs"]
mod wire;

mod after_head;
mod before_head;
mod busy;
mod messages;
mod on_the_wire;
mod queue;
mod readiness;
mod runtime;
mod slots;

use std::{
    error::Error,
    fmt,
    future::{Ready, pending, ready},
    io,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    context::RequestContext,
    rejection::{Refusal, Rejection},
    upstream::{BodyError, ResponseBody, Upstream, UpstreamLayer},
};

use crate::{
    support::{ScriptedBody, Step},
    wire::Log,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn request() -> Request<()> {
    Request::new(())
}

/// A service that responds to every request with a new response of `make`.
fn responding<R>(
    make: impl Fn() -> Response<R> + Clone,
) -> impl Service<Request<()>, Response = Response<R>, Error = io::Error, Future: Send> + Clone
where
    R: Send + 'static,
{
    service_fn(move |_: Request<()>| ready(Ok(make())))
}

/// The timer inside keeps the body where it is.
type Boxed<R> = Pin<Box<ResponseBody<R>>>;

fn body<R>(response: Response<ResponseBody<R>>) -> Boxed<R> {
    Box::pin(response.into_body())
}

/// What a body of these steps turns into.
async fn body_of(layer: UpstreamLayer, body: ScriptedBody) -> Boxed<ScriptedBody> {
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let service = service_fn(move |_: Request<()>| {
        ready(Ok::<_, io::Error>(Response::new(body.lock().unwrap().take().unwrap())))
    });
    Box::pin(layer.layer(service).oneshot(request()).await.unwrap().into_body())
}

fn poll_once<B: Body + Unpin>(body: &mut B) -> Poll<()> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop())).map(drop)
}

/// Counts itself down when it goes.
#[derive(Debug)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
