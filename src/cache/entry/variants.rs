use bytes::Bytes;
use http::{
    HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED},
};

use super::{
    convert::{plain_to_stream, stream_to_plain, without_usage},
    entry::{Entry, Origin},
    facts::ResponseFacts,
    header_list::HeaderList,
};
use crate::{body::DIGESTS, cache::key::Variant};

/// Converts the entry of a chat to another variant. Returns `None` if that is not possible.
pub(crate) fn converted(entry: &Entry, from: Variant, to: Variant) -> Option<Entry> {
    // Trailers have no known equivalent in the other variant.
    if entry.trailers.is_some() {
        return None;
    }
    let body = entry.body.bytes();
    let chunks: Vec<Bytes> = match (from, to) {
        (Variant::StreamWithUsage, Variant::Plain) => vec![stream_to_plain(body)?],
        (Variant::StreamWithUsage, Variant::Stream) => without_usage(body)?,
        (Variant::Plain, Variant::Stream) => plain_to_stream(body, false)?,
        (Variant::Plain, Variant::StreamWithUsage) => plain_to_stream(body, true)?,
        _ => return None,
    };
    let headers = converted_headers(&entry.headers, to);
    let facts = ResponseFacts::read(entry.status, &headers.to_map(0), chunks.iter());
    let origin = Origin { facts, ..entry.origin.clone() };
    let chunks = chunks.iter().map(|chunk| &**chunk);
    Some(Entry::new((entry.status, &headers), (chunks, None), entry.lifetime, origin))
}

fn converted_headers(headers: &HeaderList, to: Variant) -> HeaderList {
    let content_type = match to {
        Variant::Plain => "application/json",
        Variant::Stream | Variant::StreamWithUsage => "text/event-stream",
    };
    // These describe the original bytes.
    let is_of_bytes = |name: &HeaderName| {
        [CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED].contains(name)
            || DIGESTS.contains(&name.as_str())
    };
    let others = headers.iter().filter(|(name, _)| !is_of_bytes(name)).cloned();
    let content_type = (CONTENT_TYPE, HeaderValue::from_static(content_type));
    [content_type].into_iter().chain(others).collect()
}
