//! One variant of an entry out of another.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED},
};

use super::{
    convert::{fold, tell, without_usage},
    entry::{Entry, Variant},
};
use crate::body::remove_digests;

/// A finished chat answer in the form that is asked for, where it has one.
pub(super) fn converted(entry: &Entry, from: Variant, to: Variant) -> Option<Entry> {
    // What a plain answer is in trailers, nobody knows.
    if entry.trailers.is_some() {
        return None;
    }
    let pieces: Vec<Bytes> = match (from, to) {
        (Variant::StreamWithUsage, Variant::Plain) => vec![fold(&entry.pieces)?],
        (Variant::StreamWithUsage, Variant::Stream) => without_usage(&entry.pieces)?,
        (Variant::Plain, Variant::Stream) => tell(&entry.pieces, false)?,
        (Variant::Plain, Variant::StreamWithUsage) => tell(&entry.pieces, true)?,
        _ => return None,
    };
    let headers = fields(&entry.headers, to);
    Some(Entry::new((entry.status, headers), (&pieces, None), entry.times, entry.origin.clone()))
}

fn fields(headers: &HeaderMap, to: Variant) -> HeaderMap {
    let mut headers = headers.clone();
    let content_type = match to {
        Variant::Plain => "application/json",
        Variant::Stream | Variant::StreamWithUsage => "text/event-stream",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // They would be true of other bytes.
    for name in [CONTENT_LENGTH, ETAG, LAST_MODIFIED] {
        headers.remove(name);
    }
    remove_digests(&mut headers);
    headers
}
