use super::{
    Bounds, Kind, Malformed, Reason,
    arena::{Slot, Tag},
    unique::duplicate,
};

/// What a document is read into: its slots, and how deep it goes.
#[derive(Clone)]
pub(super) struct Arena {
    pub(super) slots: Vec<Slot>,
    pub(super) depth: u32,
}

/// Reads a document in one pass.
///
/// There is no recursion: while an array or object is open, its slot says which one is around it.
/// There is no allocation but the slots.
pub(super) fn parse(text: &str, bounds: Bounds) -> Result<Arena, Malformed> {
    if text.starts_with('\u{feff}') {
        return Err(Malformed::new(Reason::ByteOrderMark, 0));
    }
    // Spans are held in 32 bits.
    if u32::try_from(text.len()).is_err() {
        return Err(Malformed::new(Reason::TooLong, u32::MAX as usize));
    }
    let capacity = estimate(text.len()).min(bounds.nodes as usize);
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
        slots: Vec::with_capacity(capacity),
        bounds,
        inside: Inside::Nothing,
        open: NONE,
        count: 0,
        depth: 0,
        deepest: 0,
    };
    loop {
        parser.leaf()?;
        if parser.follow()? {
            return Ok(Arena { slots: parser.slots, depth: parser.deepest });
        }
    }
}

/// Slots for a document of `length` bytes. Chats need one for each 6 to 100 bytes, so this is
/// nearly always enough; a long document of short values grows by doubling.
fn estimate(length: usize) -> usize {
    (length / 4 + 2).min(1024 + length / 64)
}

/// No array or object.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Eq, PartialEq)]
enum Inside {
    Nothing,
    Array,
    Object,
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    slots: Vec<Slot>,
    bounds: Bounds,
    // The innermost open array or object: its kind, its slot, how many it holds so far.
    inside: Inside,
    open: u32,
    count: u32,
    depth: u32,
    deepest: u32,
}

