use std::{error::Error, fmt, str::FromStr};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    layer::TransformLayer,
    reserved::is_reserved,
    step::Step,
    value::{Known, Source, unusable},
};
use crate::rejection::Rejection;

/// The name of a header field that may be edited: one that is not [reserved](super).
///
/// ```
/// use tower_inference::transform::{FieldName, InvalidFieldName};
///
/// assert!("x-team".parse::<FieldName>().is_ok());
/// assert!(matches!("Authorization".parse::<FieldName>(), Err(InvalidFieldName::Reserved(_))));
/// assert_eq!("x team".parse::<FieldName>(), Err(InvalidFieldName::Malformed));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldName(HeaderName);

impl TryFrom<HeaderName> for FieldName {
    type Error = InvalidFieldName;

    fn try_from(name: HeaderName) -> Result<Self, InvalidFieldName> {
        if is_reserved(name.as_str()) {
            return Err(InvalidFieldName::Reserved(name));
        }
        Ok(Self(name))
    }
}

impl FromStr for FieldName {
    type Err = InvalidFieldName;

    fn from_str(name: &str) -> Result<Self, InvalidFieldName> {
        let name = HeaderName::from_str(name).map_err(|_| InvalidFieldName::Malformed)?;
        name.try_into()
    }
}

/// Why a field cannot be edited.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidFieldName {
    /// It is no name of a field (RFC 9110 section 5.1).
    Malformed,
    /// It is reserved.
    Reserved(HeaderName),
}

impl fmt::Display for InvalidFieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not the name of a field"),
            Self::Reserved(name) => write!(f, "the field {name} is reserved"),
        }
    }
}

impl Error for InvalidFieldName {}

/// An edit of the header fields.
#[derive(Clone, Debug)]
pub(super) enum FieldEdit {
    Set(HeaderName, Source),
    Append(HeaderName, Source),
    Remove(HeaderName),
    Rename(HeaderName, HeaderName),
}

impl FieldEdit {
    pub(super) fn apply(
        &self,
        headers: &mut HeaderMap,
        known: &Known<'_>,
    ) -> Result<(), Rejection> {
        let too_many = |_| unusable("there are too many header fields");
        match self {
            Self::Set(name, source) => match field_value(source, known)? {
                Some(value) => drop(headers.try_insert(name, value).map_err(too_many)?),
                None => drop(headers.remove(name)),
            },
            Self::Append(name, source) => {
                if let Some(value) = field_value(source, known)? {
                    headers.try_append(name, value).map_err(too_many)?;
                }
            }
            Self::Remove(name) => drop(headers.remove(name)),
            Self::Rename(from, to) => {
                let values: Vec<HeaderValue> = headers.get_all(from).iter().cloned().collect();
                if from != to && !values.is_empty() {
                    headers.remove(from);
                    headers.remove(to);
                    for value in values {
                        headers.try_append(to, value).map_err(too_many)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Visible ASCII and spaces inside: what every upstream reads in the same way (RFC 9110 section
/// 5.5).
fn field_value(source: &Source, known: &Known<'_>) -> Result<Option<HeaderValue>, Rejection> {
    let Some(value) = source.value(known)? else { return Ok(None) };
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let trimmed = value.trim_matches(' ').len() == value.len();
    let value = HeaderValue::from_str(&value).ok().filter(|_| plain && trimmed);
    value.map(Some).ok_or_else(|| unusable("a value cannot stand in a header field"))
}

/// Edits of header fields. Fields that `connection` names end at this hop, and go before the first
/// of these edits: a caller cannot have them taken away after it.
impl TransformLayer {
    /// Sets a field, whatever the caller has there.
    #[must_use]
    pub fn set_field(self, name: FieldName, value: impl Into<Source>) -> Self {
        self.step(Step::Field(FieldEdit::Set(name.0, value.into())))
    }

    /// Adds a value to a field, behind those that are there.
    #[must_use]
    pub fn append_field(self, name: FieldName, value: impl Into<Source>) -> Self {
        self.step(Step::Field(FieldEdit::Append(name.0, value.into())))
    }

    /// Removes a field with all its values.
    #[must_use]
    pub fn remove_field(self, name: FieldName) -> Self {
        self.step(Step::Field(FieldEdit::Remove(name.0)))
    }

    /// Gives all values of a field another name. Those that had it before go. Without a field `from`
    /// nothing changes.
    #[must_use]
    pub fn rename_field(self, from: FieldName, to: FieldName) -> Self {
        self.step(Step::Field(FieldEdit::Rename(from.0, to.0)))
    }
}
