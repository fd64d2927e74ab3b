use memchr::{memchr2, memchr3};

use super::{
    found::Marks,
    json::Scanner,
    story::{Said, Story},
    words::{Text, Type},
};

/// Reads an event that is too long to be held back, piece by piece.
pub(super) struct Passing {
    scanner: Scanner,
    at: At,
    // Of the field that it is in.
    name: Text,
    event_type: Text,
    error: bool,
    empty: bool,
    // Bytes of the data.
    length: u64,
}

/// Where in a line it is.
#[derive(Clone, Copy)]
enum At {
    Name,
    /// Behind the colon, where one space may follow.
    Colon(Field),
    Value(Field),
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Field {
    Data,
    Event,
    Error,
    Other,
}

impl Passing {
    pub(super) fn new() -> Self {
        Self {
            scanner: Scanner::new(),
            at: At::Name,
            name: Text::EMPTY,
            event_type: Text::EMPTY,
            error: false,
            empty: true,
            length: 0,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(byte) = rest.first() {
            rest = match self.at {
                At::Name => {
                    let at = memchr3(b':', b'\n', b'\r', rest).unwrap_or(rest.len());
                    let (name, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
                    self.name.push(name);
                    match tail.first() {
                        Some(b':') => {
                            let field = self.field();
                            self.at = At::Colon(field);
                        }
                        Some(_) => {
                            let field = self.field();
                            self.end_line(field);
                        }
                        None => {}
                    }
                    tail.get(1..).unwrap_or_default()
                }
                At::Colon(field) => {
                    self.at = At::Value(field);
                    if *byte == b' ' { rest.get(1..).unwrap_or_default() } else { rest }
                }
                At::Value(field) => {
                    let at = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
                    let (value, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
                    match field {
                        Field::Data => {
                            self.length = self.length.saturating_add(value.len() as u64);
                            self.scanner.feed(value);
                        }
                        Field::Event => self.event_type.push(value),
                        Field::Error => self.error |= !value.trim_ascii().is_empty(),
                        Field::Other => {}
                    }
                    if !tail.is_empty() {
                        self.end_line(field);
                    }
                    tail.get(1..).unwrap_or_default()
                }
            };
        }
    }

    /// The event has ended. True when it tells of usage.
    pub(super) fn finish(&self, story: &mut Story, closed: bool) -> bool {
        let found = self.scanner.finish().copied().unwrap_or_default();
        if closed && found.has(Marks::KNOWN) {
            story.deliver_counted(found.texts.fresh());
        } else if closed {
            story.deliver_unknown(self.length);
        }
        let event_type = Type::of(self.event_type.as_bytes());
        story.hear(&found, Said { event_type, error: self.error, done: false, empty: self.empty })
    }

    /// The name of a line is there.
    fn field(&mut self) -> Field {
        match self.name.as_bytes() {
            b"data" => Field::Data,
            b"event" => {
                self.event_type = Text::EMPTY;
                Field::Event
            }
            b"error" => Field::Error,
            _ => Field::Other,
        }
    }

    fn end_line(&mut self, field: Field) {
        if field == Field::Data {
            self.empty = false;
            self.scanner.feed(b"\n");
        }
        self.name = Text::EMPTY;
        self.at = At::Name;
    }
}
