//! W3C Trace Context for a gateway: a trace is continued, restarted or started, and its state bounded.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use tracing::Span;

use super::{
    inbound::{Inbound, TRACEPARENT, TRACESTATE},
    settings::Settings,
    trace_state::{self, TraceState},
};
use crate::context::{Propagator, RequestContext, SpanId, TraceContext};

/// The trace that a request goes on with.
pub(super) enum Accepted {
    /// It has no trace. A `tracestate` without a trace means nothing.
    None,
    /// The trace of the client.
    Continued { trace: TraceContext, state: TraceState, is_trusted: bool },
    /// A trace of its own.
    Started,
}

/// Decides on the trace of a request (W3C Trace Context sections 2.2, 3.3 and 4).
pub(super) fn accept(
    settings: &Settings,
    headers: &HeaderMap,
    inbound: &Inbound<'_>,
    is_trusted: impl Fn() -> bool,
) -> Accepted {
    if !inbound.has_traceparent {
        return if settings.start_traces { Accepted::Started } else { Accepted::None };
    }
    // A header that is not valid, or is there twice, starts a new trace.
    let Some(trace) = inbound.traceparent.and_then(TraceContext::from_traceparent) else {
        return Accepted::Started;
    };
    let is_trusted = is_trusted();
    if !is_trusted && settings.restart_traces {
        return Accepted::Started;
    }
    // A stranger must not decide how much the systems behind the gateway record.
    let trace = if is_trusted { trace } else { trace.unsampled() };
    Accepted::Continued { trace, state: trace_state::read(headers), is_trusted }
}

/// Writes the trace into the request and into its context.
pub(super) fn write(accepted: &Accepted, headers: &mut HeaderMap, context: &RequestContext) {
    let trace = match accepted {
        Accepted::None => None,
        Accepted::Continued { trace, .. } => Some(trace.continued_by(SpanId::random())),
        Accepted::Started => Some(TraceContext::random()),
    };
    set(headers, trace.map(|trace| trace.traceparent()), accepted);
    if let Some(trace) = trace {
        note(accepted, trace, context);
    }
}

/// Lets the program's propagator write the trace into the request.
pub(super) fn propagate(
    accepted: &Accepted,
    propagator: &Arc<dyn Propagator>,
    headers: &mut HeaderMap,
    context: &RequestContext,
    span: &Span,
) {
    let (inbound, is_trusted) = match accepted {
        Accepted::None | Accepted::Started => (None, false),
        Accepted::Continued { trace, is_trusted, .. } => (Some(trace.traceparent()), *is_trusted),
    };
    set(headers, inbound, accepted);
    propagator.extract(span, headers, is_trusted);
    // What the propagator does not write must not go on as it came: the upstream would be beside this
    // gateway in the trace of the client.
    headers.remove(TRACEPARENT);
    let state = headers.remove(TRACESTATE);
    propagator.inject(span, headers);
    let written = headers.get(TRACEPARENT).and_then(TraceContext::from_traceparent);
    let goes_on = match (&written, accepted) {
        (Some(written), Accepted::Continued { trace, .. }) => {
            written.trace_id() == trace.trace_id()
        }
        (Some(_), _) => false,
        (None, _) => true,
    };
    if goes_on && let Some(state) = state {
        headers.entry(TRACESTATE).or_insert(state);
    }
    let Some(trace) = written else { return write(accepted, headers, context) };
    context.set_propagator(Arc::clone(propagator));
    span.record("trace_id", trace.trace_id().as_str());
    note(accepted, trace, context);
}

/// Records a trace whose parent is the span of the gateway.
fn note(accepted: &Accepted, trace: TraceContext, context: &RequestContext) {
    if let Accepted::Continued { trace, .. } = accepted {
        context.set_parent_span_id(*trace.parent_id());
    }
    context.set_trace_context(trace);
    context.trace_attempts();
}

fn set(headers: &mut HeaderMap, traceparent: Option<HeaderValue>, accepted: &Accepted) {
    match traceparent {
        Some(traceparent) => headers.insert(TRACEPARENT, traceparent),
        None => headers.remove(TRACEPARENT),
    };
    match accepted {
        Accepted::Continued { state: TraceState::Kept, .. } => {}
        Accepted::Continued { state: TraceState::Changed(state), .. } => {
            headers.insert(TRACESTATE, state.clone());
        }
        _ => {
            headers.remove(TRACESTATE);
        }
    }
}
