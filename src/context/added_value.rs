use std::{borrow::Cow, fmt};

/// A value that the program added to the record of a request.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AddedValue {
    /// A text.
    Text(Cow<'static, str>),
    /// A whole number.
    Integer(i64),
    /// A number. It is finite, because JSON has no other.
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

impl From<f64> for AddedValue {
    /// A number that is not finite becomes its text.
    fn from(number: f64) -> Self {
        if number.is_finite() { Self::Float(number) } else { Self::from(number.to_string()) }
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
