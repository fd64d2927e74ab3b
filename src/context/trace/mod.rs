//! The traces that a request belongs to: W3C Trace Context and AWS X-Ray.

mod amzn_trace_id;
mod hex;
#[cfg(any(feature = "access-log", feature = "request-id"))]
mod method;
#[cfg(feature = "request-id")]
mod propagator;
mod span_id;
mod trace_context;
mod trace_id;

#[cfg(any(feature = "access-log", feature = "request-id"))]
pub(crate) use self::method::method_name;
#[cfg(feature = "request-id")]
#[cfg_attr(docsrs, doc(cfg(feature = "request-id")))]
pub use self::propagator::Propagator;
pub use self::{
    amzn_trace_id::AmznTraceId, span_id::SpanId, trace_context::TraceContext, trace_id::TraceId,
};
