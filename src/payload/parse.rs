use super::{
    Bounds, Kind, Malformed, Reason,
    arena::{Slot, Tag},
    names::{FEW, Index, duplicate},
};

/// What a document is read into: its slots, how deep it goes, and the names of wide objects.
#[derive(Clone)]
pub(super) struct Arena {
    pub(super) slots: Vec<Slot>,
    pub(super) depth: u32,
    // Boxed, because hardly any document has a wide object.
    index: Option<Box<Index>>,
}

impl Arena {
    /// As [`Index::same`].
    pub(super) fn same(&self, object: u32, name: &str) -> Option<impl Iterator<Item = u32> + '_> {
        self.index.as_ref()?.same(object, name)
    }

    /// As [`Index::alike`].
    pub(super) fn alike(&self, object: u32, name: &str) -> Option<impl Iterator<Item = u32> + '_> {
        self.index.as_ref()?.alike(object, name)
    }
}

/// The memory that a document may take while it is read.
pub(super) trait Room {
    /// A malformed document, or one that has no room.
    type Error: From<Malformed>;

    fn take(&mut self, bytes: usize) -> Result<(), Self::Error>;

    fn give_back(&mut self, bytes: usize);
}

/// As much as the bounds allow.
#[derive(Default)]
pub(super) struct Unlimited;

impl Room for Unlimited {
    type Error = Malformed;

    fn take(&mut self, _bytes: usize) -> Result<(), Malformed> {
        Ok(())
    }

    fn give_back(&mut self, _bytes: usize) {}
}

/// How far a document has been read, between two turns.
pub(super) struct Progress {
    bounds: Bounds,
    at: usize,
    slots: Vec<Slot>,
    index: Option<Box<Index>>,
    // The innermost open array or object: its kind, its slot, how many it holds so far.
    inside: Inside,
    open: u32,
    count: u32,
    depth: u32,
    deepest: u32,
}

impl Progress {
    /// Begins to read a text.
    pub(super) fn new<R: Room>(text: &str, bounds: Bounds, room: &mut R) -> Result<Self, R::Error> {
        if text.starts_with('\u{feff}') {
            return Err(Malformed::new(Reason::ByteOrderMark, 0).into());
        }
        // Spans are held in 32 bits.
        if u32::try_from(text.len()).is_err() {
            return Err(Malformed::new(Reason::TooLong, u32::MAX as usize).into());
        }
        let capacity = estimate(text.len()).min(bounds.nodes as usize);
        room.take(capacity * size_of::<Slot>())?;
        Ok(Self {
            bounds,
            at: 0,
            slots: Vec::with_capacity(capacity),
            index: None,
            inside: Inside::Nothing,
            open: NONE,
            count: 0,
            depth: 0,
            deepest: 0,
        })
    }

