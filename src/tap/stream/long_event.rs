use memchr::{memchr2, memchr3};

use super::{
    field_name::FieldName,
    stream_state::{EventFields, StreamState},
    trimmed_word::TrimmedWord,
};
use crate::tap::document::{BoundedWord, DocumentFlags, EventType, JsonScanner};

/// Reads an event that is too long for the buffer, piece by piece.
pub(super) struct LongEvent {
    scanner: JsonScanner,
    // Lines that are no fields.
    bare: JsonScanner,
    malformed: bool,
    position: LinePosition,
    // The name of the current field.
    name: BoundedWord,
    event_type: BoundedWord,
    // The value of the current field if it may be a failure.
    failure: TrimmedWord,
    error: bool,
    // The value of all lines of data.
    data: TrimmedWord,
    lines: u64,
    data_bytes: u64,
}

/// The position in a line.
#[derive(Clone, Copy)]
enum LinePosition {
    Name,
    /// After the colon, where one space may follow.
    AfterColon(EventField),
    Value(EventField),
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum EventField {
    Named(FieldName),
    /// A line that is no field.
    Bare,
}

impl LongEvent {
    pub(super) fn new() -> Self {
        Self {
            scanner: JsonScanner::new(),
            bare: JsonScanner::new(),
            malformed: false,
            position: LinePosition::Name,
            name: BoundedWord::EMPTY,
            event_type: BoundedWord::EMPTY,
            failure: TrimmedWord::EMPTY,
            error: false,
            data: TrimmedWord::EMPTY,
            lines: 0,
            data_bytes: 0,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(byte) = rest.first() {
            rest = match self.position {
                LinePosition::Name if self.name.is_empty() && is_bare(*byte) => {
                    self.malformed = true;
                    self.position = LinePosition::Value(EventField::Bare);
                    rest
                }
                LinePosition::Name => {
                    let at = memchr3(b':', b'\n', b'\r', rest).unwrap_or(rest.len());
                    let (name, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
                    self.name.push(name);
                    if let Some(end) = tail.first() {
                        let field = self.field();
                        if *end == b':' {
                            self.position = LinePosition::AfterColon(field);
                        } else {
                            self.end_line(field);
                        }
                    }
                    tail.get(1..).unwrap_or_default()
                }
                LinePosition::AfterColon(field) => {
                    self.position = LinePosition::Value(field);
                    if *byte == b' ' { rest.get(1..).unwrap_or_default() } else { rest }
                }
                LinePosition::Value(field) => {
                    let at = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                    let (value, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
                    match field {
                        EventField::Named(FieldName::Data) => {
                            self.data_bytes = self.data_bytes.saturating_add(value.len() as u64);
                            self.data.push(value);
                            self.scanner.feed(value);
                        }
                        EventField::Named(FieldName::Event) => self.event_type.push(value),
                        EventField::Named(FieldName::Failure) => self.failure.push(value),
                        EventField::Bare => self.bare.feed(value),
                        EventField::Named(_) => {}
                    }
                    if !tail.is_empty() {
                        self.end_line(field);
                    }
                    tail.get(1..).unwrap_or_default()
                }
            };
        }
    }

    /// Ends the event. Returns true when it reports usage.
    pub(super) fn finish(&self, state: &mut StreamState, closed: bool) -> bool {
        let event_type = EventType::of(self.event_type.as_bytes());
        let error = self.error || self.bare.finish().is_some_and(|facts| facts.has_failed());
        let done = self.lines == 1 && self.data.is(b"[DONE]");
        let fields = EventFields { event_type, error, done, empty: self.lines == 0 };
        if self.malformed {
            state.set_doubtful();
        }
        let nothing = self.data.is_empty() || self.data.is(b"{}");
        if fields.empty || done || nothing && self.lines == 1 {
            state.add_plain_event(fields);
            return false;
        }
        let facts = self.scanner.finish().copied();
        if event_type != EventType::Ping && facts.is_none_or(|facts| !facts.is_recognised()) {
            state.set_doubtful();
        }
        let facts = facts.unwrap_or_default();
        if facts.is_unfinished() {
            state.set_unfinished();
        }
        if facts.has_root_text() {
            state.set_root_text();
        }
        if !closed || nothing {
            // The text may be cut.
        } else if facts.has(DocumentFlags::TOKEN) {
            state.delivered.add_token_cost(facts.texts.delta_cost());
        } else if facts.has(DocumentFlags::KNOWN_EVENT) {
            state.delivered.add_cost(facts.texts.delta_cost());
        } else {
            let line_ends = self.lines.saturating_sub(1);
            state.delivered.add_unknown(self.data_bytes.saturating_add(line_ends));
        }
        state.add_event(&facts, fields)
    }

    /// Returns the field of the name that was read.
    fn field(&mut self) -> EventField {
        let name = FieldName::of(self.name.as_bytes());
        if name == FieldName::Event {
            self.event_type = BoundedWord::EMPTY;
        }
        // A comment and the line after a carriage return have no name.
        self.malformed |= name == FieldName::Unknown && !self.name.is_empty();
        EventField::Named(name)
    }

    fn end_line(&mut self, field: EventField) {
        match field {
            EventField::Bare => self.bare.feed(b"\n"),
            EventField::Named(FieldName::Data) => {
                self.lines = self.lines.saturating_add(1);
                self.data.push(b"\n");
                self.scanner.feed(b"\n");
            }
            EventField::Named(FieldName::Failure) => {
                self.error |= !(self.failure.is_empty() || self.failure.is(b"null"));
                self.failure = TrimmedWord::EMPTY;
            }
            EventField::Named(_) => {}
        }
        self.name = BoundedWord::EMPTY;
        self.position = LinePosition::Name;
    }
}

/// Returns whether a line that starts with this byte is no field.
const fn is_bare(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && !matches!(byte, b':' | b'\n' | b'\r' | b'-' | b'_')
}
