use super::{
    container::Container,
    facts::DocumentFacts,
    generated_text::{GeneratedText, TextKind},
    literals::unescaped,
    member_role::MemberRole,
    root_member::RootMember,
    whole_value::{after_literal, whole_number},
    words::{BoundedWord, Word},
};
use crate::json_string::split_plain;

/// Reads a JSON document (RFC 8259) piece by piece.
///
/// It checks the grammar and collects [`DocumentFacts`] from known containers. It stores no part of
/// the document except the name or word that it is reading.
pub(crate) struct JsonScanner {
    pub(super) state: ScanState,
    pub(super) depth: u8,
    // A bit for each level, the innermost the lowest: 1 for an object, 0 for an array.
    pub(super) objects: u128,
    // The outermost levels. All others are `Container::Other`.
    pub(super) containers: [Container; 6],
    // The innermost level.
    pub(super) container: Container,
    // The level of the object with the arguments of a tool that is being read, or 0.
    pub(super) arguments: u8,
    // The member whose value comes next or is being read.
    pub(super) member: MemberRole,
    word: BoundedWord,
    // The digits read so far. `None` when the number is no count.
    pub(super) number: Option<u64>,
    pub(super) wanted: WantedFacts,
    pub(super) facts: DocumentFacts,
}

/// The facts of a document that its reader uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WantedFacts {
    /// The usage, and whether the document is complete. Values without counts are only checked.
    Usage,
    /// All facts, and the estimated tokens of the text.
    All,
}

#[derive(Clone, Copy)]
pub(super) enum ScanState {
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
pub(super) enum StringRole {
    Name,
    Value,
}

/// The part of a number that comes next.
#[derive(Clone, Copy)]
pub(super) enum NumberPart {
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
    pub(super) const MAX_DEPTH: u8 = 128;

    /// Creates a scanner that collects all facts.
    pub(crate) fn new() -> Self {
        Self::collecting(WantedFacts::All)
    }

    #[inline]
    pub(crate) fn collecting(wanted: WantedFacts) -> Self {
        Self {
            state: ScanState::Value,
            depth: 0,
            objects: 0,
            containers: [Container::Other; 6],
            container: Container::Outside,
            arguments: 0,
            member: MemberRole::Other,
            word: BoundedWord::EMPTY,
            number: None,
            wanted,
            facts: DocumentFacts::default(),
        }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((byte, tail)) = rest.split_first() {
            rest = match (self.state, byte) {
                (ScanState::Name | ScanState::FirstName, b'"') => self.members(tail),
                (ScanState::Value | ScanState::FirstValue, _) => self.element(*byte, rest, tail),
                (ScanState::Text(role), _) => self.string(role, rest),
                (ScanState::Number(part), _) => self.number(part, rest),
                (ScanState::Stopped, _) => return,
                _ => {
                    self.step(*byte);
                    tail
                }
            };
        }
    }

    /// Reads members, and those of the objects in them, as long as each is whole and has no white
    /// space. `rest` follows the first quote of a name. Returns the bytes after what was read.
    fn members<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let mut rest = rest;
        loop {
            let (name, tail) = split_plain(rest);
            let [b'"', b':', value @ ..] = tail else { return self.name(name, tail) };
            self.read_name(name);
            self.state = ScanState::Value;
            let [byte, tail @ ..] = value else { return value };
            rest = if self.wants_no_fact_of(*byte) {
                self.pass_value(value)
            } else {
                self.value(*byte, value, tail)
            };
            if let (ScanState::FirstValue, [b'{', tail @ ..]) = (self.state, rest) {
                self.facts.start_value(self.container, self.member);
                self.open(true);
                rest = tail;
            }
            if let (ScanState::FirstName, [b'"', name @ ..]) = (self.state, rest) {
                rest = name;
                continue;
            }
            if !matches!(self.state, ScanState::Comma) {
                return rest;
            }
            rest = loop {
                match (rest, self.in_object()) {
                    ([b',', b'"', name @ ..], true) => break name,
                    ([b'}', tail @ ..], true) => {
                        self.close();
                        rest = tail;
                    }
                    ([b']', tail @ ..], false) if self.depth > 0 => {
                        self.close();
                        rest = tail;
                    }
                    _ => {
                        self.state = self.after();
                        return rest;
                    }
                }
            };
        }
    }