impl Parser<'_> {
    /// Reads to the end of the next value that holds no other: a scalar, or the brackets of an
    /// empty array or object, whose closing one is left to `follow`.
    fn leaf(&mut self) -> Result<(), Malformed> {
        loop {
            match self.token() {
                b'"' => return self.string(),
                b'{' => {
                    self.enter(Inside::Object, Tag::OBJECT)?;
                    if self.token() == b'}' {
                        return Ok(());
                    }
                    self.name()?;
                }
                b'[' => {
                    self.enter(Inside::Array, Tag::ARRAY)?;
                    if self.token() == b']' {
                        return Ok(());
                    }
                }
                b'-' | b'0'..=b'9' => return self.number(),
                b't' => return self.literal(b"true", Tag::TRUE),
                b'f' => return self.literal(b"false", Tag::FALSE),
                b'n' => return self.literal(b"null", Tag::NULL),
                _ => return Err(self.unexpected(Reason::ExpectedValue)),
            }
            self.count = 1;
        }
    }

    /// Reads what follows a whole value, to where the next one starts. True at the end.
    fn follow(&mut self) -> Result<bool, Malformed> {
        loop {
            match (self.inside, self.token()) {
                (Inside::Array, b',') => {
                    self.at += 1;
                    self.count += 1;
                    return Ok(false);
                }
                (Inside::Object, b',') => {
                    self.at += 1;
                    self.count += 1;
                    self.token();
                    self.name()?;
                    return Ok(false);
                }
                (Inside::Array, b']') | (Inside::Object, b'}') => self.leave()?,
                (Inside::Nothing, _) if self.at == self.bytes.len() => return Ok(true),
                (Inside::Nothing, _) => return Err(self.unexpected(Reason::TrailingData)),
                _ => return Err(self.unexpected(Reason::ExpectedComma)),
            }
        }
    }

    /// Opens an array or object.
    fn enter(&mut self, inside: Inside, tag: Tag) -> Result<(), Malformed> {
        if self.depth == self.bounds.depth {
            return Err(Malformed::new(Reason::TooDeep, self.at));
        }
        if let Some(around) = self.slots.get_mut(self.open as usize) {
            around.set_len(self.count);
        }
        let index = self.slots.len() as u32;
        self.push(Slot::new(self.at, self.open, tag))?;
        self.at += 1;
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        (self.inside, self.open, self.count) = (inside, index, 0);
        Ok(())
    }

    /// Closes the innermost array or object, and returns to the one around it.
    fn leave(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        self.depth -= 1;
        let next = self.slots.len() as u32;
        let Some(slot) = self.slots.get_mut(self.open as usize) else { return Ok(()) };
        slot.set_len(self.count);
        slot.end = self.at as u32;
        let around = std::mem::replace(&mut slot.next, next);

        if self.inside == Inside::Object && self.count > 1 {
            let members = self.slots.get(self.open as usize + 1..).unwrap_or_default();
            if let Some(position) = duplicate(self.text, members, self.open + 1, self.count) {
                return Err(Malformed::new(Reason::DuplicateName, position as usize));
            }
        }
        self.open = around;
        (self.inside, self.count) = match self.slots.get(around as usize) {
            None => (Inside::Nothing, 0),
            Some(slot) if slot.kind() == Kind::Array => (Inside::Array, slot.len()),
            Some(slot) => (Inside::Object, slot.len()),
        };
        Ok(())
    }

    /// Reads a member's name and its colon.
    fn name(&mut self) -> Result<(), Malformed> {
        if self.peek() != b'"' {
            return Err(self.unexpected(Reason::ExpectedName));
        }
        self.string()?;
        if self.token() != b':' {
            return Err(self.unexpected(Reason::ExpectedColon));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        self.at += 1;
        let mut tag = Tag::STRING;
        loop {
            self.at += ordinary(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return self.push_leaf(start, tag);
                }
                b'\\' => {
                    tag = Tag::ESCAPED_STRING;
                    self.escape()?;
                }
                _ => return Err(self.unexpected(Reason::ControlCharacter)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 1;
                return Ok(());
            }
            b'u' => self.at += 1,
            _ => return Err(self.unexpected(Reason::InvalidEscape)),
        }
        match self.code_unit()? {
            0xd800..=0xdbff => {}
            0xdc00..=0xdfff => return Err(Malformed::new(Reason::LoneSurrogate, start)),
            _ => return Ok(()),
        }
        // A high surrogate: the low one follows at once (section 7).
        for expected in [b'\\', b'u'] {
            if self.peek() != expected {
                return Err(self.lone(start));
            }
            self.at += 1;
        }
        match self.code_unit()? {
            0xdc00..=0xdfff => Ok(()),
            _ => Err(Malformed::new(Reason::LoneSurrogate, start)),
        }
    }

    fn code_unit(&mut self) -> Result<u32, Malformed> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()).to_digit(16) else {
                return Err(self.unexpected(Reason::InvalidEscape));
            };
            unit = (unit << 4) | digit;
            self.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        let mut tag = Tag::INTEGER;
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            tag = Tag::FRACTION;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            tag = Tag::FRACTION;
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push_leaf(start, tag)
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { Err(self.unexpected(Reason::InvalidNumber)) } else { Ok(()) }
    }

    fn literal(&mut self, literal: &[u8], tag: Tag) -> Result<(), Malformed> {
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        if !rest.starts_with(literal) {
            let reason = if literal.starts_with(rest) {
                self.at = self.bytes.len();
                Reason::UnexpectedEnd
            } else {
                Reason::ExpectedValue
            };
            return Err(Malformed::new(reason, self.at));
        }
        self.at += literal.len();
        self.push_leaf(start, tag)
    }

    fn push_leaf(&mut self, start: usize, tag: Tag) -> Result<(), Malformed> {
        self.push(Slot::leaf((start, self.at), self.slots.len(), tag))
    }

    fn push(&mut self, slot: Slot) -> Result<(), Malformed> {
        let (length, most) = (self.slots.len(), self.bounds.nodes as usize);
        if length >= most {
            return Err(Malformed::new(Reason::TooManyNodes, slot.start as usize));
        }
        if length == self.slots.capacity() {
            // Doubles, but never past the bound.
            self.slots.reserve_exact(length.max(16).min(most - length));
        }
        self.slots.push(slot);
        Ok(())
    }

    /// The byte here. Zero at the end: a zero byte is legal nowhere.
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Skips space (section 2), and gives the byte there.
    fn token(&mut self) -> u8 {
        loop {
            let byte = self.peek();
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
    }

    #[cold]
    fn unexpected(&self, reason: Reason) -> Malformed {
        let ended = self.at >= self.bytes.len();
        Malformed::new(if ended { Reason::UnexpectedEnd } else { reason }, self.at)
    }

    #[cold]
    fn lone(&self, start: usize) -> Malformed {
        match self.unexpected(Reason::LoneSurrogate) {
            ended @ Malformed { reason: Reason::UnexpectedEnd, .. } => ended,
            _ => Malformed::new(Reason::LoneSurrogate, start),
        }
    }
}

/// How many bytes stand before the first quote, backslash or control character.
fn ordinary(bytes: &[u8]) -> usize {
    // Most names and many values end in the first word.
    if let Some(index) = bytes.first_chunk().and_then(special) {
        return index;
    }
    // Blocks, which the compiler turns into vector instructions, and then words.
    let (blocks, _) = bytes.as_chunks::<16>();
    let plain =
        |block: &&[u8; 16]| !block.iter().fold(false, |found, byte| found | is_special(*byte));
    let mut at = 16 * blocks.iter().take_while(plain).count();

    let rest = bytes.get(at..).unwrap_or_default();
    let (words, _) = rest.as_chunks::<8>();
    for word in words {
        if let Some(index) = special(word) {
            return at + index;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len())
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// Where in a word the first quote, backslash or control character stands.
fn special(word: &[u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;

    // Subtraction borrows out of a byte only where it was found to be special, so that the lowest
    // mark, which is the one that counts, is always true.
    let word = u64::from_le_bytes(*word);
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let marks = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    let marks = marks & HIGH;
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}
