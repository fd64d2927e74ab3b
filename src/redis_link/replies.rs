//! Reads the shape of replies (RESP2 and RESP3) without buffering them.

use std::fmt;

use memchr::memchr;

/// Levels of nesting in a reply. The commands in use need five.
const MAX_DEPTH: usize = 16;
/// Values in one reply. A parsed value takes some dozens of bytes even when it is short on the
/// wire.
const MAX_VALUES: u64 = 32_768;

/// Bytes of one line with its end: a status, an error or a number. The longest ones in use are errors of scripts.
/// The client parses a line only when all of it is there.
const MAX_LINE: u32 = 64 << 10;

/// How a server exceeded the bounds of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Breach {
    Long,
    LongLine,
    Wide,
    Deep,
    Unasked,
    Malformed,
}

/// Counts complete messages.
#[derive(Debug)]
pub(super) struct Messages {
    max_bytes: u64,
    at: At,
    // Of the message under way.
    bytes: u64,
    values: u64,
    // The values that are still to come of each aggregate that is open, the outermost first.
    open: [u64; MAX_DEPTH],
    depth: usize,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Kind,
    /// The bytes so far, and whether the last one was a carriage return.
    Line(u32, bool),
    Number {
        kind: u8,
        negative: bool,
        digits: u8,
        value: u64,
        ended: bool,
    },
    /// The missing bytes of a string with its line end.
    Bytes(u64),
}

impl Messages {
    pub(super) const fn new(max_bytes: u64) -> Self {
        Self { max_bytes, at: At::Kind, bytes: 0, values: 0, open: [0; MAX_DEPTH], depth: 0 }
    }

    /// Whether a message is incomplete.
    pub(super) const fn under_way(&self) -> bool {
        self.bytes > 0
    }

    /// Reads more bytes. Returns how many messages they completed.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<u64, Breach> {
        let (mut rest, mut ended) = (bytes, 0);
        while let Some((byte, tail)) = rest.split_first() {
            rest = match self.at {
                At::Kind => {
                    self.kind(*byte)?;
                    tail
                }
                At::Number { .. } => {
                    ended += self.digit(*byte)?;
                    tail
                }
                At::Line(before, returned) => {
                    let end = memchr(b'\n', rest);
                    let length = end.map_or(rest.len(), |end| end.saturating_add(1));
                    let (line, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                    self.pass(line.len() as u64)?;
                    let so_far = u32::try_from(line.len()).unwrap_or(u32::MAX);
                    let so_far = before.saturating_add(so_far);
                    if so_far > MAX_LINE {
                        return Err(Breach::LongLine);
                    }
                    let after_return = line.len().checked_sub(2).map_or(returned, |before| {
                        line.get(before).is_some_and(|byte| *byte == b'\r')
                    });
                    if end.is_some() && after_return {
                        ended += self.value();
                    } else {
                        self.at = At::Line(so_far, line.ends_with(b"\r"));
                    }
                    tail
                }
                At::Bytes(left) => {
                    let here = left.min(rest.len() as u64);
                    let length = usize::try_from(here).unwrap_or(rest.len());
                    self.pass(here)?;
                    self.at = At::Bytes(left.saturating_sub(here));
                    if left == here {
                        ended += self.value();
                    }
                    rest.get(length..).unwrap_or_default()
                }
            };
        }
        Ok(ended)
    }

