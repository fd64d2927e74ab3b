use super::{
    container::Container,
    facts::DocumentFacts,
    generated_text::{GeneratedText, TextKind},
    literals::{append_digit, unescaped},
    member_role::MemberRole,
    plain_string::{plain_length, plain_string},
    words::BoundedWord,
};

/// Reads a JSON document (RFC 8259) piece by piece.
///
/// It checks the grammar and collects [`DocumentFacts`] from known containers. It stores no part of
/// the document except the name or word that it is reading.
pub(crate) struct JsonScanner {
    state: ScanState,
    depth: u8,
    // A bit for each level, the innermost the lowest: 1 for an object, 0 for an array.
    objects: u128,
    // The outermost levels. All others are `Container::Other`.
    containers: [Container; 6],
    // The level of the object with the arguments of a tool that is being read, or 0.
    arguments: u8,
    // The member whose value comes next or is being read.
    member: MemberRole,
    word: BoundedWord,
    // The digits read so far. `None` when the number is no count.
    number: Option<u64>,
    counts_text: bool,
    facts: DocumentFacts,
}

#[derive(Clone, Copy)]
enum ScanState {
    Value,
    /// An element or the end of an empty array.
    FirstValue,
    Name,
    /// A name or the end of an empty object.
    FirstName,
    Colon,
    /// A comma or the end of an array or object.
    Comma,
    /// The document is complete.
    End,
    Text(StringRole),
    Escape(StringRole),
    /// The digits of `\u` that are still missing, and the value of those before.
    Hex(StringRole, u8, u16),
    /// The position of the next letter in [`LITERALS`].
    Literal(u8),
    Number(NumberPart),
    /// The text is not JSON or is nested too deep.
    Stopped,
}

/// The letters of `true`, `false` and `null` after the first.
const LITERALS: &[u8] = b"rue,alse,ull,";

#[derive(Clone, Copy)]
enum StringRole {
    Name,
    Value,
}

#[derive(Clone, Copy)]
enum NumberPart {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

// === impl JsonScanner ===

impl JsonScanner {
    const MAX_DEPTH: u8 = 128;

    pub(crate) fn new() -> Self {
        Self {
            state: ScanState::Value,
            depth: 0,
            objects: 0,
            containers: [Container::Other; 6],
            arguments: 0,
            member: MemberRole::Other,
            word: BoundedWord::EMPTY,
            number: None,
            counts_text: true,
            facts: DocumentFacts::default(),
        }
    }

    /// Creates a scanner that does not estimate the tokens of the text.
    pub(crate) fn without_text() -> Self {
        Self { counts_text: false, ..Self::new() }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((byte, tail)) = rest.split_first() {
            rest = match (self.state, byte) {
                (ScanState::Stopped, _) => return,
                (ScanState::Name | ScanState::FirstName, b'"') => self.name(tail),
                (ScanState::Value | ScanState::FirstValue, b'"') => self.text(tail),
                (ScanState::Text(role), _) => self.string(role, rest),
                (ScanState::Number(part), _) => self.number(part, rest),
                (ScanState::Comma, b',') => {
                    self.comma();
                    match tail {
                        [b'"', name @ ..] if self.in_object() => self.name(name),
                        _ => tail,
                    }
                }
                _ => {
                    self.step(*byte);
                    tail
                }
            };
        }
    }

    /// Returns the facts if the document is complete.
    pub(crate) const fn finish(&self) -> Option<&DocumentFacts> {
        match self.state {
            ScanState::End => Some(&self.facts),
            // A number has no end mark of its own.
            ScanState::Number(
                NumberPart::Zero | NumberPart::Whole | NumberPart::Fraction | NumberPart::Power,
            ) if self.depth == 0 => Some(&self.facts),
            _ => None,
        }
    }

    /// Returns whether only white space was read.
    pub(crate) const fn is_blank(&self) -> bool {
        self.depth == 0 && matches!(self.state, ScanState::Value)
    }

    /// Returns the generated text so far.
    pub(crate) const fn texts(&self) -> &GeneratedText {
        &self.facts.texts
    }

