//! One variant of an entry out of another.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED},
};

use super::{
    convert::{fold, tell, without_usage},
    entry::Entry,
    fields::Fields,
    key::Variant,
};
use crate::body::DIGESTS;

/// A finished chat answer in the form that is asked for, where it has one.
pub(super) fn converted(entry: &Entry, from: Variant, to: Variant) -> Option<Entry> {
    // What a plain answer is in trailers, nobody knows.
    if entry.trailers.is_some() {
        return None;
    }
    let body = entry.pieces.body();
    let pieces: Vec<Bytes> = match (from, to) {
        (Variant::StreamWithUsage, Variant::Plain) => vec![fold(body)?],
        (Variant::StreamWithUsage, Variant::Stream) => without_usage(body)?,
        (Variant::Plain, Variant::Stream) => tell(body, false)?,
        (Variant::Plain, Variant::StreamWithUsage) => tell(body, true)?,
        _ => return None,
    };
    let head = (entry.status, &fields(&entry.headers, to));
    let pieces = pieces.iter().map(|piece| &**piece);
    Some(Entry::new(head, (pieces, None), entry.times, entry.origin.clone()))
}

fn fields(headers: &Fields, to: Variant) -> Fields {
    let content_type = match to {
        Variant::Plain => "application/json",
        Variant::Stream | Variant::StreamWithUsage => "text/event-stream",
    };
    // They would be true of other bytes.
    let is_of_bytes = |name: &HeaderName| {
        [CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED].contains(name)
            || DIGESTS.contains(&name.as_str())
    };
    let others = headers.iter().filter(|(name, _)| !is_of_bytes(name)).cloned();
    let content_type = (CONTENT_TYPE, HeaderValue::from_static(content_type));
    [content_type].into_iter().chain(others).collect()
}
