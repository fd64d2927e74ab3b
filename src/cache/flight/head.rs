use std::{
    borrow::Cow,
    ops::Deref,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{AGE, CONNECTION, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, WWW_AUTHENTICATE},
};

use super::single_flight::Piece;
use crate::{
    cache::{
        counts::CallCost,
        entry::{Blocks, Entry, HeaderList},
        policy::CACHE_STATUS,
    },
    context::RequestContext,
    hop_by_hop,
    lock::Lock,
};

/// The head of a shared response. Clones share it.
#[derive(Clone)]
pub(crate) struct Head(Arc<SharedHead>);

pub(crate) struct SharedHead {
    pub(crate) status: StatusCode,
    /// The headers that are valid for every caller.
    pub(crate) headers: HeaderList,
    /// All headers and extensions, until the leader takes them.
    original: Lock<Option<(HeaderMap, Extensions)>>,
    /// Bytes of the body, if they are known.
    pub(crate) length: Option<u64>,
    /// The response was stored, which is known at its end.
    pub(crate) stored: AtomicBool,
    /// The cost of the call, which is known at its end.
    pub(crate) cost: OnceLock<CallCost>,
    /// The context of a call that another target served than the one that rules have judged, or
    /// than the first choice.
    #[cfg_attr(
        not(all(feature = "fallback", feature = "model-rules")),
        expect(dead_code, reason = "only the rules of a model ask for it")
    )]
    pub(crate) fallback: Option<RequestContext>,
    /// The context of the call. `None` without a call.
    pub(crate) call: Option<RequestContext>,
    /// The whole response, if the second tier had it. No piece follows.
    pub(crate) found: Option<Entry>,
}

impl Head {
    pub(crate) fn new(
        status: StatusCode,
        original: (HeaderMap, Extensions),
        headers: HeaderList,
        length: Option<u64>,
        fallback: Option<RequestContext>,
        call: RequestContext,
    ) -> Self {
        Self(Arc::new(SharedHead {
            status,
            headers,
            original: Lock::new(Some(original)),
            length,
            stored: AtomicBool::new(false),
            cost: OnceLock::new(),
            fallback,
            call: Some(call),
            found: None,
        }))
    }

    /// Creates a head for an entry that replaces the response.
    pub(crate) fn found(entry: Entry) -> Self {
        Self(Arc::new(SharedHead {
            status: entry.status,
            headers: HeaderList::default(),
            original: Lock::default(),
            length: None,
            stored: AtomicBool::new(false),
            cost: OnceLock::new(),
            fallback: None,
            call: None,
            found: Some(entry),
        }))
    }

    /// Takes all headers and extensions. Only the first call, by the leader, returns them all.
    pub(crate) fn take_original(&self) -> (HeaderMap, Extensions) {
        let original = self.0.original.lock().take();
        original.unwrap_or_else(|| (self.0.headers.to_map(0), Extensions::new()))
    }
}

impl Deref for Head {
    type Target = SharedHead;

    fn deref(&self) -> &SharedHead {
        &self.0
    }
}

impl Piece for Head {
    fn length(&self) -> usize {
        self.0.headers.weight() + self.0.headers.values_length()
    }
}

/// Returns the headers that are valid for other callers and later. They are copied into a block with
/// room for `more` bytes, because they are slices of a larger buffer.
pub(crate) fn shareable_headers(headers: &HeaderMap, more: usize) -> (HeaderList, Blocks) {
    let mut headers = Cow::Borrowed(headers);
    if [CONNECTION, TE, TRANSFER_ENCODING].iter().any(|name| headers.contains_key(name)) {
        hop_by_hop::strip_named_headers(headers.to_mut());
    }
    let is_shared = |name: &HeaderName| {
        !hop_by_hop::is_connection_header(name.as_str()) && !is_private(name) && *name != TRAILER
    };
    let shared = || headers.iter().filter(|(name, _)| is_shared(name));
    let sum = |(count, length), (_, value): (_, &HeaderValue)| (count + 1, length + value.len());
    let (count, length) = shared().fold((0, 0), sum);
    let mut blocks = Blocks::with_capacity(length + more);
    (HeaderList::copied(count, shared(), &mut blocks), blocks)
}

/// Returns whether a header belongs to one caller or to one moment.
fn is_private(name: &HeaderName) -> bool {
    const NAMES: [&str; 13] = [
        "alt-svc",
        "authentication-info",
        "nel",
        "ratelimit",
        "ratelimit-policy",
        "report-to",
        "server-timing",
        "set-cookie",
        "traceparent",
        "traceresponse",
        "tracestate",
        "x-amzn-requestid",
        "x-request-id",
    ];
    [AGE, RETRY_AFTER, WWW_AUTHENTICATE, CACHE_STATUS].contains(name)
        || NAMES.contains(&name.as_str())
        || ["access-control-", "x-ratelimit-"].iter().any(|start| name.as_str().starts_with(start))
}

/// A frame of a shared body.
#[derive(Clone)]
pub(crate) enum Chunk {
    Data(Bytes),
    Trailers(HeaderList),
}

/// Memory of a chunk besides its bytes.
pub(crate) const CHUNK_OVERHEAD: usize = size_of::<Bytes>();

impl Chunk {
    /// Returns the bytes, or `None` for trailers.
    pub(crate) fn data(&self) -> Option<&[u8]> {
        match self {
            Self::Data(data) => Some(data),
            Self::Trailers(_) => None,
        }
    }
}

impl Piece for Chunk {
    fn length(&self) -> usize {
        match self {
            Self::Data(data) => data.len() + CHUNK_OVERHEAD,
            Self::Trailers(trailers) => trailers.weight() + trailers.values_length(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_caller_are_not_shared() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("etag", "\"7\""),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x-checksum"),
            ("set-cookie", "a=b"),
            ("date", "Mon, 23 Nov 2026 15:00:00 GMT"),
            ("x-request-id", "r"),
            ("x-ratelimit-remaining-tokens", "7"),
            ("ratelimit", "\"a\";r=1"),
            ("cache-status", "other; hit"),
            ("age", "5"),
            ("access-control-allow-origin", "https://a.example"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let (shared, _) = shareable_headers(&headers, 0);
        let names: Vec<_> = shared.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "etag", "date"]);
    }
}
