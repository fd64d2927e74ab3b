//! The spans of the attempts. The one over all of them is a rendering of the record.
//!
//! `tracing-opentelemetry` exports an `i64` as a number and a `u64` as a text.

use http::{Method, StatusCode};
use tracing::{Span, field::Empty};

use super::{attempt::Attempt, server::server_of};
use crate::context::trace::method_name;

/// The attributes of an attempt that samplers and parents read, so the span has them from its start.
pub(super) struct AttemptStart<'a> {
    pub(super) method: &'a Method,
    /// The attempts before it.
    pub(super) resends: usize,
    pub(super) target: Option<&'a str>,
}

/// Creates the span of an attempt, as the conventions for HTTP clients name it.
pub(super) fn attempt_span(start: &AttemptStart<'_>, parent: Option<&Span>) -> Span {
    let method = method_name(start.method);
    let resends = i64::try_from(start.resends).ok().filter(|resends| *resends > 0);
    macro_rules! attempt_span {
        ($($parent:tt)*) => {
            tracing::info_span!(
                target: "tower_inference::attempt",
                $($parent)*
                "attempt",
                otel.kind = "client",
                otel.name = method,
                otel.status_code = Empty,
                http.request.method = method,
                http.request.resend_count = resends,
                http.response.status_code = Empty,
                server.address = Empty,
                server.port = Empty,
                tower_inference.target = start.target,
                tower_inference.upstream_request_id = Empty,
                error.type = Empty,
            )
        };
    }
    match parent {
        Some(parent) => attempt_span!(parent: parent,),
        None => attempt_span!(),
    }
}

/// Records the server of an origin such as `https://router.huggingface.co`.
pub(crate) fn name_server(span: &Span, origin: &str) {
    let (host, port) = server_of(origin);
    span.record("server.address", host);
    if let Some(port) = port {
        span.record("server.port", i64::from(port));
    }
}

/// Records how an attempt ended.
pub(super) fn end(span: &Span, attempt: &Attempt) {
    if span.is_disabled() {
        return;
    }
    if let Some(origin) = &attempt.upstream {
        name_server(span, origin);
    }
    if let Some(status) = attempt.status {
        span.record("http.response.status_code", i64::from(status.as_u16()));
    }
    if let Some(id) = &attempt.upstream_request_id {
        span.record("tower_inference.upstream_request_id", &**id);
    }
    let failed = |status: &StatusCode| status.is_client_error() || status.is_server_error();
    let status = attempt.status.filter(failed);
    match (status, attempt.abandoned) {
        (Some(status), _) => span.record("error.type", status.as_str()),
        (None, Some(reason)) => span.record("error.type", reason.as_str()),
        // A failure that no response tells of.
        (None, None) if attempt.status.is_none() => span.record("error.type", "_OTHER"),
        (None, None) => return,
    };
    span.record("otel.status_code", "ERROR");
}