    /// Reads a value outside of [`members`](Self::members).
    #[inline(never)]
    fn element<'a>(&mut self, byte: u8, rest: &'a [u8], tail: &'a [u8]) -> &'a [u8] {
        self.value(byte, rest, tail)
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
        use ScanState::{Colon, Comma, End, Escape, FirstName, Hex, Literal, Name, Stopped, Value};
        self.state = match (self.state, byte) {
            (Name | FirstName | Colon | Comma | End, b' ' | b'\t' | b'\n' | b'\r') => self.state,
            (FirstName | Comma, b'}') if self.in_object() => self.close(),
            (Comma, b']') if !self.in_object() => self.close(),
            (Comma, b',') => self.comma(),
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

    /// Reads a value, or the part of it that is at hand. Returns the bytes after what was read.
    ///
    /// `rest` starts with `byte`, and `tail` follows it.
    #[inline(always)]
    fn value<'a>(&mut self, byte: u8, rest: &'a [u8], tail: &'a [u8]) -> &'a [u8] {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => return tail,
            b'"' => return self.text(tail),
            b']' if matches!(self.state, ScanState::FirstValue) => {
                self.state = self.close();
                return tail;
            }
            b'0'..=b'9' if self.arguments == 0 => {
                if let Some((number, after)) = whole_number(rest) {
                    self.read_whole_number(number);
                    return after;
                }
            }
            _ => {}
        }
        self.facts.start_value(self.container, self.member);
        match byte {
            b'{' | b'[' => {
                self.open(byte == b'{');
                tail
            }
            b't' | b'f' | b'n' => self.literal(byte, rest, tail),
            b'0'..=b'9' => {
                self.number = Some(u64::from(byte & 0x0f));
                let zero = byte == b'0';
                self.state =
                    ScanState::Number(if zero { NumberPart::Zero } else { NumberPart::Whole });
                tail
            }
            b'-' => {
                self.number = None;
                self.state = ScanState::Number(NumberPart::Minus);
                tail
            }
            _ => {
                self.state = ScanState::Stopped;
                tail
            }
        }
    }

    #[inline]
    fn read_whole_number(&mut self, number: u64) {
        if self.member != MemberRole::Other || self.container.counts_elements() {
            self.facts.read_whole_number(self.container, self.member, number);
        }
        self.state = self.after();
    }

    #[inline]
    fn literal<'a>(&mut self, letter: u8, rest: &'a [u8], tail: &'a [u8]) -> &'a [u8] {
        self.facts.read_literal(self.container, self.member, letter);
        if let Some(after) = after_literal(rest) {
            self.state = self.after();
            return after;
        }
        self.state = ScanState::Literal(match letter {
            b't' => 0,
            b'f' => 4,
            _ => 9,
        });
        tail
    }

    /// Reads the first byte of an object or an array.
    fn open(&mut self, object: bool) {
        if self.depth == Self::MAX_DEPTH {
            self.state = ScanState::Stopped;
            return;
        }
        let mut container = self.member.container(self.container, object);
        if self.wanted == WantedFacts::Usage && !container.leads_to_counts() {
            container = Container::Other;
        }
        self.facts.start_container(self.container, self.member, container);
        if let Some(slot) = self.containers.get_mut(usize::from(self.depth)) {
            *slot = container;
        }
        self.depth = self.depth.saturating_add(1);
        // Deeper levels than those that are remembered have no role.
        let remembered = usize::from(self.depth) <= self.containers.len();
        self.container = if remembered { container } else { Container::Other };
        let arguments = object && self.member == MemberRole::Arguments;
        if arguments && self.arguments == 0 && self.wanted == WantedFacts::All {
            self.arguments = self.depth;
        }
        self.objects = (self.objects << 1) | u128::from(object);
        self.member = MemberRole::Other;
        self.state = if object { ScanState::FirstName } else { ScanState::FirstValue };
    }

    /// Ends the innermost object or array.
    #[inline(never)]
    fn close(&mut self) -> ScanState {
        self.facts.end_container(self.container);
        if self.depth == self.arguments {
            self.arguments = 0;
        }
        self.depth = self.depth.saturating_sub(1);
        self.container = match usize::from(self.depth).checked_sub(1) {
            None => Container::Outside,
            Some(level) => self.containers.get(level).copied().unwrap_or(Container::Other),
        };
        self.objects >>= 1;
        self.after()
    }

    fn comma(&mut self) -> ScanState {
        self.member = MemberRole::Other;
        if self.container == Container::Batch {
            self.facts.start_next_root();
        }
        if self.in_object() { ScanState::Name } else { ScanState::Value }
    }

    /// Returns the state after a value.
    pub(super) const fn after(&self) -> ScanState {
        if self.depth == 0 { ScanState::End } else { ScanState::Comma }
    }

    pub(super) const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// Reads a name that is cut, has an escape or has no colon directly after it.
    #[inline(never)]
    fn name<'a>(&mut self, name: &'a [u8], tail: &'a [u8]) -> &'a [u8] {
        if let [b'"', tail @ ..] = tail {
            self.read_name(name);
            self.state = ScanState::Colon;
            return tail;
        }
        self.facts.texts.end_text();
        self.word = BoundedWord::EMPTY;
        self.string_part(StringRole::Name, name, tail)
    }

    #[inline]
    fn read_name(&mut self, name: &[u8]) {
        if self.wanted == WantedFacts::All {
            self.facts.texts.end_text();
            self.count_text(StringRole::Name, |texts, kind| texts.feed(kind, name));
        }
        self.end_name(name);
    }

    /// Reads a string that is a value. Returns the bytes after what was read.
    #[inline(always)]
    fn text<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        self.facts.start_value(self.container, self.member);
        self.facts.texts.end_text();
        let (text, tail) = split_plain(rest);
        let [b'"', tail @ ..] = tail else {
            self.word = BoundedWord::empty_if(self.member != MemberRole::Other || self.depth == 0);
            return self.string_part(StringRole::Value, text, tail);
        };
        self.count_text(StringRole::Value, |texts, kind| texts.feed(kind, text));
        if self.member != MemberRole::Other || self.depth == 0 {
            self.facts.read_string(self.container, self.member, Word::of(text));
        }
        self.state = self.after();
        tail
    }