    fn step(&mut self, byte: u8) {
        use ScanState::{
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
            (Colon, b':') => Value,
            (Escape(role), b'u') => Hex(role, 4, 0),
            (Escape(role), b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                // No known word has an escape of this kind.
                self.word.push(b"\0");
                self.count_text(role, |texts, kind| texts.feed(kind, &[unescaped(byte)]));
                ScanState::Text(role)
            }
            (Hex(role, left, code), _) => match char::from(byte).to_digit(16) {
                Some(digit) => {
                    let code = (code << 4) | u16::try_from(digit).unwrap_or_default();
                    if left > 1 {
                        Hex(role, left.saturating_sub(1), code)
                    } else {
                        self.word.push(&[u8::try_from(code).unwrap_or_default()]);
                        self.count_text(role, |texts, kind| texts.feed_unit(kind, code.into()));
                        ScanState::Text(role)
                    }
                }
                None => Stopped,
            },
            (Literal(at), _) => match LITERALS.get(usize::from(at)..) {
                Some([letter, b',', ..]) if *letter == byte => self.after(),
                Some([letter, ..]) if *letter == byte => Literal(at.saturating_add(1)),
                _ => Stopped,
            },
            _ => Stopped,
        };
    }

    /// Reads the first byte of a value.
    fn value(&mut self, byte: u8) -> ScanState {
        self.facts.start_value(self.container(), self.member);
        match byte {
            b'{' => self.open(true),
            b'[' => self.open(false),
            b't' | b'f' | b'n' => {
                self.facts.read_literal(self.container(), self.member, byte);
                ScanState::Literal(match byte {
                    b't' => 0,
                    b'f' => 4,
                    _ => 9,
                })
            }
            b'-' => {
                self.number = None;
                ScanState::Number(NumberPart::Minus)
            }
            b'0' => {
                self.number = Some(0);
                ScanState::Number(NumberPart::Zero)
            }
            b'1'..=b'9' => {
                self.number = Some(u64::from(byte & 0x0f));
                ScanState::Number(NumberPart::Whole)
            }
            _ => ScanState::Stopped,
        }
    }

    fn open(&mut self, object: bool) -> ScanState {
        if self.depth == Self::MAX_DEPTH {
            return ScanState::Stopped;
        }
        let around = self.container();
        let container = self.member.container(around, object);
        self.facts.start_container(around, self.member, container);
        if let Some(slot) = self.containers.get_mut(usize::from(self.depth)) {
            *slot = container;
        }
        self.depth = self.depth.saturating_add(1);
        let arguments = object && self.member == MemberRole::Arguments;
        if arguments && self.arguments == 0 && self.counts_text {
            self.arguments = self.depth;
        }
        self.objects = (self.objects << 1) | u128::from(object);
        self.member = MemberRole::Other;
        if object { ScanState::FirstName } else { ScanState::FirstValue }
    }

    fn close(&mut self, object: bool) -> ScanState {
        if object != self.in_object() {
            return ScanState::Stopped;
        }
        self.facts.end_container(self.container());
        if self.depth == self.arguments {
            self.arguments = 0;
        }
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        self.after()
    }

    fn comma(&mut self) {
        self.member = MemberRole::Other;
        if self.container() == Container::Batch {
            self.facts.start_next_root();
        }
        self.state = if self.in_object() { ScanState::Name } else { ScanState::Value };
    }

    /// Returns the state after a value.
    const fn after(&self) -> ScanState {
        if self.depth == 0 { ScanState::End } else { ScanState::Comma }
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn container(&self) -> Container {
        match usize::from(self.depth).checked_sub(1) {
            None => Container::Outside,
            Some(level) => self.containers.get(level).copied().unwrap_or(Container::Other),
        }
    }

    /// Reads a name and its colon. Returns the bytes after what was read.
    fn name<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        self.facts.texts.end_text();
        let Some((name, tail)) = plain_string(rest) else {
            self.word = BoundedWord::EMPTY;
            self.state = ScanState::Text(StringRole::Name);
            return rest;
        };
        self.count_text(StringRole::Name, |texts, kind| texts.feed(kind, name));
        self.end_name(BoundedWord::bounded(name));
        match tail {
            [b':', b'"', tail @ ..] => self.text(tail),
            [b':', tail @ ..] => {
                self.state = ScanState::Value;
                tail
            }
            _ => tail,
        }
    }

