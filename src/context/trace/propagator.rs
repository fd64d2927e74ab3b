use http::HeaderMap;
use tracing::Span;

/// Writes the trace headers of a tracing system in place of those of this crate.
///
/// Without one, [`RequestIdLayer`](crate::request_id::RequestIdLayer) makes the ids of spans itself. A
/// program that exports its spans has other ids: those of the exporter. With a propagator the upstream
/// receives these. The package `tests/otel` of the repository has one for `tracing-opentelemetry`.
pub trait Propagator: Send + Sync + 'static {
    /// Makes the sender of `headers` the parent of the server span.
    ///
    /// Called once for each request, before `span` is entered. The headers `traceparent` and
    /// `tracestate` are valid, and absent when the request has no trace that is continued.
    /// `is_trusted` tells whether the peer is trusted. The flag `sampled` of another one is cleared.
    fn extract(&self, span: &Span, headers: &HeaderMap, is_trusted: bool);

    /// Writes the headers of a request that `span` sends.
    ///
    /// Called once for each request with the server span and once for each attempt with the span of the
    /// attempt. `span` is disabled when no subscriber listens. The headers `traceparent` and `tracestate`
    /// are absent at first. Without a valid `traceparent` for the server span, the layer makes the ids of
    /// the request itself.
    fn inject(&self, span: &Span, headers: &mut HeaderMap);
}
