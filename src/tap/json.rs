use memchr::memchr2;

use super::{
    append,
    found::Found,
    place::{Member, Place},
    texts::{TextKind, Texts},
    unescaped,
    words::Text,
};

/// Reads a JSON document (RFC 8259) piece by piece: checks its grammar, and keeps a few numbers and
/// flags out of known places. Holds none of it but the name or word it is in.
pub(super) struct Scanner {
    state: State,
    depth: u8,
    // A bit for each level, the innermost the lowest: whether it is an object.
    objects: u128,
    // What the outermost levels are. All others are `Place::Other`.
    places: [Place; 6],
    // Whose value comes next, or is being read.
    member: Member,
    text: Text,
    // As far as it was read; `None` when it is not a count.
    number: Option<u64>,
    found: Found,
}

#[derive(Clone, Copy)]
enum State {
    Value,
    /// An element, or the end of an empty array.
    FirstValue,
    Name,
    /// A name, or the end of an empty object.
    FirstName,
    Colon,
    /// A comma, or the end of an array or object.
    Comma,
    /// The document is whole.
    End,
    Text(Role),
    Escape(Role),
    /// The digits of `\u` that are still to come, and what those before were.
    Hex(Role, u8, u16),
    Literal(&'static [u8]),
    Number(Part),
    /// Not JSON, or nothing to be found in it.
    Stopped,
}

#[derive(Clone, Copy)]
enum Role {
    Name,
    Value,
}

#[derive(Clone, Copy)]
enum Part {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

// === impl Scanner ===

impl Scanner {
    const MAX_DEPTH: u8 = 128;

    pub(super) fn new() -> Self {
        Self {
            state: State::Value,
            depth: 0,
            objects: 0,
            places: [Place::Other; 6],
            member: Member::Other,
            text: Text::EMPTY,
            number: None,
            found: Found::default(),
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((byte, tail)) = rest.split_first() {
            rest = match self.state {
                State::Stopped => return,
                State::Text(role) => self.text(role, rest),
                State::Number(part) => self.number(part, rest),
                _ => {
                    self.step(*byte);
                    tail
                }
            };
        }
    }

    /// What was found, if the document is whole.
    pub(super) const fn finish(&self) -> Option<&Found> {
        match self.state {
            State::End => Some(&self.found),
            // Only what follows it ends a number.
            State::Number(Part::Zero | Part::Whole | Part::Fraction | Part::Power)
                if self.depth == 0 =>
            {
                Some(&self.found)
            }
            _ => None,
        }
    }

    /// The texts so far.
    pub(super) const fn texts(&self) -> &Texts {
        &self.found.texts
    }

    fn step(&mut self, byte: u8) {
        use State::{
            Colon, Comma, End, Escape, FirstName, FirstValue, Hex, Literal, Name, Stopped, Value,
        };
        self.state = match (self.state, byte) {
            (
                Value | FirstValue | Name | FirstName | Colon | Comma | End,
                b' ' | b'\t' | b'\n' | b'\r',
            ) => self.state,
            (FirstValue | Comma, b']') => self.close(false),
            (FirstName | Comma, b'}') => self.close(true),
            (Value | FirstValue, _) => self.value(byte),
            (Name | FirstName, b'"') => {
                self.text = Text::EMPTY;
                State::Text(Role::Name)
            }
            (Colon, b':') => Value,
            (Comma, b',') => self.comma(),
            (Escape(role), b'u') => Hex(role, 4, 0),
            (Escape(role), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                // In none of the words that are looked for.
                self.text.push(b"\0");
                self.delivered(role, |texts, kind| texts.feed(kind, &[unescaped(byte)]));
                State::Text(role)
            }
            (Hex(role, left, code), _) => match char::from(byte).to_digit(16) {
                Some(digit) => {
                    let code = (code << 4) | u16::try_from(digit).unwrap_or_default();
                    if left > 1 {
                        Hex(role, left.saturating_sub(1), code)
                    } else {
                        self.text.push(&[u8::try_from(code).unwrap_or_default()]);
                        self.delivered(role, |texts, kind| texts.feed_unit(kind, code.into()));
                        State::Text(role)
                    }
                }
                None => Stopped,
            },
            (Literal([next]), _) if *next == byte => self.after(),
            (Literal([next, rest @ ..]), _) if *next == byte => Literal(rest),
            _ => Stopped,
        };
    }

    /// A value begins.
    fn value(&mut self, byte: u8) -> State {
        self.found.begin(self.place(), self.member);
        match byte {
            b'{' => self.open(true),
            b'[' => self.open(false),
            b'"' => {
                self.text = Text::wanted_if(self.member != Member::Other || self.depth == 0);
                self.found.texts.end();
                State::Text(Role::Value)
            }
            b't' | b'f' | b'n' => {
                self.found.literal(self.place(), self.member, byte);
                State::Literal(match byte {
                    b't' => b"rue",
                    b'f' => b"alse",
                    _ => b"ull",
                })
            }
            b'-' => {
                self.number = None;
                State::Number(Part::Minus)
            }
            b'0' => {
                self.number = Some(0);
                State::Number(Part::Zero)
            }
            b'1'..=b'9' => {
                self.number = Some(u64::from(byte & 0x0f));
                State::Number(Part::Whole)
            }
            _ => State::Stopped,
        }
    }

    fn open(&mut self, object: bool) -> State {
        if self.depth == Self::MAX_DEPTH {
            return State::Stopped;
        }
        let around = self.place();
        let place = around.inside(self.member, object);
        self.found.open(around, self.member, place);
        if let Some(slot) = self.places.get_mut(usize::from(self.depth)) {
            *slot = place;
        }
        self.depth = self.depth.saturating_add(1);
        self.objects = (self.objects << 1) | u128::from(object);
        self.member = Member::Other;
        if object { State::FirstName } else { State::FirstValue }
    }

    fn close(&mut self, object: bool) -> State {
        if object != self.in_object() {
            return State::Stopped;
        }
        self.found.close(self.place());
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        self.after()
    }

    fn comma(&mut self) -> State {
        self.member = Member::Other;
        if self.place() == Place::Batch {
            self.found.again();
        }
        if self.in_object() { State::Name } else { State::Value }
    }

    /// What may stand after a value.
    const fn after(&self) -> State {
        if self.depth == 0 { State::End } else { State::Comma }
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn place(&self) -> Place {
        match usize::from(self.depth).checked_sub(1) {
            None => Place::Outside,
            Some(level) => self.places.get(level).copied().unwrap_or(Place::Other),
        }
    }

    /// Reads on inside of a string; gives what it did not read.
    fn text<'a>(&mut self, role: Role, rest: &'a [u8]) -> &'a [u8] {
        let at = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        // Not `any`, so that the compiler compares many at once.
        if plain.iter().fold(false, |control, byte| control | (*byte < b' ')) {
            self.state = State::Stopped;
            return &[];
        }
        self.text.push(plain);
        self.delivered(role, |texts, kind| texts.feed(kind, plain));
        match (tail.first(), role) {
            (None, _) => {}
            (Some(b'"'), Role::Name) => {
                let place = self.place();
                self.member = Member::of(place, self.text.as_bytes());
                if place == Place::Root {
                    self.found.name(self.text.as_bytes());
                }
                self.state = State::Colon;
            }
            (Some(b'"'), Role::Value) => {
                self.found.text(self.place(), self.member, &self.text);
                self.state = self.after();
            }
            (Some(_), _) => self.state = State::Escape(role),
        }
        tail.get(1..).unwrap_or_default()
    }

