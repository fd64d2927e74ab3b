use std::{error::Error, fmt};

/// Why bytes are not a JSON document, and where.
///
/// Holds nothing of the bytes themselves, so it may be shown and logged.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct JsonError {
    /// What is wrong.
    pub fault: JsonFault,
    /// At which byte, counted from zero. The length, where more was expected.
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

impl Error for JsonError {}

/// What is wrong with a JSON document. Sections are those of RFC 8259.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum JsonFault {
    /// A byte-order mark, which section 8.1 forbids to send.
    ByteOrderMark,
    /// Bytes that are not UTF-8 (section 8.1).
    NotUtf8,
    /// The end, where more was expected.
    UnexpectedEnd,
    /// Something else where a value was expected (section 3).
    ExpectedValue,
    /// Something else where a member's name was expected (section 4).
    ExpectedName,
    /// Something else where the colon after a name was expected (section 4).
    ExpectedColon,
    /// Something else where a comma or the end of the array or object was expected.
    ExpectedComma,
    /// A number that breaks the grammar (section 6).
    InvalidNumber,
    /// A control character in a string (section 7).
    ControlCharacter,
    /// A backslash in a string, and then no escape of section 7.
    InvalidEscape,
    /// Half of a surrogate pair, which names no character (section 8.2).
    LoneSurrogate,
    /// A second member of the same name, decoded. Section 4 leaves to chance which one counts; what
    /// was checked must be what is used.
    DuplicateName,
    /// Something after the value (section 2).
    TrailingData,
    /// More arrays and objects in one another than the bound, which is given.
    TooDeep(u32),
    /// More nodes than the bound, which is given.
    TooManyValues(u32),
    /// Four GiB or more.
    TooLong,
    /// A number beyond the range of `f64`, where one is asked for.
    NumberOutOfRange,
}

impl JsonFault {
    /// Whether the document may be JSON, and is beyond a bound of its reader.
    pub(crate) const fn is_bound(self) -> bool {
        matches!(self, Self::TooDeep(_) | Self::TooManyValues(_) | Self::TooLong)
    }

    /// What is wrong, for people. The text of a bound has no number; that of [`Display`](fmt::Display)
    /// does.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "a byte-order mark is not allowed",
            Self::NotUtf8 => "not utf-8",
            Self::UnexpectedEnd => "ends too early",
            Self::ExpectedValue => "expected a value",
            Self::ExpectedName => "expected the name of a member",
            Self::ExpectedColon => "expected a colon",
            Self::ExpectedComma => "expected a comma or the end of the array or object",
            Self::InvalidNumber => "not a number",
            Self::ControlCharacter => "a control character in a string",
            Self::InvalidEscape => "not an escape",
            Self::LoneSurrogate => "half of a surrogate pair",
            Self::DuplicateName => "a second member of the same name",
            Self::TrailingData => "more data after the document",
            Self::TooDeep(_) => "too many arrays and objects in one another",
            Self::TooManyValues(_) => "too many values",
            Self::TooLong => "4 GiB or more",
            Self::NumberOutOfRange => "a number out of range",
        }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep(most) => {
                write!(f, "more than {most} arrays and objects in one another")
            }
            Self::TooManyValues(most) => write!(f, "more than {most} values"),
            _ => f.write_str(self.as_str()),
        }
    }
}
