use bytestring::ByteString;

use super::{
    arena::Arena,
    memory::ParseMemory,
    name_index::NameIndex,
    names::{MAX_UNINDEXED, duplicate},
    progress::{Container, ParseProgress},
    slot::{SlotTag, ValueSlot},
    string::between_quotes,
};
use crate::{
    json_string::plain_length,
    payload::json::{
        fault::{JsonError, JsonFault},
        kind::Kind,
    },
};

impl ParseProgress {
    /// Parses at least `turn` bytes of the same text. Returns the arena at its end.
    ///
    /// The parser does not recurse. The slot of an open array or object stores its parent. The
    /// parser allocates only the slots and the index of objects with many members.
    pub(crate) fn read<R: ParseMemory>(
        &mut self,
        text: &ByteString,
        turn: usize,
        memory: &mut R,
    ) -> Result<Option<Arena>, R::Error> {
        let until = self.at.saturating_add(turn);
        let mut parser = Parser { text, bytes: text.as_bytes(), memory, progress: self };
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
        let (text, index) = (text.clone(), self.index.take());
        Ok(Some(Arena { text, slots, depth: self.deepest, index }))
    }
}

/// Parses one value after the other.
struct Parser<'a, R> {
    text: &'a str,
    bytes: &'a [u8],
    memory: &'a mut R,
    progress: &'a mut ParseProgress,
}

