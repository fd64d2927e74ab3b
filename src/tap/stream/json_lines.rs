use memchr::memchr;

use super::{
    stream_state::{EventFields, StreamState},
    tap_update::TapUpdate,
};
use crate::{
    body::BodyEnd,
    tap::document::{DocumentFlags, JsonScanner},
};
#[cfg(feature = "cache")]
use crate::{context::StreamEnd, tap::completeness::Completeness};

/// Reads a stream of JSON documents with one in each line, as Ollama sends it.
pub(crate) struct JsonLines {
    scanner: JsonScanner,
    state: StreamState,
    // A line had a member that says whether the stream has ended.
    states_end: bool,
    // A line has no form of a known server.
    unknown: bool,
}

impl JsonLines {
    pub(crate) fn new() -> Self {
        Self {
            scanner: JsonScanner::new(),
            state: StreamState::default(),
            states_end: false,
            unknown: false,
        }
    }

    pub(crate) fn feed(&mut self, chunk: &[u8]) -> TapUpdate {
        let end_before = self.state.end();
        let mut usage_changed = false;
        let mut rest = chunk;
        while let Some(at) = memchr(b'\n', rest) {
            let (line, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            self.scanner.feed(line);
            usage_changed |= self.end_line();
            rest = tail.get(1..).unwrap_or_default();
        }
        self.scanner.feed(rest);
        self.state.update(usage_changed, end_before)
    }

    /// Ends the stream with its body.
    ///
    /// A complete body in which no line speaks of an end has no [`StreamEnd`](crate::context::StreamEnd).
    pub(crate) fn finish(&mut self, body: BodyEnd) -> TapUpdate {
        let usage_changed = self.end_line();
        let whole = matches!(body, BodyEnd::Complete | BodyEnd::Trailers);
        if self.states_end || !whole {
            self.state.finish(body);
        }
        self.state.update(usage_changed, None)
    }

    /// Returns whether a line has brought text.
    pub(crate) const fn has_text(&self) -> bool {
        self.state.delivered.is_known()
    }

    #[cfg(feature = "cache")]
    pub(crate) fn completeness(&self, text_in_roots: bool) -> Completeness {
        match self.state.end() {
            None if !self.state.is_doubtful() => Completeness::Unstated,
            None => Completeness::Unproven,
            Some(StreamEnd::Done) if self.unknown => Completeness::Unproven,
            Some(_) => self.state.completeness(text_in_roots),
        }
    }

    /// Ends a line. Returns true when it reports usage.
    fn end_line(&mut self) -> bool {
        let scanner = std::mem::replace(&mut self.scanner, JsonScanner::new());
        let Some(facts) = scanner.finish() else {
            if !scanner.is_blank() {
                self.state.set_doubtful();
            }
            return false;
        };
        self.unknown |= !facts.is_recognised();
        self.states_end |= facts.has(DocumentFlags::DONE)
            || facts.is_unfinished()
            || !facts.finish_reasons().is_empty();
        self.state.delivered.add_cost(facts.texts.cost());
        self.state.add_event(facts, EventFields::default())
    }
}
