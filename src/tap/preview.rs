//! The beginning of a response that another one may still replace.

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;

use super::{body_reader::BodyReader, document::WantedFacts, stream::TapUpdate, usage_headers};
use crate::{
    body::{BodyEnd, is_coded},
    context::{StreamEnd, Usage},
};

/// Reads the beginning of a response and leaves the context as it is.
///
/// [`Tap`](super::Tap) writes what it finds into the context of the request, which shows only the
/// response that the client gets.
pub(crate) struct Preview {
    reader: Option<BodyReader>,
    header_usage: Option<Usage>,
    usage: Option<Usage>,
    tokens: u64,
    end: Option<StreamEnd>,
}

impl Preview {
    /// Creates the preview of a response with these headers.
    pub(crate) fn new(headers: &HeaderMap) -> Self {
        let reader = if is_coded(headers) {
            None
        } else {
            BodyReader::for_media_type(headers, WantedFacts::Usage)
        };
        let header_usage = usage_headers::usage(headers);
        Self { reader, header_usage, usage: header_usage, tokens: 0, end: None }
    }

    /// Returns whether the body is a stream of events or lines, whose content is recognised.
    pub(crate) fn reads_stream(&self) -> bool {
        self.reader.as_ref().is_some_and(BodyReader::is_stream)
    }

    /// Returns whether anything of the body is read.
    pub(crate) const fn reads_body(&self) -> bool {
        self.reader.is_some()
    }

    pub(crate) fn data(&mut self, data: &Bytes) {
        if let Some(update) = self.reader.as_mut().and_then(|reader| reader.feed(data)) {
            self.record(&update);
        }
    }

    pub(crate) fn finish(&mut self, end: BodyEnd) {
        if let Some(update) = self.reader.as_mut().map(|reader| reader.finish(end)) {
            self.record(&update);
        }
    }

    /// Returns whether text has come. An event of an unknown form counts as text.
    pub(crate) const fn has_content(&self) -> bool {
        self.tokens > 0
    }

    /// Returns how the stream has ended, if it has.
    pub(crate) const fn end(&self) -> Option<StreamEnd> {
        self.end
    }

    /// Returns the token counts that the upstream has reported so far.
    pub(crate) const fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn record(&mut self, update: &TapUpdate) {
        self.tokens = update.tokens;
        if let Some(usage) = update.usage {
            self.usage = Some(usage.or_headers(self.header_usage.unwrap_or_default()));
        }
        self.end = update.end.or(self.end);
    }
}

impl fmt::Debug for Preview {
    // Leaves out the buffered part of the response.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preview").field("end", &self.end).finish_non_exhaustive()
    }
}