impl<R: ParseMemory> Parser<'_, R> {
    /// Parses up to the end of the next scalar or empty container. The closing bracket of the
    /// container is left to `follow`.
    fn leaf(&mut self) -> Result<(), R::Error> {
        loop {
            match self.token() {
                b'"' => return self.string(),
                b'{' => {
                    self.enter(Container::Object, SlotTag::OBJECT)?;
                    if self.token() == b'}' {
                        return Ok(());
                    }
                    self.name()?;
                }
                b'[' => {
                    self.enter(Container::Array, SlotTag::ARRAY)?;
                    if self.token() == b']' {
                        return Ok(());
                    }
                }
                b'-' | b'0'..=b'9' => return self.number(),
                b't' => return self.literal(b"true", SlotTag::TRUE),
                b'f' => return self.literal(b"false", SlotTag::FALSE),
                b'n' => return self.literal(b"null", SlotTag::NULL),
                _ => return Err(self.unexpected(JsonFault::ExpectedValue).into()),
            }
            self.progress.count = 1;
        }
    }

    /// Parses the text after a value up to the start of the next one. Returns true at the end.
    fn follow(&mut self) -> Result<bool, R::Error> {
        loop {
            match (self.progress.container, self.token()) {
                (Container::Array, b',') => {
                    self.progress.at += 1;
                    self.progress.count += 1;
                    return Ok(false);
                }
                (Container::Object, b',') => {
                    self.progress.at += 1;
                    self.progress.count += 1;
                    self.token();
                    self.name()?;
                    return Ok(false);
                }
                (Container::Array, b']') | (Container::Object, b'}') => self.leave()?,
                (Container::Nothing, _) if self.progress.at == self.bytes.len() => return Ok(true),
                (Container::Nothing, _) => {
                    return Err(self.unexpected(JsonFault::TrailingData).into());
                }
                _ => return Err(self.unexpected(JsonFault::ExpectedComma).into()),
            }
        }
    }

    /// Opens an array or object.
    fn enter(&mut self, container: Container, tag: SlotTag) -> Result<(), R::Error> {
        if self.progress.depth == self.progress.bounds.depth {
            return Err(JsonError::new(
                JsonFault::TooDeep(self.progress.bounds.depth),
                self.progress.at,
            )
            .into());
        }
        if let Some(around) = self.progress.slots.get_mut(self.progress.open as usize) {
            around.set_len(self.progress.count);
        }
        let index = self.progress.slots.len() as u32;
        self.push(ValueSlot::new(self.progress.at, self.progress.open, tag))?;
        self.progress.at += 1;
        self.progress.depth += 1;
        self.progress.deepest = self.progress.deepest.max(self.progress.depth);
        (self.progress.container, self.progress.open, self.progress.count) = (container, index, 0);
        self.progress.names.enter(self.progress.depth);
        Ok(())
    }

    /// Closes the innermost array or object and returns to its parent.
    fn leave(&mut self) -> Result<(), R::Error> {
        self.progress.at += 1;
        let differ = self.progress.names.differ(self.progress.depth);
        self.progress.depth -= 1;
        let next = self.progress.slots.len() as u32;
        let Some(slot) = self.progress.slots.get_mut(self.progress.open as usize) else {
            return Ok(());
        };
        slot.set_len(self.progress.count);
        slot.end = self.progress.at as u32;
        let around = std::mem::replace(&mut slot.next, next);

        let count = self.progress.count;
        if self.progress.container == Container::Object
            && (count > MAX_UNINDEXED || count > 1 && !differ)
        {
            self.check_names()?;
        }
        self.progress.open = around;
        (self.progress.container, self.progress.count) =
            match self.progress.slots.get(around as usize) {
                None => (Container::Nothing, 0),
                Some(slot) if slot.kind() == Kind::Array => (Container::Array, slot.len()),
                Some(slot) => (Container::Object, slot.len()),
            };
        Ok(())
    }

    /// Checks that the names of the innermost object are unique. The object is complete.
    fn check_names(&mut self) -> Result<(), R::Error> {
        let ParseProgress { open, count, .. } = *self.progress;
        let members = self.progress.slots.get(open as usize + 1..).unwrap_or_default();
        let second = if count > MAX_UNINDEXED {
            self.memory.take(NameIndex::weight(count))?;
            self.progress.index.get_or_insert_default().add(self.text, members, open, count)
        } else {
            duplicate(self.text, members, open)
        };
        match second {
            None => Ok(()),
            Some(start) => Err(JsonError::new(JsonFault::DuplicateName, start as usize).into()),
        }
    }

    /// Parses a member's name and its colon.
    #[inline]
    fn name(&mut self) -> Result<(), R::Error> {
        let start = self.progress.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        if let Some((b'"', text)) = rest.split_first()
            && let Some((name, [b'"', b':', ..])) = text.split_at_checked(plain_length(text))
        {
            let end = start + name.len() + 2;
            self.progress.names.add(self.progress.depth, name, false);
            self.progress.at = end + 1;
            let slot = ValueSlot::leaf((start, end), self.progress.slots.len(), SlotTag::STRING);
            return self.push(slot);
        }
        self.other_name()
    }

    /// Parses a name that has escapes or no colon directly after it.
    #[inline(never)]
    fn other_name(&mut self) -> Result<(), R::Error> {
        if self.peek() != b'"' {
            return Err(self.unexpected(JsonFault::ExpectedName).into());
        }
        self.string()?;
        let ParseProgress { names, slots, depth, .. } = &mut *self.progress;
        if let Some(name) = slots.last() {
            names.add(*depth, between_quotes(self.text, name), name.is_escaped());
        }
        if self.token() != b':' {
            return Err(self.unexpected(JsonFault::ExpectedColon).into());
        }
        self.progress.at += 1;
        Ok(())
    }

    #[inline]
    fn string(&mut self) -> Result<(), R::Error> {
        let start = self.progress.at;
        let text = self.bytes.get(start + 1..).unwrap_or_default();
        let length = plain_length(text);
        self.progress.at = start + 1 + length;
        if text.get(length) != Some(&b'"') {
            return self.escaped_string(start);
        }
        self.progress.at += 1;
        self.push_leaf(start, SlotTag::STRING)
    }

    /// Parses the rest of a string from its first escape or control character on.
    #[inline(never)]
    fn escaped_string(&mut self, start: usize) -> Result<(), R::Error> {
        while self.peek() == b'\\' {
            self.escape()?;
            self.progress.at +=
                plain_length(self.bytes.get(self.progress.at..).unwrap_or_default());
        }
        if self.peek() != b'"' {
            return Err(self.unexpected(JsonFault::ControlCharacter).into());
        }
        self.progress.at += 1;
        self.push_leaf(start, SlotTag::ESCAPED_STRING)
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
            _ => return Err(self.unexpected(JsonFault::InvalidEscape).into()),
        }
        match self.code_unit()? {
            0xd800..=0xdbff => {}
            0xdc00..=0xdfff => return Err(JsonError::new(JsonFault::LoneSurrogate, start).into()),
            _ => return Ok(()),
        }
        // The low surrogate directly follows the high one (section 7).
        for expected in [b'\\', b'u'] {
            if self.peek() != expected {
                return Err(self.lone(start).into());
            }
            self.progress.at += 1;
        }
        match self.code_unit()? {
            0xdc00..=0xdfff => Ok(()),
            _ => Err(JsonError::new(JsonFault::LoneSurrogate, start).into()),
        }
    }

    fn code_unit(&mut self) -> Result<u32, R::Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = char::from(self.peek()).to_digit(16) else {
                return Err(self.unexpected(JsonFault::InvalidEscape).into());
            };
            unit = (unit << 4) | digit;
            self.progress.at += 1;
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), R::Error> {
        let start = self.progress.at;
        let mut tag = SlotTag::INTEGER;
        if self.peek() == b'-' {
            self.progress.at += 1;
        }
        if self.peek() == b'0' {
            self.progress.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            tag = SlotTag::FRACTION;
            self.progress.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            tag = SlotTag::FRACTION;
            self.progress.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.progress.at += 1;
            }
            self.digits()?;
        }
        self.push_leaf(start, tag)
    }

    /// Parses at least one digit.
    fn digits(&mut self) -> Result<(), R::Error> {
        let rest = self.bytes.get(self.progress.at..).unwrap_or_default();
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.progress.at += digits;
        if digits == 0 { Err(self.unexpected(JsonFault::InvalidNumber).into()) } else { Ok(()) }
    }

    fn literal(&mut self, literal: &[u8], tag: SlotTag) -> Result<(), R::Error> {
        let start = self.progress.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        if !rest.starts_with(literal) {
            let fault = if literal.starts_with(rest) {
                self.progress.at = self.bytes.len();
                JsonFault::UnexpectedEnd
            } else {
                JsonFault::ExpectedValue
            };
            return Err(JsonError::new(fault, self.progress.at).into());
        }
        self.progress.at += literal.len();
        self.push_leaf(start, tag)
    }

    fn push_leaf(&mut self, start: usize, tag: SlotTag) -> Result<(), R::Error> {
        self.push(ValueSlot::leaf((start, self.progress.at), self.progress.slots.len(), tag))
    }

    #[inline(always)]
    fn push(&mut self, slot: ValueSlot) -> Result<(), R::Error> {
        let ParseProgress { slots, bounds, .. } = &*self.progress;
        if slots.len() >= slots.capacity().min(bounds.values as usize) {
            self.make_room(slot.start)?;
        }
        self.progress.slots.push(slot);
        Ok(())
    }

    /// Makes room for another slot, which starts at `start`.
    #[cold]
    fn make_room(&mut self, start: u32) -> Result<(), R::Error> {
        let (length, most) = (self.progress.slots.len(), self.progress.bounds.values as usize);
        if length >= most {
            let fault = JsonFault::TooManyValues(self.progress.bounds.values);
            return Err(JsonError::new(fault, start as usize).into());
        }
        // Doubles up to the bound. Both vectors exist until the slots are moved.
        let more = length.max(16).min(most - length);
        self.memory.take((length + more) * size_of::<ValueSlot>())?;
        self.progress.slots.reserve_exact(more);
        self.memory.give_back(length * size_of::<ValueSlot>());
        Ok(())
    }

    /// Returns the current byte. Returns zero at the end, because a zero byte is always an error.
    fn peek(&self) -> u8 {
        self.bytes.get(self.progress.at).copied().unwrap_or(0)
    }

    /// Skips white space (section 2) and returns the next byte.
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
    fn unexpected(&self, fault: JsonFault) -> JsonError {
        let ended = self.progress.at >= self.bytes.len();
        JsonError::new(if ended { JsonFault::UnexpectedEnd } else { fault }, self.progress.at)
    }

    #[cold]
    fn lone(&self, start: usize) -> JsonError {
        match self.unexpected(JsonFault::LoneSurrogate) {
            ended @ JsonError { fault: JsonFault::UnexpectedEnd, .. } => ended,
            _ => JsonError::new(JsonFault::LoneSurrogate, start),
        }
    }
}

#[cfg(test)]
mod tests;
