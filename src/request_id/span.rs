//! The span of a request.

use http::{Method, Request, StatusCode};
use tracing::{
    Span,
    field::{Empty, display},
};

use crate::context::{RequestContext, TraceId};

/// The span that everything inside of the layer runs in.
pub(super) fn server_span<B>(request: &Request<B>, context: &RequestContext) -> Span {
    let method = method_name(request.method());
    tracing::info_span!(
        "request",
        request_id = context.request_id(),
        trace_id = context.trace_id().map(TraceId::as_str),
        otel.kind = "server",
        otel.name = method,
        otel.status_code = Empty,
        http.request.method = method,
        http.route = Empty,
        http.response.status_code = Empty,
        error.type = Empty,
    )
}

/// What the span shows with the response. `None` when nobody listens. Boxed, because the future is moved
/// with each request.
#[derive(Debug)]
pub(super) struct SpanEnd(Option<Box<Facts>>);

#[derive(Debug)]
struct Facts {
    method: &'static str,
    context: RequestContext,
}

impl SpanEnd {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn new(span: &Span, method: &Method, context: &RequestContext) -> Self {
        if span.is_disabled() {
            return Self(None);
        }
        Self(Some(Box::new(Facts { method: method_name(method), context: context.clone() })))
    }

    /// Records the head of the response.
    pub(super) fn respond(&mut self, span: &Span, status: StatusCode) {
        let Some(facts) = self.0.take() else { return };
        if let Some(route) = facts.context.route() {
            span.record("http.route", route);
            span.record("otel.name", display(format_args!("{} {route}", facts.method)));
        }
        span.record("http.response.status_code", u64::from(status.as_u16()));
        // A status of 4xx is the client's fault, so the span of a server is not in error.
        if status.is_server_error() {
            span.record("error.type", status.as_str());
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Returns a method as the conventions name it. Others are one name, because clients choose them.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::CONNECT => "CONNECT",
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}
