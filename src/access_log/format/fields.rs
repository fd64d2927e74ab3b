//! Fields of vocabularies other than the crate's own.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    sync::Arc,
};

use super::error::FormatError;
use crate::{context::AddedValue, record::Record};

/// The value of a field.
pub(super) enum Value<'a> {
    None,
    Text(Cow<'a, str>),
    Short(ShortText),
    Number(u64),
    Decimal(f64),
    Flag(bool),
    /// Words without characters to escape.
    Words(Vec<&'static str>),
}

/// A text on the stack.
pub(super) struct ShortText {
    // As long as an IPv6 address.
    bytes: [u8; 40],
    length: usize,
}

/// Returns the value of the field with this name.
pub(super) type Getter = for<'a> fn(&'a Record<'_>, &'a str) -> Value<'a>;

/// A field of a vocabulary.
#[derive(Clone)]
pub(super) struct Field {
    pub(super) name: Cow<'static, str>,
    pub(super) value: Getter,
}

/// The name of the object of values that the program added. Each vocabulary has it.
const VALUES: &str = "values";

/// The chosen fields of a vocabulary.
#[derive(Clone)]
pub(super) struct Fields {
    pub(super) all: Arc<[Field]>,
    /// Whether the values that the program added are written.
    pub(super) values: bool,
}

impl Fields {
    /// Returns the fields that `find` knows by these names. A name that comes twice is one field.
    pub(super) fn named<T: AsRef<str>>(
        names: impl IntoIterator<Item = T>,
        find: impl Fn(&str) -> Option<Field>,
    ) -> Result<Self, FormatError> {
        let mut fields: Vec<Field> = Vec::new();
        let mut values = false;
        for name in names {
            let name = name.as_ref();
            if name == VALUES {
                values = true;
                continue;
            }
            let field = find(name).ok_or_else(|| FormatError::UnknownField(name.into()))?;
            if !fields.iter().any(|known| known.name == field.name) {
                fields.push(field);
            }
        }
        Ok(Self { all: fields.into(), values })
    }

    /// Returns the fields of both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let more = other.all.iter().filter(|more| self.all.iter().all(|own| own.name != more.name));
        let all = self.all.iter().chain(more).cloned().collect();
        Self { all, values: self.values || other.values }
    }
}

impl<'a> Value<'a> {
    pub(super) fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::None, |text| Self::Text(Cow::Borrowed(text)))
    }

    pub(super) fn owned(text: Option<String>) -> Self {
        text.map_or(Self::None, |text| Self::Text(Cow::Owned(text)))
    }

    /// Returns the value of a text of the crate's own: an address, a time or an id.
    pub(super) fn short(text: Option<impl fmt::Display>) -> Self {
        let Some(text) = text else { return Self::None };
        let mut short = ShortText::default();
        match write!(short, "{text}") {
            Ok(()) => Self::Short(short),
            Err(fmt::Error) => Self::owned(Some(text.to_string())),
        }
    }

    pub(super) fn number(number: Option<impl Into<u64>>) -> Self {
        number.map_or(Self::None, |number| Self::Number(number.into()))
    }
}

impl ShortText {
    pub(super) fn as_str(&self) -> &str {
        let written = self.bytes.get(..self.length).unwrap_or_default();
        str::from_utf8(written).unwrap_or_default()
    }
}

impl Default for ShortText {
    fn default() -> Self {
        Self { bytes: [0; 40], length: 0 }
    }
}

impl fmt::Write for ShortText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Returns the value that the program added under the name of a field that no layer knows.
pub(super) fn added<'a>(record: &'a Record<'_>, name: &'a str) -> Value<'a> {
    let value = record.added_values().iter().find(|(own, _)| *own == name);
    match value.map(|(_, value)| value) {
        None => Value::None,
        Some(AddedValue::Text(text)) => Value::text(Some(record.text(text))),
        Some(AddedValue::Integer(number)) => match u64::try_from(*number) {
            Ok(number) => Value::Number(number),
            Err(_) => Value::owned(Some(number.to_string())),
        },
        Some(AddedValue::Float(number)) if number.is_finite() => Value::Decimal(*number),
        Some(AddedValue::Float(number)) => Value::owned(Some(number.to_string())),
        Some(AddedValue::Flag(flag)) => Value::Flag(*flag),
    }
}
