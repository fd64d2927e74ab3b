//! The span of a request.

use std::fmt;

use http::{Request, StatusCode};
use tracing::{Span, field::Empty};

use crate::context::{RequestContext, TraceId, method_name};

/// The span that everything inside of the layer runs in.
///
/// `tracing-opentelemetry` reads the name once, so a route that is set further in is an attribute alone.
pub(super) fn server_span<B>(request: &Request<B>, context: &RequestContext) -> Span {
    let method = method_name(request.method());
    tracing::info_span!(
        "request",
        request_id = context.request_id(),
        trace_id = context.trace_id().map(TraceId::as_str),
        otel.kind = "server",
        otel.name = %SpanName { method, route: context.route() },
        otel.status_code = Empty,
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

/// The name of a server's span, as the conventions for HTTP have it.
struct SpanName<'a> {
    method: &'static str,
    route: Option<&'a str>,
}

impl fmt::Display for SpanName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method)?;
        match self.route {
            Some(route) => write!(f, " {route}"),
            None => Ok(()),
        }
    }
}

/// Records the head of the response, or that the service has failed without one.
pub(super) fn end(span: &Span, context: &RequestContext, status: Option<StatusCode>) {
    if let Some(route) = context.route() {
        span.record("http.route", route);
    }
    let Some(status) = status else {
        span.record("error.type", "_OTHER");
        span.record("otel.status_code", "ERROR");
        return;
    };
    // `tracing-opentelemetry` exports a `u64` as a text.
    span.record("http.response.status_code", i64::from(status.as_u16()));
    // A status of 4xx is the client's fault, so the span of a server is not in error.
    if status.is_server_error() {
        span.record("error.type", status.as_str());
        span.record("otel.status_code", "ERROR");
    }
}
