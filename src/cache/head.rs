//! The head and the pieces of an answer that several read.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, StatusCode,
    header::{AGE, RETRY_AFTER, WWW_AUTHENTICATE},
};

use super::{counts::Cost, entry::Entry, flight::Piece, status::CACHE_STATUS};
use crate::{hop_by_hop, lock::Lock};

/// The head of an answer. Clones are the same one.
#[derive(Clone)]
pub(super) struct Head(Arc<Shared>);

pub(super) struct Shared {
    pub(super) status: StatusCode,
    /// Without those that are for one hop or one caller.
    pub(super) headers: HeaderMap,
    /// As they came, until the originator takes them.
    own: Lock<Option<(HeaderMap, Extensions)>>,
    /// Bytes of the body, where that is known.
    pub(super) length: Option<u64>,
    /// The answer is to be kept, if it ends well.
    pub(super) stored: bool,
    /// What it took, once it is whole.
    pub(super) cost: OnceLock<Cost>,
    /// The whole answer, where the second tier had it: nothing follows.
    pub(super) found: Option<Entry>,
}

impl Head {
    pub(super) fn new(
        status: StatusCode,
        own: (HeaderMap, Extensions),
        headers: HeaderMap,
        (length, stored): (Option<u64>, bool),
    ) -> Self {
        let (own, cost) = (Lock::new(Some(own)), OnceLock::new());
        Self(Arc::new(Shared { status, headers, own, length, stored, cost, found: None }))
    }

    /// In place of an answer.
    pub(super) fn found(entry: Entry) -> Self {
        Self(Arc::new(Shared {
            status: entry.status,
            headers: HeaderMap::new(),
            own: Lock::default(),
            length: None,
            stored: false,
            cost: OnceLock::new(),
            found: Some(entry),
        }))
    }

    /// All fields and extensions, for the first who asks: the originator.
    pub(super) fn take_own(&self) -> (HeaderMap, Extensions) {
        let own = self.0.own.lock().take();
        own.unwrap_or_else(|| (self.0.headers.clone(), Extensions::new()))
    }
}

impl std::ops::Deref for Head {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// The fields of an answer that are true for others, and later, as well.
pub(super) fn shareable(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    hop_by_hop::strip_connection_fields(&mut headers);
    hop_by_hop::remove_fields(&mut headers, is_for_one);
    headers
}

/// Whether a field is for one caller, or for one moment, by its name.
fn is_for_one(name: &HeaderName) -> bool {
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

/// A frame of a body.
#[derive(Clone)]
pub(super) enum Chunk {
    Data(Bytes),
    // Boxed: they come once, and the log has a place for each chunk.
    Trailers(Box<HeaderMap>),
}

/// What a chunk takes besides its bytes.
pub(super) const OF_CHUNK: usize = size_of::<Bytes>();

impl Piece for Chunk {
    fn length(&self) -> usize {
        match self {
            Self::Data(data) => data.len() + OF_CHUNK,
            Self::Trailers(trailers) => trailers.values().map(|value| value.len() + OF_CHUNK).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_one_caller_is_not_shared() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("etag", "\"7\""),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
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
        let shared = shareable(&headers);
        let names: Vec<_> = shared.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["content-type", "etag", "date"]);
    }
}
