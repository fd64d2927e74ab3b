use memchr::{memchr2, memchr3};

use super::{
    field_name::FieldName,
    stream_state::{EventFields, StreamState},
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
    error: bool,
    empty: bool,
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
            error: false,
            empty: true,
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
                            self.scanner.feed(value);
                        }
                        EventField::Named(FieldName::Event) => self.event_type.push(value),
                        EventField::Named(FieldName::Failure) => {
                            self.error |= !value.trim_ascii().is_empty();
                        }
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
        let facts = self.scanner.finish().copied();
        let unknown = !self.empty && facts.is_none_or(|facts| !facts.is_recognised());
        if self.malformed || unknown {
            state.set_doubtful();
        }
        let facts = facts.unwrap_or_default();
        if facts.is_unfinished() {
            state.set_unfinished();
        }
        let error = self.error || self.bare.finish().is_some_and(|facts| facts.has_failed());
        if closed && facts.has(DocumentFlags::KNOWN_EVENT) {
            state.delivered.add_cost(facts.texts.delta_cost());
        } else if closed {
            state.delivered.add_unknown(self.data_bytes);
        }
        let event_type = EventType::of(self.event_type.as_bytes());
        let fields = EventFields { event_type, error, done: false, empty: self.empty };
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
        if field == EventField::Bare {
            self.bare.feed(b"\n");
        }
        if field == EventField::Named(FieldName::Data) {
            self.empty = false;
            self.scanner.feed(b"\n");
        }
        self.name = BoundedWord::EMPTY;
        self.position = LinePosition::Name;
    }
}

/// Returns whether a line that starts with this byte is no field.
const fn is_bare(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && !matches!(byte, b':' | b'\n' | b'\r' | b'-' | b'_')
}
