use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::{RequestBody, ResponseBody},
    event::Events,
    future::ResponseFuture,
    record::{Entry, RecordSink},
    sink::Sink,
};
use crate::{clock::SharedClock, secret::Scrubber};

/// Writes one record of each request. See the [module's documentation](super).
#[derive(Clone, Debug)]
pub struct AccessLogLayer {
    settings: Arc<Settings>,
}

/// What the services of a layer have in common.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) sink: Arc<dyn RecordSink>,
    pub(super) scrubbers: Vec<Scrubber>,
    pub(super) clock: SharedClock,
    pub(super) usage: bool,
    pub(super) http_version: bool,
    pub(super) user_agent: bool,
}

impl AccessLogLayer {
    /// Writes `tracing` events: target `tower_inference::access`, level INFO, each record in one
    /// event. A request that comes while nobody listens to them is not recorded.
    #[must_use]
    pub fn new() -> Self {
        Self::to(Events)
    }

    /// Writes a line of JSON for each record.
    #[must_use]
    pub fn json(sink: Sink) -> Self {
        Self::to(sink)
    }

    /// Writes to a sink of your own.
    #[must_use]
    pub fn to(sink: impl RecordSink) -> Self {
        let settings = Settings {
            sink: Arc::new(sink),
            scrubbers: Vec::new(),
            clock: SharedClock::default(),
            usage: true,
            http_version: false,
            user_agent: false,
        };
        Self { settings: Arc::new(settings) }
    }

    /// Whether to read in the answer how many tokens it took and how its event stream ended.
    /// Default: true. The answer is read in passing, but the upstream is then asked not to
    /// compress it.
    #[must_use]
    pub fn usage(self, usage: bool) -> Self {
        self.set(|settings| settings.usage = usage)
    }

    /// Whether to record the version of HTTP. Default: false.
    #[must_use]
    pub fn http_version(self, http_version: bool) -> Self {
        self.set(|settings| settings.http_version = http_version)
    }

    /// Whether to record the field `user-agent`. Default: false.
    #[must_use]
    pub fn user_agent(self, user_agent: bool) -> Self {
        self.set(|settings| settings.user_agent = user_agent)
    }

    /// Replaces each string of a record that holds one of the scrubber's secrets by `[redacted]`.
    /// Each call adds one. None by default; a [`Stack`](crate::stack::Stack) adds that of its
    /// `HfTokenLayer`.
    #[must_use]
    pub fn scrubber(self, scrubber: Scrubber) -> Self {
        self.set(|settings| settings.scrubbers.push(scrubber))
    }

    /// Reads times and durations from `clock`. Default: the system's.
    #[must_use]
    pub fn clock(self, clock: SharedClock) -> Self {
        self.set(|settings| settings.clock = clock)
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl Default for AccessLogLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog { inner, settings: Arc::clone(&self.settings) }
    }
}

/// The service of [`AccessLogLayer`].
#[derive(Clone, Debug)]
pub struct AccessLog<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S, B, R> Service<Request<B>> for AccessLog<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Before the call, so that a panic in there leaves a record as well.
        let entry = Entry::open(&self.settings, &mut request);
        let counter = entry.counter();
        let inner = self.inner.call(request.map(|body| RequestBody::new(body, counter)));
        ResponseFuture::new(inner, entry)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("usage", &self.usage)
            .field("http_version", &self.http_version)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}