    /// Reads a string that is a value. Returns the bytes after what was read.
    fn text<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        self.facts.start_value(self.container(), self.member);
        self.facts.texts.end_text();
        self.word = BoundedWord::empty_if(self.member != MemberRole::Other || self.depth == 0);
        let Some((text, tail)) = plain_string(rest) else {
            self.state = ScanState::Text(StringRole::Value);
            return rest;
        };
        self.count_text(StringRole::Value, |texts, kind| texts.feed(kind, text));
        self.word.push(text);
        self.end_text();
        tail
    }

    fn end_name(&mut self, name: &[u8]) {
        let container = self.container();
        self.member = MemberRole::of(container, name);
        if container == Container::Root {
            self.facts.read_root_name(name);
        }
        self.state = ScanState::Colon;
    }

    fn end_text(&mut self) {
        self.facts.read_string(self.container(), self.member, &self.word);
        self.state = self.after();
    }

    /// Reads on inside a string. Returns the bytes after it.
    fn string<'a>(&mut self, role: StringRole, rest: &'a [u8]) -> &'a [u8] {
        let (plain, tail) = rest.split_at_checked(plain_length(rest)).unwrap_or((rest, &[]));
        self.word.push(plain);
        self.count_text(role, |texts, kind| texts.feed(kind, plain));
        match (tail.first(), role) {
            (None, _) => {}
            (Some(b'"'), StringRole::Name) => {
                let name = self.word;
                self.end_name(name.as_bytes());
            }
            (Some(b'"'), StringRole::Value) => self.end_text(),
            (Some(b'\\'), _) => self.state = ScanState::Escape(role),
            // A control character.
            (Some(_), _) => self.state = ScanState::Stopped,
        }
        tail.get(1..).unwrap_or_default()
    }

    /// Counts a text that a model may have generated.
    fn count_text(&mut self, role: StringRole, read: impl FnOnce(&mut GeneratedText, TextKind)) {
        let kind = match role {
            _ if self.arguments > 0 => Some(TextKind::Content),
            StringRole::Value if self.counts_text => self.member.text_kind(),
            _ => None,
        };
        if let Some(kind) = kind {
            read(self.facts.generated_text(), kind);
        }
    }

    /// Reads on inside a number. Returns the bytes after it.
    fn number<'a>(&mut self, part: NumberPart, rest: &'a [u8]) -> &'a [u8] {
        let at = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        if self.arguments > 0 {
            self.facts.generated_text().feed(TextKind::Content, digits);
        }
        let part = match (part, digits) {
            (part, []) => part,
            (NumberPart::Minus, [b'0']) => NumberPart::Zero,
            // No leading zeros.
            (NumberPart::Minus, [b'0', ..]) | (NumberPart::Zero, _) => {
                self.state = ScanState::Stopped;
                return &[];
            }
            (NumberPart::Minus | NumberPart::Whole, _) => NumberPart::Whole,
            (NumberPart::Point | NumberPart::Fraction, _) => NumberPart::Fraction,
            (NumberPart::Exponent | NumberPart::Sign | NumberPart::Power, _) => NumberPart::Power,
        };
        self.number = self.number.and_then(|number| match part {
            // Some servers write 12 as the double `12.0`.
            NumberPart::Fraction => digits.iter().all(|digit| *digit == b'0').then_some(number),
            // The number of such a member is not read.
            _ if self.member == MemberRole::Other => None,
            _ => Some(digits.iter().fold(number, |sum, digit| append_digit(sum, *digit))),
        });

        let part = match (part, tail.first()) {
            (part, None) => part,
            (NumberPart::Zero | NumberPart::Whole, Some(b'.')) => NumberPart::Point,
            (NumberPart::Zero | NumberPart::Whole | NumberPart::Fraction, Some(b'e' | b'E')) => {
                NumberPart::Exponent
            }
            (NumberPart::Exponent, Some(b'+' | b'-')) => NumberPart::Sign,
            (
                NumberPart::Zero | NumberPart::Whole | NumberPart::Fraction | NumberPart::Power,
                Some(_),
            ) => {
                self.facts.read_number(self.container(), self.member, self.number);
                self.state = self.after();
                return tail;
            }
            (
                NumberPart::Minus | NumberPart::Point | NumberPart::Exponent | NumberPart::Sign,
                Some(_),
            ) => {
                self.state = ScanState::Stopped;
                return &[];
            }
        };
        if !tail.is_empty() && !matches!(part, NumberPart::Point) {
            self.number = None;
        }
        self.state = ScanState::Number(part);
        tail.get(1..).unwrap_or_default()
    }
}