    /// Counts what a model may have written.
    fn delivered(&mut self, role: Role, read: impl FnOnce(&mut Texts, TextKind)) {
        if let (Role::Value, Some(kind)) = (role, self.member.written()) {
            read(self.found.written(), kind);
        }
    }

    /// Reads on inside of a number; gives what it did not read.
    fn number<'a>(&mut self, part: Part, rest: &'a [u8]) -> &'a [u8] {
        let at = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        let part = match (part, digits) {
            (part, []) => part,
            (Part::Minus, [b'0']) => Part::Zero,
            // No leading zeros.
            (Part::Minus, [b'0', ..]) | (Part::Zero, _) => {
                self.state = State::Stopped;
                return &[];
            }
            (Part::Minus | Part::Whole, _) => Part::Whole,
            (Part::Point | Part::Fraction, _) => Part::Fraction,
            (Part::Exponent | Part::Sign | Part::Power, _) => Part::Power,
        };
        self.number = self.number.and_then(|number| match part {
            // Writers of doubles make `12.0` of 12.
            Part::Fraction => digits.iter().all(|digit| *digit == b'0').then_some(number),
            _ => Some(digits.iter().fold(number, |sum, digit| append(sum, *digit))),
        });

        let part = match (part, tail.first()) {
            (part, None) => part,
            (Part::Zero | Part::Whole, Some(b'.')) => Part::Point,
            (Part::Zero | Part::Whole | Part::Fraction, Some(b'e' | b'E')) => Part::Exponent,
            (Part::Exponent, Some(b'+' | b'-')) => Part::Sign,
            (Part::Zero | Part::Whole | Part::Fraction | Part::Power, Some(_)) => {
                self.found.number(self.place(), self.member, self.number);
                self.state = self.after();
                return tail;
            }
            (Part::Minus | Part::Point | Part::Exponent | Part::Sign, Some(_)) => {
                self.state = State::Stopped;
                return &[];
            }
        };
        if !tail.is_empty() && !matches!(part, Part::Point) {
            self.number = None;
        }
        self.state = State::Number(part);
        tail.get(1..).unwrap_or_default()
    }
}
