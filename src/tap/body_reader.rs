use http::{HeaderMap, header::CONTENT_TYPE};

#[cfg(feature = "cache")]
use super::completeness::Completeness;
use super::{
    document::{DocumentFacts, JsonScanner, WantedFacts},
    stream::{EventStream, JsonLines, TapUpdate},
};
use crate::{
    body::BodyEnd,
    sse::{essence, is_event_stream},
};

/// Reads a body by its media type.
pub(super) enum BodyReader {
    Json(JsonScanner),
    Events(EventStream),
    // Boxed because it is larger than the others and rare.
    Lines(Box<JsonLines>),
}

impl BodyReader {
    /// Returns the reader for the media type of these headers.
    ///
    /// The reader of a JSON document collects the `wanted` facts. Those of streams collect all.
    #[inline]
    pub(super) fn for_media_type(headers: &HeaderMap, wanted: WantedFacts) -> Option<Self> {
        let media_type = essence(headers.get(CONTENT_TYPE)?.as_bytes());
        if is_json(media_type) {
            Some(Self::Json(JsonScanner::collecting(wanted)))
        } else if is_event_stream(media_type) {
            Some(Self::Events(EventStream::new()))
        } else if is_json_lines(media_type) {
            Some(Self::Lines(Box::new(JsonLines::new())))
        } else {
            None
        }
    }

    /// Reads a chunk. A JSON document has no results before its end.
    pub(super) fn feed(&mut self, chunk: &[u8]) -> Option<TapUpdate> {
        match self {
            Self::Json(scanner) => {
                scanner.feed(chunk);
                None
            }
            Self::Events(events) => Some(events.feed(chunk)),
            Self::Lines(lines) => Some(lines.feed(chunk)),
        }
    }

    /// Ends the body.
    pub(super) fn finish(&mut self, end: BodyEnd) -> TapUpdate {
        match self {
            Self::Json(scanner) => TapUpdate {
                usage: scanner.finish().and_then(DocumentFacts::usage),
                end: None,
                tokens: scanner.texts().estimate(),
                least_tokens: scanner.texts().least(),
            },
            Self::Events(events) => events.finish(end),
            Self::Lines(lines) => lines.finish(end),
        }
    }

    /// Returns whether a stream has brought generated text. Only its text comes before the end.
    pub(super) fn stream_has_text(&self) -> bool {
        match self {
            Self::Json(_) => false,
            Self::Events(events) => events.has_text(),
            Self::Lines(lines) => lines.has_text(),
        }
    }

    /// Returns whether the response is complete, after [`finish`](Self::finish).
    #[cfg(feature = "cache")]
    pub(super) fn completeness(&self, text_in_roots: bool) -> Completeness {
        match self {
            Self::Json(scanner) => Completeness::of_document(scanner),
            Self::Events(events) => events.completeness(text_in_roots),
            Self::Lines(lines) => lines.completeness(text_in_roots),
        }
    }

    #[cfg(any(feature = "cache", feature = "fallback"))]
    pub(super) const fn is_stream(&self) -> bool {
        !matches!(self, Self::Json(_))
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Events(_) => "events",
            Self::Lines(_) => "lines",
        }
    }
}

fn is_json(media_type: &[u8]) -> bool {
    let suffix = media_type.len().checked_sub(5).and_then(|at| media_type.get(at..));
    media_type.eq_ignore_ascii_case(b"application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

fn is_json_lines(media_type: &[u8]) -> bool {
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"]
        .iter()
        .any(|lines| media_type.eq_ignore_ascii_case(lines.as_bytes()))
}
