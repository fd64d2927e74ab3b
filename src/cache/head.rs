//! The head and the pieces of an answer that several read.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock, atomic::AtomicBool},
};

use bytes::Bytes;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{AGE, CONNECTION, RETRY_AFTER, TE, TRAILER, TRANSFER_ENCODING, WWW_AUTHENTICATE},
};

use super::{
    block::Blocks, counts::Cost, entry::Entry, fields::Fields, flight::Piece, status::CACHE_STATUS,
};
use crate::{hop_by_hop, lock::Lock};

/// The head of an answer. Clones are the same one.
#[derive(Clone)]
pub(super) struct Head(Arc<Shared>);

pub(super) struct Shared {
    pub(super) status: StatusCode,
    /// Without those that are for one hop or one caller.
    pub(super) headers: Fields,
    /// As they came, until the originator takes them.
    own: Lock<Option<(HeaderMap, Extensions)>>,
    /// Bytes of the body, where that is known.
    pub(super) length: Option<u64>,
    /// It was stored: known once it is whole.
    pub(super) stored: AtomicBool,
    /// What it took, once it is whole.
    pub(super) cost: OnceLock<Cost>,
    /// The whole answer, where the second tier had it: nothing follows.
    pub(super) found: Option<Entry>,
}

impl Head {
    pub(super) fn new(
        status: StatusCode,
        own: (HeaderMap, Extensions),
        headers: Fields,
        length: Option<u64>,
    ) -> Self {
        Self(Arc::new(Shared {
            status,
            headers,
            own: Lock::new(Some(own)),
            length,
            stored: AtomicBool::new(false),
            cost: OnceLock::new(),
            found: None,
        }))
    }

    /// In place of an answer.
    pub(super) fn found(entry: Entry) -> Self {
        Self(Arc::new(Shared {
            status: entry.status,
            headers: Fields::default(),
            own: Lock::default(),
            length: None,
            stored: AtomicBool::new(false),
            cost: OnceLock::new(),
            found: Some(entry),
        }))
    }

    /// All fields and extensions, for the first who asks: the originator.
    pub(super) fn take_own(&self) -> (HeaderMap, Extensions) {
        let own = self.0.own.lock().take();
        own.unwrap_or_else(|| (self.0.headers.to_map(0), Extensions::new()))
    }
}

impl std::ops::Deref for Head {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Piece for Head {
    fn length(&self) -> usize {
        self.0.headers.weight() + self.0.headers.values_length()
    }
}

/// The fields of an answer that are true for others, and later, as well. Copied into a block that has
/// room for `more`: what is read may be shorter than the buffer that it is a slice of.
pub(super) fn shareable(headers: &HeaderMap, more: usize) -> (Fields, Blocks) {
    let mut headers = Cow::Borrowed(headers);
    if [CONNECTION, TE, TRANSFER_ENCODING].iter().any(|name| headers.contains_key(name)) {
        hop_by_hop::strip_named_headers(headers.to_mut());
    }
    let is_shared = |name: &HeaderName| {
        !hop_by_hop::is_connection_header(name.as_str()) && !is_for_one(name) && *name != TRAILER
    };
    let fields = || headers.iter().filter(|(name, _)| is_shared(name));
    let sum = |(count, length), (_, value): (_, &HeaderValue)| (count + 1, length + value.len());
    let (count, length) = fields().fold((0, 0), sum);
    let mut blocks = Blocks::with_capacity(length + more);
    (Fields::copied(count, fields(), &mut blocks), blocks)
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
    Trailers(Fields),
}

/// What a chunk takes besides its bytes.
pub(super) const OF_CHUNK: usize = size_of::<Bytes>();

impl Chunk {
    /// The bytes; `None` of trailers.
    pub(super) fn data(&self) -> Option<&[u8]> {
        match self {
            Self::Data(data) => Some(data),
            Self::Trailers(_) => None,
        }
    }
}

impl Piece for Chunk {
    fn length(&self) -> usize {
        match self {
            Self::Data(data) => data.len() + OF_CHUNK,
            Self::Trailers(trailers) => trailers.weight() + trailers.values_length(),
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
        let (shared, _) = shareable(&headers, 0);
        let names: Vec<_> = shared.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "etag", "date"]);
    }
}
