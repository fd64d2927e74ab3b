//! The headers of a request that this module reads.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// API Gateway's header of the same meaning.
pub(super) const X_AMZN_REQUESTID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const X_AMZN_TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(super) const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// Characters of the longest inbound id that is kept.
const LONGEST: usize = 128;

/// The headers that a request came with.
#[derive(Default)]
pub(super) struct Inbound<'a> {
    pub(super) request_id: Option<&'a HeaderValue>,
    pub(super) amzn_request_id: Option<&'a HeaderValue>,
    pub(super) amzn_trace_id: Option<&'a HeaderValue>,
    /// The only one. With several of them `has_traceparent` is true alone.
    pub(super) traceparent: Option<&'a HeaderValue>,
    pub(super) has_traceparent: bool,
    /// Whether the request has a header that may have to be removed.
    pub(super) has_others: bool,
}

impl<'a> Inbound<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        // Most requests have none of them, which one pass over the names shows.
        if !headers.keys().any(|name| is_read(name.as_str())) {
            return Self::default();
        }
        Self {
            request_id: single(headers, &X_REQUEST_ID),
            amzn_request_id: single(headers, &X_AMZN_REQUESTID),
            amzn_trace_id: single(headers, &X_AMZN_TRACE_ID),
            traceparent: single(headers, &TRACEPARENT),
            has_traceparent: headers.contains_key(TRACEPARENT),
            has_others: true,
        }
    }
}

/// The compiler compares a name only with names of the same length.
#[inline]
fn is_read(name: &str) -> bool {
    matches!(
        name,
        "baggage"
            | "traceparent"
            | "tracestate"
            | "x-amzn-requestid"
            | "x-amzn-trace-id"
            | "x-request-id"
    )
}

/// Returns the header. Returns `None` if it occurs more than once, because two values are ambiguous.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut fields = headers.get_all(name).iter();
    fields.next().filter(|_| fields.next().is_none())
}

pub(super) fn well_formed(id: &HeaderValue) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// Copies an id. A header value is a slice of the connection's read buffer. A record may outlive the
/// request and would keep the whole buffer.
pub(super) fn owned(id: &HeaderValue) -> Option<HeaderValue> {
    let mut copy = Copied { bytes: [0; LONGEST], length: id.len() };
    copy.bytes.get_mut(..id.len())?.copy_from_slice(id.as_bytes());
    HeaderValue::from_maybe_shared(Bytes::from_owner(copy)).ok()
}

/// An id with its length. It takes one allocation. A `Bytes` that is copied and cloned takes two.
struct Copied {
    bytes: [u8; LONGEST],
    length: usize,
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