    /// Reads on in the same text for at least `turn` bytes, and returns the arena at its end.
    ///
    /// There is no recursion: while an array or object is open, its slot says which one is around
    /// it. There is no allocation but the slots, and the index of wide objects.
    pub(super) fn read<R: Room>(
        &mut self,
        text: &str,
        turn: usize,
        room: &mut R,
    ) -> Result<Option<Arena>, R::Error> {
        let until = self.at.saturating_add(turn);
        let mut parser = Parser { text, bytes: text.as_bytes(), room, progress: self };
        loop {
            parser.leaf()?;
            if parser.follow()? {
                break;
            }
            if parser.progress.at >= until {
                return Ok(None);
            }
        }
        if let Some(index) = &mut self.index {
            index.finish();
        }
        let slots = std::mem::take(&mut self.slots);
        Ok(Some(Arena { slots, depth: self.deepest, index: self.index.take() }))
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

struct Parser<'a, R> {
    text: &'a str,
    bytes: &'a [u8],
    room: &'a mut R,
    progress: &'a mut Progress,
}

impl<R: Room> Parser<'_, R> {
    /// Reads to the end of the next value that holds no other: a scalar, or the brackets of an
    /// empty array or object, whose closing one is left to `follow`.
    fn leaf(&mut self) -> Result<(), R::Error> {
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
                _ => return Err(self.unexpected(Reason::ExpectedValue).into()),
            }
            self.progress.count = 1;
        }
    }

    /// Reads what follows a whole value, to where the next one starts. True at the end.
    fn follow(&mut self) -> Result<bool, R::Error> {
        loop {
            match (self.progress.inside, self.token()) {
                (Inside::Array, b',') => {
                    self.progress.at += 1;
                    self.progress.count += 1;
                    return Ok(false);
                }
                (Inside::Object, b',') => {
                    self.progress.at += 1;
                    self.progress.count += 1;
                    self.token();
                    self.name()?;
                    return Ok(false);
                }
                (Inside::Array, b']') | (Inside::Object, b'}') => self.leave()?,
                (Inside::Nothing, _) if self.progress.at == self.bytes.len() => return Ok(true),
                (Inside::Nothing, _) => return Err(self.unexpected(Reason::TrailingData).into()),
                _ => return Err(self.unexpected(Reason::ExpectedComma).into()),
            }
        }
    }

    /// Opens an array or object.
    fn enter(&mut self, inside: Inside, tag: Tag) -> Result<(), R::Error> {
        if self.progress.depth == self.progress.bounds.depth {
            return Err(Malformed::new(
                Reason::TooDeep(self.progress.bounds.depth),
                self.progress.at,
            )
            .into());
        }
        if let Some(around) = self.progress.slots.get_mut(self.progress.open as usize) {
            around.set_len(self.progress.count);
        }
        let index = self.progress.slots.len() as u32;
        self.push(Slot::new(self.progress.at, self.progress.open, tag))?;
        self.progress.at += 1;
        self.progress.depth += 1;
        self.progress.deepest = self.progress.deepest.max(self.progress.depth);
        (self.progress.inside, self.progress.open, self.progress.count) = (inside, index, 0);
        Ok(())
    }

    /// Closes the innermost array or object, and returns to the one around it.
    fn leave(&mut self) -> Result<(), R::Error> {
        self.progress.at += 1;
        self.progress.depth -= 1;
        let next = self.progress.slots.len() as u32;
        let Some(slot) = self.progress.slots.get_mut(self.progress.open as usize) else {
            return Ok(());
        };
        slot.set_len(self.progress.count);
        slot.end = self.progress.at as u32;
        let around = std::mem::replace(&mut slot.next, next);

        if self.progress.inside == Inside::Object && self.progress.count > 1 {
            self.check_names()?;
        }
        self.progress.open = around;
        (self.progress.inside, self.progress.count) = match self.progress.slots.get(around as usize)
        {
            None => (Inside::Nothing, 0),
            Some(slot) if slot.kind() == Kind::Array => (Inside::Array, slot.len()),
            Some(slot) => (Inside::Object, slot.len()),
        };
        Ok(())
    }

    /// Checks that no name comes twice in the innermost object, which is whole.
    fn check_names(&mut self) -> Result<(), R::Error> {
        let Progress { open, count, .. } = *self.progress;
        let members = self.progress.slots.get(open as usize + 1..).unwrap_or_default();
        let second = if count > FEW {
            self.room.take(Index::weight(count))?;
            self.progress.index.get_or_insert_default().add(self.text, members, open, count)
        } else {
            duplicate(self.text, members, open)
        };
        match second {
            None => Ok(()),
            Some(start) => Err(Malformed::new(Reason::DuplicateName, start as usize).into()),
        }
    }

    /// Reads a member's name and its colon.
    fn name(&mut self) -> Result<(), R::Error> {
        if self.peek() != b'"' {
            return Err(self.unexpected(Reason::ExpectedName).into());
        }
        self.string()?;
        if self.token() != b':' {
            return Err(self.unexpected(Reason::ExpectedColon).into());
        }
        self.progress.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), R::Error> {
        let start = self.progress.at;
        self.progress.at += 1;
        let mut tag = Tag::STRING;
        loop {
            self.progress.at += ordinary(self.bytes.get(self.progress.at..).unwrap_or_default());
            match self.peek() {
                b'"' => {
                    self.progress.at += 1;
                    return self.push_leaf(start, tag);
                }
                b'\\' => {
                    tag = Tag::ESCAPED_STRING;
                    self.escape()?;
                }
                _ => return Err(self.unexpected(Reason::ControlCharacter).into()),
            }
        }
    }

    fn escape(&mut self) -> Result<(), R::Error> {
        let start = self.progress.at;
        self.progress.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.progress.at += 1;
                return Ok(());
            }
            b'u' => self.progress.at += 1,
            _ => return Err(self.unexpected(Reason::InvalidEscape).into()),
        }
        match self.code_unit()? {
            0xd800..=0xdbff => {}
            0xdc00..=0xdfff => return Err(Malformed::new(Reason::LoneSurrogate, start).into()),
            _ => return Ok(()),
        }
        // A high surrogate: the low one follows at once (section 7).
        for expected in [b'\\', b'u'] {
            if self.peek() != expected {
                return Err(self.lone(start).into());
            }
            self.progress.at += 1;
        }
        match self.code_unit()? {
            0xdc00..=0xdfff => Ok(()),
            _ => Err(Malformed::new(Reason::LoneSurrogate, start).into()),
        }
    }

    fn code_unit(&mut self) -> Result<u32, R::Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()).to_digit(16) else {
                return Err(self.unexpected(Reason::InvalidEscape).into());
            };
            unit = (unit << 4) | digit;
            self.progress.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), R::Error> {
        let start = self.progress.at;
        let mut tag = Tag::INTEGER;
        if self.peek() == b'-' {
            self.progress.at += 1;
        }
        if self.peek() == b'0' {
            self.progress.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            tag = Tag::FRACTION;
            self.progress.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            tag = Tag::FRACTION;
            self.progress.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.progress.at += 1;
            }
            self.digits()?;
        }
        self.push_leaf(start, tag)
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), R::Error> {
        let rest = self.bytes.get(self.progress.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.progress.at += digits;
        if digits == 0 { Err(self.unexpected(Reason::InvalidNumber).into()) } else { Ok(()) }
    }

    fn literal(&mut self, literal: &[u8], tag: Tag) -> Result<(), R::Error> {
        let start = self.progress.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        if !rest.starts_with(literal) {
            let reason = if literal.starts_with(rest) {
                self.progress.at = self.bytes.len();
                Reason::UnexpectedEnd
            } else {
                Reason::ExpectedValue
            };
            return Err(Malformed::new(reason, self.progress.at).into());
        }
        self.progress.at += literal.len();
        self.push_leaf(start, tag)
    }

    fn push_leaf(&mut self, start: usize, tag: Tag) -> Result<(), R::Error> {
        self.push(Slot::leaf((start, self.progress.at), self.progress.slots.len(), tag))
    }

    fn push(&mut self, slot: Slot) -> Result<(), R::Error> {
        let (length, most) = (self.progress.slots.len(), self.progress.bounds.nodes as usize);
        if length >= most {
            let reason = Reason::TooManyNodes(self.progress.bounds.nodes);
            return Err(Malformed::new(reason, slot.start as usize).into());
        }
        if length == self.progress.slots.capacity() {
            // Doubles, but never past the bound. Until the slots are moved there are both.
            let more = length.max(16).min(most - length);
            self.room.take((length + more) * size_of::<Slot>())?;
            self.progress.slots.reserve_exact(more);
            self.room.give_back(length * size_of::<Slot>());
        }
        self.progress.slots.push(slot);
        Ok(())
    }

    /// The byte here. Zero at the end: a zero byte is legal nowhere.
    fn peek(&self) -> u8 {
        self.bytes.get(self.progress.at).copied().unwrap_or(0)
    }

    /// Skips space (section 2), and gives the byte there.
    fn token(&mut self) -> u8 {
        loop {
            let byte = self.peek();
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.progress.at += 1;
        }
    }

    #[cold]
    fn unexpected(&self, reason: Reason) -> Malformed {
        let ended = self.progress.at >= self.bytes.len();
        Malformed::new(if ended { Reason::UnexpectedEnd } else { reason }, self.progress.at)
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

#[cfg(test)]
mod tests {
    use super::*;

    type Slots = Vec<(u32, u32, u32, u32)>;

    fn read(text: &str, turn: usize) -> (Result<Slots, Malformed>, usize) {
        let mut progress = match Progress::new(text, Bounds::new().depth(8), &mut Unlimited) {
            Ok(progress) => progress,
            Err(malformed) => return (Err(malformed), 1),
        };
        let mut turns = 1;
        loop {
            match progress.read(text, turn, &mut Unlimited) {
                Ok(None) => turns += 1,
                Ok(Some(arena)) => {
                    let slot = |slot: &Slot| (slot.start, slot.end, slot.next, slot.len());
                    return (Ok(arena.slots.iter().map(slot).collect()), turns);
                }
                Err(malformed) => return (Err(malformed), turns),
            }
        }
    }

    #[test]
    fn a_document_that_is_read_in_turns_is_the_same() {
        let wide = (0..40).map(|at| format!("\"n{at}\":[{at},{{}}]")).collect::<Vec<_>>();
        let wide = format!("{{{}}}", wide.join(","));
        for text in [
            "",
            " ",
            "1",
            "[]",
            "[1,[2,[],{}],\"x\\u0041\",{\"a\":[{\"b\":null}],\"c\":-0.5e3}] ",
            "{\"a\":1,\"b\":{\"c\":1,\"\\u0063\":2}}",
            "[1,2",
            "[1,2,]",
            "[1,2]]",
            "[[[[[[[[[1]]]]]]]]]",
            "\u{feff}1",
            &wide,
        ] {
            let (whole, turns) = read(text, usize::MAX);
            assert_eq!(turns, 1);
            for turn in [1, 2, 7] {
                let (parts, turns) = read(text, turn);
                assert_eq!(parts, whole, "{text}");
                assert!(turns <= 1 + text.len() / turn, "{turns} turns of {text}");
            }
        }
        assert!(read(&wide, 1).1 > 40);
    }
}
