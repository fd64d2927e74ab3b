use memchr::memchr2;

use super::append;
use crate::context::Usage;

/// Reads a JSON document (RFC 8259) piece by piece: checks its grammar, and keeps a few numbers and
/// flags out of known places. Holds none of it but the name or word it is in.
pub(super) struct Scanner {
    state: State,
    depth: u8,
    // A bit for each level, the innermost the lowest: whether it is an object.
    objects: u128,
    // What the outermost levels are. All others are `Place::Other`.
    places: [Place; 4],
    // Whose value comes next, or is being read.
    member: Member,
    text: Text,
    // As far as it was read; `None` when it is not a count.
    number: Option<u64>,
    found: Found,
}

/// What a document said.
#[derive(Clone, Copy, Default)]
pub(super) struct Found {
    usage: Counts,
    response: Counts,
    details: Counts,
    /// An `error` that says something.
    pub(super) error: bool,
    /// A `finish_reason` that says something, of any choice.
    pub(super) finished: bool,
    /// A `generated_text`.
    pub(super) generated: bool,
    /// The `type`.
    pub(super) event_type: Type,
}

/// The types of events that end a stream.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(super) enum Type {
    #[default]
    Other,
    Error,
    Failed,
    Completed,
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

#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    Outside,
    Batch,
    Root,
    Usage,
    Details,
    Response,
    ResponseUsage,
    Choices,
    Choice,
    Other,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Member {
    Usage,
    Details,
    Response,
    Choices,
    Error,
    GeneratedText,
    Type,
    FinishReason,
    Count(u8),
    Other,
}

// === impl Scanner ===

impl Scanner {
    const MAX_DEPTH: u8 = 128;

    pub(super) fn new() -> Self {
        Self {
            state: State::Value,
            depth: 0,
            objects: 0,
            places: [Place::Other; 4],
            member: Member::Other,
            text: Text::default(),
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
            _ => None,
        }
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
                self.text = Text::wanted_if(self.place() != Place::Other);
                State::Text(Role::Name)
            }
            (Colon, b':') => Value,
            (Comma, b',') => self.comma(),
            (Escape(role), b'u') => Hex(role, 4, 0),
            (Escape(role), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                // In none of the words that are looked for.
                self.text.push(b"\0");
                State::Text(role)
            }
            (Hex(role, left, code), _) => match char::from(byte).to_digit(16) {
                Some(digit) => {
                    let code = (code << 4) | u16::try_from(digit).unwrap_or_default();
                    if left > 1 {
                        Hex(role, left.saturating_sub(1), code)
                    } else {
                        self.text.push(&[u8::try_from(code).unwrap_or_default()]);
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
        match self.place() {
            // Only of an object, or of the one in an array, anything is known.
            Place::Outside if !matches!(byte, b'{' | b'[') => return State::Stopped,
            Place::Batch if byte != b'{' => return State::Stopped,
            _ => self.found.forget(self.place(), self.member),
        }
        match byte {
            b'{' => self.open(true),
            b'[' => self.open(false),
            b'"' => {
                self.text = Text::wanted_if(self.member != Member::Other);
                State::Text(Role::Value)
            }
            b't' => {
                self.found.error |= self.member == Member::Error;
                State::Literal(b"rue")
            }
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
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
        self.found.error |= self.member == Member::Error;
        let place = self.place().inside(self.member, object);
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
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        self.after()
    }

    fn comma(&mut self) -> State {
        self.member = Member::Other;
        match self.place() {
            // Whose usage would it be?
            Place::Batch => State::Stopped,
            _ if self.in_object() => State::Name,
            _ => State::Value,
        }
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
        match (tail.first(), role) {
            (None, _) => {}
            (Some(b'"'), Role::Name) => {
                self.member = Member::of(self.place(), self.text.as_bytes());
                self.state = State::Colon;
            }
            (Some(b'"'), Role::Value) => {
                self.found.text(self.member, &self.text);
                self.state = self.after();
            }
            (Some(_), _) => self.state = State::Escape(role),
        }
        tail.get(1..).unwrap_or_default()
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
        self.number =
            self.number.map(|number| digits.iter().fold(number, |sum, digit| append(sum, *digit)));

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
        if !tail.is_empty() {
            self.number = None;
        }
        self.state = State::Number(part);
        tail.get(1..).unwrap_or_default()
    }
}

// === impl Place, Member, Type ===

impl Place {
    /// What an object or array is that stands here.
    const fn inside(self, member: Member, object: bool) -> Self {
        match (self, member, object) {
            (Self::Outside, _, false) => Self::Batch,
            (Self::Outside | Self::Batch, _, true) => Self::Root,
            (Self::Root, Member::Usage, true) => Self::Usage,
            (Self::Root, Member::Details, true) => Self::Details,
            (Self::Root, Member::Response, true) => Self::Response,
            (Self::Root, Member::Choices, false) => Self::Choices,
            (Self::Response, Member::Usage, true) => Self::ResponseUsage,
            (Self::Choices, _, true) => Self::Choice,
            _ => Self::Other,
        }
    }
}

impl Member {
    fn of(place: Place, name: &[u8]) -> Self {
        match (place, name) {
            (Place::Root | Place::Response, b"usage") => Self::Usage,
            (Place::Root, b"details") => Self::Details,
            (Place::Root, b"response") => Self::Response,
            (Place::Root, b"choices") => Self::Choices,
            (Place::Root, b"error") => Self::Error,
            (Place::Root, b"generated_text") => Self::GeneratedText,
            (Place::Root, b"type") => Self::Type,
            (Place::Choice, b"finish_reason") => Self::FinishReason,
            (Place::Usage | Place::ResponseUsage, b"prompt_tokens") => Self::Count(PROMPT),
            (Place::Usage | Place::ResponseUsage, b"completion_tokens") => Self::Count(COMPLETION),
            (Place::Usage | Place::ResponseUsage, b"total_tokens") => Self::Count(TOTAL),
            (Place::Usage | Place::ResponseUsage, b"input_tokens") => Self::Count(INPUT),
            (Place::Usage | Place::ResponseUsage, b"output_tokens") => Self::Count(OUTPUT),
            (Place::Details, b"input_length") => Self::Count(PROMPT),
            (Place::Details, b"generated_tokens") => Self::Count(COMPLETION),
            _ => Self::Other,
        }
    }
}

impl Type {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"error" => Self::Error,
            b"response.failed" => Self::Failed,
            // An incomplete one met its bound of tokens; its stream is whole.
            b"response.completed" | b"response.incomplete" => Self::Completed,
            _ => Self::Other,
        }
    }
}

// === impl Found ===

const PROMPT: u8 = 0;
const COMPLETION: u8 = 1;
const TOTAL: u8 = 2;
const INPUT: u8 = 3;
const OUTPUT: u8 = 4;

/// Counts of tokens, by the numbers above.
#[derive(Clone, Copy, Default)]
struct Counts {
    values: [u64; 5],
    // A bit for each.
    known: u8,
}

impl Found {
    /// The usage, if the document says anything of it.
    pub(super) fn usage(&self) -> Option<Usage> {
        [&self.usage, &self.response, &self.details]
            .into_iter()
            .find(|counts| counts.known != 0)
            .map(|counts| Usage {
                prompt_tokens: counts.get(PROMPT).or_else(|| counts.get(INPUT)),
                completion_tokens: counts.get(COMPLETION).or_else(|| counts.get(OUTPUT)),
                total_tokens: counts.get(TOTAL),
            })
    }

