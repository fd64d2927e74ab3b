use std::{
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
    open_record::OpenRecord,
    record::RecordSink,
    settings::Settings,
    sink::Sink,
};
use crate::{clock::SharedClock, secret::Scrubber, skip::Skip};

/// A layer that writes one record of each request. See the [module docs](super) for an example.
#[derive(Clone, Debug)]
pub struct AccessLogLayer {
    settings: Arc<Settings>,
}

impl AccessLogLayer {
    /// Creates a layer that writes each record as one `tracing` event. The target is
    /// `tower_inference::access` and the level is INFO. A request that arrives while no subscriber
    /// listens is not recorded.
    #[must_use]
    pub fn new() -> Self {
        Self::sink(Events)
    }

    /// Creates a layer that writes each record as a line of JSON.
    #[must_use]
    pub fn json(sink: Sink) -> Self {
        Self::sink(sink)
    }

    /// Creates a layer that writes to your own sink.
    #[must_use]
    pub fn sink(sink: impl RecordSink) -> Self {
        Self { settings: Arc::new(Settings::new(sink)) }
    }

    /// Does not read the usage and the end of the event stream from the response.
    ///
    /// By default the layer reads them as the response passes. It then requests an uncompressed
    /// response from the upstream.
    #[must_use]
    pub fn ignore_usage(self) -> Self {
        self.set(|settings| settings.usage = false)
    }

    /// Records the HTTP version too.
    #[must_use]
    pub fn http_version(self) -> Self {
        self.set(|settings| settings.http_version = true)
    }

    /// Records the header `user-agent` too.
    #[must_use]
    pub fn user_agent(self) -> Self {
        self.set(|settings| settings.user_agent = true)
    }

    /// Adds a scrubber. A string of a record that holds one of its secrets becomes `[redacted]`.
    ///
    /// There is none by default. A [`Stack`](crate::stack::Stack) adds the scrubbers of its
    /// `HfTokenLayer` and of the targets of its `FallbackLayer`. Without a `Stack`, add that of each stage,
    /// which `Stage::scrubber` returns.
    #[must_use]
    pub fn scrubber(self, scrubber: Scrubber) -> Self {
        self.set(|settings| settings.scrubbers.push(scrubber))
    }

    /// Sets the clock of times and durations. Defaults to the system clock.
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
        AccessLog { inner, settings: Some(Arc::clone(&self.settings)) }
    }
}

impl<S> Skip<S> for AccessLogLayer {
    fn skip(inner: S) -> AccessLog<S> {
        AccessLog { inner, settings: None }
    }
}

/// Middleware that writes one record of each request.
///
/// [`AccessLogLayer`] has the settings.
#[derive(Clone, Debug)]
pub struct AccessLog<S> {
    inner: S,
    // `None` when disabled.
    settings: Option<Arc<Settings>>,
}

impl<S> AccessLog<S> {
    /// Wraps `inner` with the defaults of [`AccessLogLayer::new`].
    pub fn new(inner: S) -> Self {
        AccessLogLayer::new().layer(inner)
    }

    inner_service_accessors!();
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
        // Before the call, so that a panic inside it leaves a record too.
        let record = match &self.settings {
            Some(settings) => OpenRecord::new(settings, &mut request),
            None => OpenRecord::none(),
        };
        let counter = record.byte_counter();
        let inner = self.inner.call(request.map(|body| RequestBody::new(body, counter)));
        ResponseFuture::new(inner, record)
    }
}