    fn kind(&mut self, kind: u8) -> Result<(), Breach> {
        self.pass(1)?;
        self.values = self.values.saturating_add(1);
        self.at = match kind {
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => At::Line(0, false),
            b'$' | b'!' | b'=' | b'*' | b'~' | b'%' | b'|' => {
                At::Number { kind, negative: false, digits: 0, value: 0, ended: false }
            }
            // A push: nothing here subscribes to anything.
            b'>' => return Err(Breach::Unasked),
            _ => return Err(Breach::Malformed),
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<u64, Breach> {
        let At::Number { kind, negative, digits, value, ended } = self.at else { return Ok(0) };
        self.pass(1)?;
        self.at = match byte {
            b'\n' if ended && digits > 0 => {
                return self.number(kind, Some(value).filter(|_| !negative));
            }
            _ if ended => return Err(Breach::Malformed),
            b'\r' => At::Number { kind, negative, digits, value, ended: true },
            b'-' if digits == 0 && !negative => {
                At::Number { kind, negative: true, digits, value, ended }
            }
            b'0'..=b'9' if digits < 19 => {
                let value = value.saturating_mul(10).saturating_add(u64::from(byte & 0x0f));
                At::Number { kind, negative, digits: digits.saturating_add(1), value, ended }
            }
            _ => return Err(Breach::Malformed),
        };
        Ok(0)
    }

    /// Handles a length or a count. `None` is a negative one.
    fn number(&mut self, kind: u8, number: Option<u64>) -> Result<u64, Breach> {
        let Some(number) = number else {
            return if matches!(kind, b'$' | b'*' | b'~') {
                Ok(self.value())
            } else {
                Err(Breach::Malformed)
            };
        };
        if matches!(kind, b'$' | b'!' | b'=') {
            let bytes = number.saturating_add(2);
            // Before any of it has come.
            if self.bytes.saturating_add(bytes) > self.max_bytes {
                return Err(Breach::Long);
            }
            self.at = At::Bytes(bytes);
            return Ok(0);
        }
        let values = match kind {
            b'%' => number.saturating_mul(2),
            // And the value that the attributes belong to.
            b'|' => number.saturating_mul(2).saturating_add(1),
            _ => number,
        };
        if values == 0 {
            return Ok(self.value());
        }
        if self.values.saturating_add(values) > MAX_VALUES {
            return Err(Breach::Wide);
        }
        let place = self.open.get_mut(self.depth).ok_or(Breach::Deep)?;
        *place = values;
        self.depth = self.depth.saturating_add(1);
        self.at = At::Kind;
        Ok(0)
    }

    /// Handles the end of a value and of the values that end with it.
    fn value(&mut self) -> u64 {
        self.at = At::Kind;
        while let Some(open) = self.depth.checked_sub(1).and_then(|last| self.open.get_mut(last)) {
            *open = open.saturating_sub(1);
            if *open > 0 {
                return 0;
            }
            self.depth = self.depth.saturating_sub(1);
        }
        (self.bytes, self.values) = (0, 0);
        1
    }

    fn pass(&mut self, bytes: u64) -> Result<(), Breach> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.max_bytes { Err(Breach::Long) } else { Ok(()) }
    }
}

impl Breach {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Long => "a reply is longer than the connection allows",
            Self::LongLine => "a line of a reply is longer than 64 KiB",
            Self::Wide => "a reply has more than 32768 values",
            Self::Deep => "a reply is deeper than 16 levels",
            Self::Unasked => "the server sent a reply without a request",
            Self::Malformed => "a reply is not RESP",
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Breach {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counted messages when the bytes come in pieces of each size.
    #[track_caller]
    fn read(max_bytes: u64, bytes: &[u8]) -> Result<u64, Breach> {
        let in_pieces = |size| {
            let mut messages = Messages::new(max_bytes);
            let mut ended = 0;
            for piece in bytes.chunks(size) {
                ended += messages.read(piece)?;
            }
            Ok(ended)
        };
        let whole = in_pieces(bytes.len());
        for size in 1..bytes.len().min(64) {
            assert_eq!(in_pieces(size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn whole_messages_are_counted() {
        for one in [
            &b"+OK\r\n"[..],
            b"+a\rb\nc\r\n",
            b"-ERR no\r\n",
            b":-12\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"$0\r\n\r\n",
            b"$5\r\na\r\nbc\r\n",
            b"*0\r\n",
            b"*2\r\n*1\r\n:1\r\n$1\r\na\r\n",
            b"*2\r\n*0\r\n*1\r\n*1\r\n+a\r\n",
            b"%1\r\n+a\r\n:1\r\n",
            b"|1\r\n+a\r\n:1\r\n*1\r\n:2\r\n",
            b"~1\r\n#t\r\n",
            b"_\r\n",
            b",1.5\r\n",
            b"(12345678901234567890\r\n",
            b"!3\r\nERR\r\n",
            b"=5\r\ntxt:a\r\n",
        ] {
            assert_eq!(read(1_000, one), Ok(1), "{}", one.escape_ascii());
            assert_eq!(read(1_000, &one.repeat(3)), Ok(3), "{}", one.escape_ascii());
            let cut = one.get(..one.len() - 1).unwrap();
            assert_eq!(read(1_000, cut), Ok(0), "{}", one.escape_ascii());
        }
    }

    #[test]
    fn each_bound_is_kept_before_what_breaks_it_has_come() {
        let deep = b"*1\r\n".repeat(17);
        for (bytes, breach) in [
            (&b"$999\r\n"[..], Breach::Long),
            (b"$9223372036854775807\r\n", Breach::Long),
            (b"*2\r\n$400\r\n", Breach::Long),
            (b"*32768\r\n", Breach::Wide),
            (b"*9223372036854775807\r\n", Breach::Wide),
            (b"%16384\r\n", Breach::Wide),
            (&deep, Breach::Deep),
            (b">2\r\n", Breach::Unasked),
            (b"$-1\r\n>2\r\n", Breach::Unasked),
            (b"hello", Breach::Malformed),
            (b"$x\r\n", Breach::Malformed),
            (b"$\r\n", Breach::Malformed),
            (b"$--1\r\n", Breach::Malformed),
            (b"%-1\r\n", Breach::Malformed),
            (b"!-1\r\n", Breach::Malformed),
            (b"*12345678901234567890\r\n", Breach::Malformed),
            (b"*?\r\n", Breach::Malformed),
        ] {
            assert_eq!(read(400, bytes), Err(breach), "{}", bytes.escape_ascii());
        }
        let line = [&b"+"[..], &b"x".repeat(500)].concat();
        assert_eq!(read(400, &line), Err(Breach::Long));
        let digits = [&b":"[..], &b"1".repeat(500)].concat();
        assert_eq!(read(400, &digits), Err(Breach::Long));
        let line = |length| [&b"+"[..], &b"x".repeat(length), b"\r\n"].concat();
        assert_eq!(read(1 << 20, &line((64 << 10) - 2)), Ok(1));
        assert_eq!(read(1 << 20, &line((64 << 10) - 1)), Err(Breach::LongLine));
        // A sum of small ones is no reply.
        assert_eq!(read(400, &b"+x\r\n".repeat(500)), Ok(500));
        let nested = [&b"*100\r\n"[..], &b"+x\r\n".repeat(100)].concat();
        assert_eq!(read(400, &nested), Err(Breach::Long));
    }
}
