use bytes::Bytes;
use http::HeaderValue;

use super::{
    hex::{byte, is_hex},
    span_id::SpanId,
    trace_id::TraceId,
};

/// The characters of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// The flag that the caller has recorded trace data.
const SAMPLED: u8 = 0x01;
/// The flag that the last seven bytes of the trace id are random (level 2).
const RANDOM: u8 = 0x02;

/// A `traceparent` header of W3C Trace Context: the trace, the span that sends the request and the
/// flags.
///
/// ```
/// use http::HeaderValue;
/// use tower_inference::context::TraceContext;
///
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let trace = TraceContext::from_traceparent(&HeaderValue::from_static(header)).unwrap();
/// assert_eq!(trace.trace_id().as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
/// assert_eq!(trace.parent_id().as_str(), "00f067aa0ba902b7");
/// assert!(trace.is_sampled());
/// assert_eq!(trace.traceparent(), header);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TraceContext {
    trace_id: TraceId,
    parent_id: SpanId,
    // The known ones alone.
    flags: u8,
}

impl TraceContext {
    /// Reads a `traceparent` header.
    ///
    /// A version after 00 is read as 00 (section 4.3). Flags that are not defined are dropped. Returns
    /// `None` when the header does not have the form of section 3.2.2, has version `ff` or has an id
    /// of zeros.
    #[must_use]
    pub fn from_traceparent(header: &HeaderValue) -> Option<Self> {
        let (known, later) = header.as_bytes().split_at_checked(LENGTH)?;
        let mut parts = known.split(|byte| *byte == b'-');
        let (version, trace_id, parent_id, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Version 00 ends here. A later version may continue after a dash. Version ff is forbidden.
        let ends = later.is_empty() || (version != b"00" && later.starts_with(b"-"));
        if version.len() != 2 || !is_hex(version) || version == b"ff" || !ends {
            return None;
        }
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            trace_id: TraceId::from_hex(trace_id)?,
            parent_id: SpanId::from_hex(parent_id)?,
            flags: byte(flags)? & (SAMPLED | RANDOM),
        })
    }

    /// Creates a trace of its own, with random ids. It is not sampled.
    #[cfg(feature = "request-id")]
    pub(crate) fn random() -> Self {
        Self { trace_id: TraceId::random(), parent_id: SpanId::random(), flags: RANDOM }
    }

    /// Returns the trace with another span that sends the request.
    #[must_use]
    pub const fn continued_by(self, parent_id: SpanId) -> Self {
        Self { parent_id, ..self }
    }

    /// Returns the trace without the flag that the caller has sampled it.
    #[must_use]
    pub const fn unsampled(self) -> Self {
        Self { flags: self.flags & !SAMPLED, ..self }
    }

    /// Returns the id of the trace.
    #[must_use]
    pub const fn trace_id(&self) -> &TraceId {
        &self.trace_id
    }

    /// Returns the id of the span that sends the request.
    #[must_use]
    pub const fn parent_id(&self) -> &SpanId {
        &self.parent_id
    }

    /// Returns whether the sender records the trace.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the header. It has version 00.
    #[must_use]
    #[expect(clippy::expect_used, reason = "digits and dashes are valid in a header")]
    pub fn traceparent(&self) -> HeaderValue {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let parts: [(usize, &str); 2] =
            [(3, self.trace_id.as_str()), (36, self.parent_id.as_str())];
        for (start, part) in parts {
            if let Some(place) = text.get_mut(start..start + part.len()) {
                place.copy_from_slice(part.as_bytes());
            }
        }
        if let Some(last) = text.last_mut() {
            *last = b'0' + self.flags;
        }
        // With an owner, because the first clone of `Bytes` made from a `Vec` allocates once more.
        HeaderValue::from_maybe_shared(Bytes::from_owner(text)).expect("visible ASCII")
    }
}

impl TraceId {
    /// Returns the trace id of a `traceparent` header.
    ///
    /// Returns `None` when [`TraceContext::from_traceparent`] does.
    #[must_use]
    pub fn from_traceparent(header: &HeaderValue) -> Option<Self> {
        TraceContext::from_traceparent(header).map(|context| context.trace_id)
    }
}
