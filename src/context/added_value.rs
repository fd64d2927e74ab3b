use std::{borrow::Cow, fmt};

/// A value that the program added to the record of a request.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AddedValue {
    /// A text.
    Text(Cow<'static, str>),
    /// A whole number.
    Integer(i64),
    /// A number. One that is not finite is written as its text, because JSON has no such number.
    Float(f64),
    /// A flag.
    Flag(bool),
}

/// As many values as a request may have. Later ones are dropped.
pub(super) const MAX_VALUES: usize = 32;

impl From<&'static str> for AddedValue {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for AddedValue {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i32> for AddedValue {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<i64> for AddedValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for AddedValue {
    fn from(number: u32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u64> for AddedValue {
    /// A number beyond [`i64::MAX`] becomes its text.
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Self::from(number.to_string()), Self::Integer)
    }
}

impl From<usize> for AddedValue {
    /// A number beyond [`i64::MAX`] becomes its text.
    fn from(number: usize) -> Self {
        i64::try_from(number).map_or_else(|_| Self::from(number.to_string()), Self::Integer)
    }
}

impl From<f64> for AddedValue {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<bool> for AddedValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl fmt::Display for AddedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}