    /// A value of `member` begins: what one before it said no longer stands.
    fn forget(&mut self, place: Place, member: Member) {
        match (place, member) {
            (_, Member::Error) => self.error = false,
            (_, Member::GeneratedText) => self.generated = false,
            (_, Member::Type) => self.event_type = Type::Other,
            (Place::Root, Member::Usage) => self.usage = Counts::default(),
            (Place::Root, Member::Details) => self.details = Counts::default(),
            (_, Member::Response | Member::Usage) => self.response = Counts::default(),
            (_, Member::Count(count)) => self.set(place, count, None),
            _ => {}
        }
    }

    fn text(&mut self, member: Member, text: &Text) {
        match member {
            // Some servers send empty ones with every event.
            Member::Error => self.error = !text.is_empty(),
            Member::FinishReason => self.finished |= !text.is_empty(),
            Member::GeneratedText => self.generated = true,
            Member::Type => self.event_type = Type::of(text.as_bytes()),
            _ => {}
        }
    }

    fn number(&mut self, place: Place, member: Member, number: Option<u64>) {
        match member {
            Member::Error => self.error = true,
            Member::Count(count) => self.set(place, count, number),
            _ => {}
        }
    }

    fn set(&mut self, place: Place, count: u8, number: Option<u64>) {
        let counts = match place {
            Place::Usage => &mut self.usage,
            Place::ResponseUsage => &mut self.response,
            _ => &mut self.details,
        };
        let bit = 1 << count;
        match (number, counts.values.get_mut(usize::from(count))) {
            (Some(number), Some(value)) => {
                *value = number;
                counts.known |= bit;
            }
            _ => counts.known &= !bit,
        }
    }
}

impl Counts {
    fn get(&self, count: u8) -> Option<u64> {
        let known = self.known & (1 << count) != 0;
        self.values.get(usize::from(count)).copied().filter(|_| known)
    }
}

// === impl Text ===

/// A name, or a word: as much of it as the longest that is looked for. A longer one is none.
#[derive(Default)]
struct Text {
    bytes: [u8; 20],
    len: u8,
}

impl Text {
    const TOO_LONG: u8 = u8::MAX;

    /// An empty one, that stays of no use unless it is `wanted`.
    const fn wanted_if(wanted: bool) -> Self {
        Self { bytes: [0; 20], len: if wanted { 0 } else { Self::TOO_LONG } }
    }

    fn push(&mut self, more: &[u8]) {
        let end = usize::from(self.len).saturating_add(more.len());
        match self.bytes.get_mut(usize::from(self.len)..end) {
            Some(room) => {
                room.copy_from_slice(more);
                self.len = u8::try_from(end).unwrap_or(Self::TOO_LONG);
            }
            None => self.len = Self::TOO_LONG,
        }
    }

    const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Empty when it is none that is looked for.
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}
