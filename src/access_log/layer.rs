use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::{RequestBody, ResponseBody},
    event::Events,
    format::Format,
    future::ResponseFuture,
    lines::Lines,
    open_record::OpenRecord,
    settings::Settings,
    sink::Sink,
};
use crate::{
    clock::SharedClock,
    context::{self, RequestContext},
    peer::PeerAddress,
    record::{GenAiConventions, RecordSink},
    rejection::{Refusal, Rejection, RejectionFormat},
    secret::Scrubber,
    skip::Skip,
};

/// An operator mends a full disk within minutes rather than seconds.
const RETRY_AFTER: Duration = Duration::from_secs(30);

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
        Self::sink(Events::new())
    }

    /// Creates a layer that writes each record as a line of JSON.
    #[must_use]
    pub fn json(sink: Sink) -> Self {
        Self::sink(sink)
    }

    /// Creates a layer that writes each record as a line of `format`.
    #[must_use]
    pub fn lines(sink: Sink, format: Format) -> Self {
        Self::sink(Lines::new(sink, format))
    }

    /// Creates a layer that writes to your own sink.
    #[must_use]
    pub fn sink(sink: impl RecordSink) -> Self {
        Self { settings: Arc::new(Settings::new(sink)) }
    }

    /// Adds a sink that gets the same records, such as metrics or an audit trail.
    #[must_use]
    pub fn and(self, sink: impl RecordSink) -> Self {
        self.set(|settings| settings.add(sink))
    }

    /// Opens a `tracing` span for the calls of a request to models and one for each attempt, with the
    /// names of these conventions.
    ///
    /// `tracing-opentelemetry` exports them. The span of the calls is rendered from the record at its end.
    /// By default there are none. The [module docs](super#spans) list them.
    #[must_use]
    pub fn spans(self, conventions: GenAiConventions) -> Self {
        self.set(|settings| settings.spans = Some(conventions))
    }

    /// Sets the format of the rejection when a sink [accepts no requests]. Defaults to
    /// [`RejectionFormat::Problem`].
    ///
    /// [accepts no requests]: RecordSink::accepts_requests
    #[must_use]
    pub fn rejections(self, format: RejectionFormat) -> Self {
        self.set(|settings| settings.format = format)
    }

    /// Does not read the usage and the end of the event stream from the response.
    ///
    /// By default the layer reads them as the response passes. It then requests an uncompressed
    /// response from the upstream.
    #[must_use]
    pub fn ignore_usage(self) -> Self {
        self.set(|settings| settings.usage = false)
    }

    /// Records the address of the client, read as for a limit. By default it is not recorded.
    ///
    /// Give the address that [`Limit::per_peer`] uses, so that the log names the client that a limit
    /// counts. The record has the whole address.
    ///
    /// [`Limit::per_peer`]: https://docs.rs/tower-inference/latest/tower_inference/limits/struct.Limit.html#method.per_peer
    #[must_use]
    pub fn client_address(self, address: PeerAddress) -> Self {
        self.set(|settings| settings.client_address = Some(address))
    }

    /// Adds a scrubber. A string of a record that holds one of its secrets becomes `[redacted]`.
    ///
    /// There is none by default. A [`Stack`](crate::stack::Stack) adds the scrubbers of its
    /// `HfTokenLayer` and of the targets of its `FallbackLayer`. Without a `Stack`, add that of each stage,
    /// which `Stage::scrubber` returns.
    #[must_use]
    pub fn scrubber(self, scrubber: Scrubber) -> Self {
        self.set(|settings| {
            settings.scrubbers = settings.scrubbers.iter().cloned().chain([scrubber]).collect();
        })
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

    // Not inlined, so that the caller has the future made in its place.
    #[inline(never)]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Before the call, so that a panic inside it leaves a record too.
        let mut record = match &self.settings {
            Some(settings) => OpenRecord::new(settings, &mut request),
            None => OpenRecord::none(),
        };
        if let Some(settings) = &self.settings
            && !settings.sinks.iter().all(|sink| sink.accepts_requests())
        {
            let responder = settings.format.for_layer(context::Layer::AccessLog, &request);
            let context = RequestContext::ensure(request.extensions_mut());
            let rejection = Rejection::new(Refusal::AuditUnavailable).with_retry_after(RETRY_AFTER);
            return ResponseFuture::reject(responder.pending(rejection, context), record);
        }
        let counter = record.byte_counter();
        let request = request.map(|body| RequestBody::new(body, counter));
        ResponseFuture::pass(&mut self.inner, request, &mut record)
    }
}