    fn end_name(&mut self, name: &[u8]) {
        let role = if self.container == Container::Root {
            let member = RootMember::of(name);
            self.facts.read_root_name(member.flags);
            member.role
        } else {
            MemberRole::of(self.container, name)
        };
        let unread = self.wanted == WantedFacts::Usage && !role.leads_to_counts();
        self.member = if unread { MemberRole::Other } else { role };
    }

    /// Reads on inside a string. Returns the bytes after what was read.
    fn string<'a>(&mut self, role: StringRole, rest: &'a [u8]) -> &'a [u8] {
        let (plain, tail) = split_plain(rest);
        self.string_part(role, plain, tail)
    }

    /// Reads plain characters of a string and the byte after them. Returns the bytes after it.
    #[inline(never)]
    fn string_part<'a>(&mut self, role: StringRole, plain: &[u8], tail: &'a [u8]) -> &'a [u8] {
        self.word.push(plain);
        self.count_text(role, |texts, kind| texts.feed(kind, plain));
        self.state = ScanState::Text(role);
        match (tail.first(), role) {
            (None, _) => {}
            (Some(b'"'), StringRole::Name) => {
                let name = self.word;
                self.end_name(name.as_bytes());
                self.state = ScanState::Colon;
            }
            (Some(b'"'), StringRole::Value) => {
                self.facts.read_string(self.container, self.member, self.word.as_word());
                self.state = self.after();
            }
            (Some(b'\\'), _) => self.state = ScanState::Escape(role),
            // A control character.
            (Some(_), _) => self.state = ScanState::Stopped,
        }
        tail.get(1..).unwrap_or_default()
    }

    /// Counts a text that a model may have generated.
    #[inline(always)]
    fn count_text(&mut self, role: StringRole, read: impl FnOnce(&mut GeneratedText, TextKind)) {
        if self.wanted == WantedFacts::All
            && let Some(kind) = self.text_kind(role)
        {
            read(self.facts.generated_text(), kind);
        }
    }

    #[inline(never)]
    const fn text_kind(&self, role: StringRole) -> Option<TextKind> {
        match role {
            _ if self.arguments > 0 => Some(TextKind::Content),
            StringRole::Value => self.member.text_kind(),
            StringRole::Name => None,
        }
    }
}
