//! `RequestIdLayer`: which id, where it goes, and the span that everything runs in.

#[path = "../support/mod.rs"]
mod support;

mod amzn;
mod chosen;
mod contract;
mod generated;
mod trace;
mod w3c;
mod wire;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    thread,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{context::RequestContext, request_id::RequestIdLayer};
use tracing::{
    Dispatch, Id, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::{DefaultGuard, Interest, NoSubscriber},
};
use uuid::Uuid;

use proptest::prelude::*;

/// Of an id that is kept.
const LONGEST: usize = 128;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// What one exchange shows: the ids that the inner service saw in the field and in the context,
/// and those of the answer.
#[derive(Debug, PartialEq)]
struct Ids {
    upstream: Vec<String>,
    context: Option<String>,
    client: Vec<String>,
}

impl Ids {
    /// The one id, the same everywhere.
    fn only(&self) -> &str {
        let id = self.context.as_deref().unwrap();
        assert_eq!((&*self.upstream, &*self.client), (&[id.to_owned()][..], &[id.to_owned()][..]));
        id
    }
}

fn ids(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all("x-request-id").iter();
    all.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()).collect()
}

fn exchange(layer: &RequestIdLayer, request: Request<()>) -> Ids {
    let mut seen = (Vec::new(), None);
    let inner = |request: Request<()>| {
        let context = RequestContext::of(request.extensions()).unwrap();
        seen = (ids(request.headers()), context.request_id().map(str::to_owned));
        Response::new(())
    };
    let mut service = layer.layer(Once(inner));
    let response = now(service.call(request)).unwrap();
    let client = ids(response.headers());
    drop(service);
    Ids { upstream: seen.0, context: seen.1, client }
}

/// A service out of a closure that need be neither `Clone` nor asked whether it is ready.
struct Once<F>(F);

impl<F, B, R> Service<Request<B>> for Once<F>
where
    F: FnMut(Request<B>) -> Response<R>,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Ready<Result<Response<R>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok((self.0)(request)))
    }
}

/// The output of a future that does not wait.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

fn request(inbound: &[&str]) -> Request<()> {
    let mut request = Request::new(());
    for id in inbound {
        let id = HeaderValue::from_bytes(id.as_bytes()).unwrap();
        request.headers_mut().append("x-request-id", id);
    }
    request
}

fn is_ours(id: &str) -> bool {
    Uuid::parse_str(id).is_ok_and(|id| id.get_version_num() == 7)
        && id.len() == 36
        && !id.contains(|c: char| c.is_ascii_uppercase())
}

/// A subscriber that keeps spans and events.
#[derive(Clone, Default)]
struct Spans {
    kept: Arc<Mutex<Kept>>,
    deaf: bool,
}

#[derive(Default)]
struct Kept {
    made: Vec<(String, Vec<(String, String)>)>,
    entered: Vec<u64>,
    events: Vec<(String, Option<u64>)>,
    handles: i64,
}

impl Spans {
    fn made(&self) -> Vec<(String, Vec<(String, String)>)> {
        self.kept.lock().unwrap().made.clone()
    }

    fn events(&self) -> Vec<(String, Option<u64>)> {
        self.kept.lock().unwrap().events.clone()
    }

    fn open(&self) -> i64 {
        self.kept.lock().unwrap().handles
    }
}

/// Makes `spans` the subscriber of this thread until the result is dropped.
fn listen(spans: &Spans) -> (Dispatch, DefaultGuard) {
    // If a process has one subscriber alone, tracing asks that of the thread that meets a span first.
    // It may be the thread of another test, which has none, and the span would be off for all.
    let another = Dispatch::new(NoSubscriber::default());
    (another, tracing::subscriber::set_default(spans.clone()))
}

struct Fields(Vec<(String, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push((field.name().to_owned(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name().to_owned(), value.to_owned()));
    }
}

impl Subscriber for Spans {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        !self.deaf
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> Id {
        let mut fields = Fields(Vec::new());
        span.record(&mut fields);
        let mut kept = self.kept.lock().unwrap();
        kept.made.push((span.metadata().name().to_owned(), fields.0));
        kept.handles += 1;
        Id::from_u64(kept.made.len() as u64)
    }

    fn record(&self, _span: &Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        let mut kept = self.kept.lock().unwrap();
        let span = kept.entered.last().copied();
        kept.events.push((fields.0.remove(0).1, span));
    }

    fn enter(&self, span: &Id) {
        self.kept.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.kept.lock().unwrap().entered.pop(), Some(span.into_u64()));
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.kept.lock().unwrap().handles += 1;
        id.clone()
    }

    fn try_close(&self, _id: Id) -> bool {
        let mut kept = self.kept.lock().unwrap();
        kept.handles -= 1;
        kept.handles == 0
    }
}
