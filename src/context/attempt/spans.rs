//! The spans of the calls to upstreams: one client span over the attempts, and one for each of them.
//!
//! `tracing-opentelemetry` exports an `i64` as a number and a `u64` as a text.

use http::{Method, StatusCode, Uri};
use tracing::{Span, field::Empty};

use super::attempt::Attempt;

/// The span over all attempts of a request of inference. Closed when its last clone is dropped and
/// the attempts have ended.
#[derive(Clone, Debug)]
pub(crate) struct ClientSpan(pub(crate) Span);

impl ClientSpan {
    /// Creates the span with the attributes that samplers read. The record of the request has the others.
    pub(super) fn new(operation: &'static str, model: Option<&str>, parent: Option<&Span>) -> Self {
        // One list of fields for both kinds of parents.
        macro_rules! client_span {
            ($($parent:tt)*) => {
                tracing::info_span!(
                    target: "tower_inference::gen_ai",
                    $($parent)*
                    "gen_ai",
                    otel.kind = "client",
                    otel.name = Empty,
                    otel.status_code = Empty,
                    gen_ai.operation.name = operation,
                    gen_ai.provider.name = Empty,
                    gen_ai.request.model = model,
                    gen_ai.request.stream = Empty,
                    gen_ai.response.time_to_first_chunk = Empty,
                    gen_ai.usage.input_tokens = Empty,
                    gen_ai.usage.output_tokens = Empty,
                    gen_ai.usage.cache_read.input_tokens = Empty,
                    // Of version 1.41 and of the latest one.
                    gen_ai.usage.cache_creation.input_tokens = Empty,
                    gen_ai.usage.cache_write.input_tokens = Empty,
                    gen_ai.usage.reasoning.output_tokens = Empty,
                    server.address = Empty,
                    server.port = Empty,
                    error.type = Empty,
                )
            };
        }
        let span = match parent {
            Some(parent) => client_span!(parent: parent,),
            None => client_span!(),
        };
        if !span.is_disabled() {
            match model {
                // As a string, which subscribers escape. A client chooses the model.
                Some(model) => span.record("otel.name", &*format!("{operation} {model}")),
                None => span.record("otel.name", operation),
            };
        }
        Self(span)
    }
}

/// What the span of an attempt shows from its start.
pub(super) struct AttemptStart<'a> {
    pub(super) method: &'a Method,
    /// The attempts before it.
    pub(super) resends: usize,
    pub(super) target: Option<&'a str>,
}

/// Creates the span of an attempt, as the conventions for HTTP clients name it.
pub(super) fn attempt_span(start: &AttemptStart<'_>, parent: Option<&Span>) -> Span {
    let resends = i64::try_from(start.resends).ok().filter(|resends| *resends > 0);
    macro_rules! attempt_span {
        ($($parent:tt)*) => {
            tracing::info_span!(
                target: "tower_inference::attempt",
                $($parent)*
                "attempt",
                otel.kind = "client",
                otel.name = start.method.as_str(),
                otel.status_code = Empty,
                http.request.method = start.method.as_str(),
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
    let Ok(origin) = origin.parse::<Uri>() else { return };
    let Some(host) = origin.host() else { return };
    span.record("server.address", host.trim_matches(['[', ']']));
    let port = origin.port_u16().or_else(|| match origin.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    });
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
