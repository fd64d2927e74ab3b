use std::{error::Error, fmt};

use crate::error_debug::debug_as_message;

/// The reason why bytes are no JSON document and its position.
///
/// It contains none of the bytes, so it can be shown and logged.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct JsonError {
    /// The reason.
    pub fault: JsonFault,
    /// The byte position, counted from zero. It is the length if the document ends early.
    pub position: u64,
}

impl JsonError {
    pub(crate) const fn new(fault: JsonFault, position: usize) -> Self {
        Self { fault, position: position as u64 }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.fault, self.position)
    }
}

debug_as_message!(JsonError);

impl Error for JsonError {}

/// The reason why bytes are no JSON document. Sections are those of RFC 8259.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum JsonFault {
    /// A byte-order mark, which section 8.1 forbids.
    ByteOrderMark,
    /// Bytes that are not UTF-8 (section 8.1).
    NotUtf8,
    /// The document ends early.
    UnexpectedEnd,
    /// Other data in place of a value (section 3).
    ExpectedValue,
    /// Other data in place of a member's name (section 4).
    ExpectedName,
    /// Other data in place of the colon after a name (section 4).
    ExpectedColon,
    /// Other data in place of a comma or the end of an array or object.
    ExpectedComma,
    /// A malformed number (section 6).
    InvalidNumber,
    /// A control character in a string (section 7).
    ControlCharacter,
    /// An unknown escape in a string (section 7).
    InvalidEscape,
    /// Half of a surrogate pair, which is no character (section 8.2).
    LoneSurrogate,
    /// A second member with the same name after decoding. Readers disagree on which one counts
    /// (section 4).
    DuplicateName,
    /// More data after the value (section 2).
    TrailingData,
    /// Nesting beyond the maximum depth, which is given.
    TooDeep(u32),
    /// More values than the maximum, which is given.
    TooManyValues(u32),
    /// A document of 4 GiB or more.
    TooLong,
    /// A number beyond the range of `f64` where an `f64` is needed.
    NumberOutOfRange,
}

impl JsonFault {
    /// Whether the document exceeds a bound. It may be valid JSON.
    pub(crate) const fn is_bound(self) -> bool {
        matches!(self, Self::TooDeep(_) | Self::TooManyValues(_) | Self::TooLong)
    }

    /// Returns the reason as text. [`Display`](fmt::Display) adds the value of a bound.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "a byte-order mark is not allowed",
            Self::NotUtf8 => "not UTF-8",
            Self::UnexpectedEnd => "unexpected end",
            Self::ExpectedValue => "expected a value",
            Self::ExpectedName => "expected a member name",
            Self::ExpectedColon => "expected a colon",
            Self::ExpectedComma => "expected a comma or the end of the array or object",
            Self::InvalidNumber => "invalid number",
            Self::ControlCharacter => "control character in a string",
            Self::InvalidEscape => "invalid escape",
            Self::LoneSurrogate => "lone surrogate",
            Self::DuplicateName => "duplicate member name",
            Self::TrailingData => "more data after the document",
            Self::TooDeep(_) => "too many nested arrays and objects",
            Self::TooManyValues(_) => "too many values",
            Self::TooLong => "4 GiB or more",
            Self::NumberOutOfRange => "number out of range",
        }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep(most) => {
                write!(f, "more than {most} nested arrays and objects")
            }
            Self::TooManyValues(most) => write!(f, "more than {most} values"),
            _ => f.write_str(self.as_str()),
        }
    }
}
