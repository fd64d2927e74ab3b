//! `AccessLogLayer`: one record of each request, at its true end, whatever that is.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/written.rs"]
mod written;

mod bodies;
mod contract;
mod credentials;
mod emf;
mod ends;
mod event;
mod first_token;
mod formats;
mod hostile;
mod pseudonyms;
mod record;
mod sampling;

use std::{
    convert::Infallible,
    fmt,
    future::{Future, Ready, ready},
    io,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_inference::{
    access_log::{AccessLogLayer, Format, RequestBody, ResponseBody, Sink},
    clock::{FakeClock, SharedClock},
    context::{RequestContext, StreamEnd, Usage},
    identity::{Identity, Proof},
    record::Record,
};
use tracing::{Subscriber, field::Visit};

use crate::{
    support::{ScriptedBody, Step},
    written::Written,
};

use proptest::prelude::*;

/// A layer whose lines the test reads.
struct Log {
    layer: AccessLogLayer,
    sink: Sink,
    written: Written,
    clock: FakeClock,
}

impl Log {
    fn new() -> Self {
        Self::of(AccessLogLayer::json)
    }

    /// A log of lines of this format.
    fn format(format: Format) -> Self {
        Self::of(|sink| AccessLogLayer::lines(sink, format))
    }

    fn of(layer: impl FnOnce(Sink) -> AccessLogLayer) -> Self {
        let written = Written::default();
        let sink = Sink::new(written.clone()).unwrap().drain_timeout(Duration::from_secs(60));
        let clock = FakeClock::new(UNIX_EPOCH + Duration::from_millis(1_795_424_887_006));
        let layer = layer(sink.clone()).clock(SharedClock::new(clock.clone()));
        Self { layer, sink, written, clock }
    }

    fn text(&self) -> String {
        assert!(self.sink.flush());
        self.written.text()
    }

    fn records(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one record there is.
    fn record(&self) -> Value {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "{records:?}");
        records.remove(0)
    }

    /// Outcome, status (0: none) and bytes out of the one record there is.
    fn end(&self) -> (String, u64, u64) {
        let record = self.record();
        let number = |name: &str| record[name].as_u64().unwrap_or_default();
        (record["outcome"].as_str().unwrap().to_owned(), number("status"), number("bytes_out"))
    }
}

fn end(outcome: &str, status: u64, bytes_out: u64) -> (String, u64, u64) {
    (outcome.to_owned(), status, bytes_out)
}

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits"),
    }
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).body(Empty::new()).unwrap()
}

/// A service that answers each request with what `make` gives.
fn answering<B, R>(
    make: impl Fn(Request<B>) -> Response<R> + Clone,
) -> impl Service<
    Request<B>,
    Response = Response<R>,
    Error = Infallible,
    Future = Ready<Result<Response<R>, Infallible>>,
> + Clone {
    service_fn(move |request| ready(Ok(make(request))))
}

fn trailers(grpc_status: &'static str) -> HeaderMap {
    let status = HeaderValue::from_static(grpc_status);
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), status)])
}
