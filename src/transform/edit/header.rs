use std::{error::Error, fmt, str::FromStr};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::reserved;
use crate::{
    error_debug::debug_as_message,
    rejection::Rejection,
    transform::value::{RequestValues, ValueSource, unusable},
};

/// The name of a header that edits may change.
///
/// [Reserved headers](crate::transform#reserved-headers) have none.
///
/// ```
/// use tower_inference::transform::{EditableHeader, EditableHeaderError};
///
/// assert!("x-team".parse::<EditableHeader>().is_ok());
/// assert!(matches!("Authorization".parse::<EditableHeader>(), Err(EditableHeaderError::Reserved(_))));
/// assert_eq!("x team".parse::<EditableHeader>(), Err(EditableHeaderError::Malformed));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EditableHeader(HeaderName);

impl From<EditableHeader> for HeaderName {
    fn from(header: EditableHeader) -> Self {
        header.0
    }
}

impl TryFrom<HeaderName> for EditableHeader {
    type Error = EditableHeaderError;

    fn try_from(name: HeaderName) -> Result<Self, EditableHeaderError> {
        if reserved::reason(name.as_str()).is_some() {
            return Err(EditableHeaderError::Reserved(name));
        }
        Ok(Self(name))
    }
}

impl FromStr for EditableHeader {
    type Err = EditableHeaderError;

    fn from_str(name: &str) -> Result<Self, EditableHeaderError> {
        let name = HeaderName::from_str(name).map_err(|_| EditableHeaderError::Malformed)?;
        name.try_into()
    }
}

/// An error from naming an [`EditableHeader`].
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum EditableHeaderError {
    /// The text is not a header name (RFC 9110 section 5.1).
    Malformed,
    /// The header is reserved.
    Reserved(HeaderName),
}

impl fmt::Display for EditableHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str(
                "expected a header name: letters, digits and dashes, without a colon and a value",
            ),
            Self::Reserved(name) => {
                write!(f, "the header {name} is reserved: ")?;
                f.write_str(reserved::reason(name.as_str()).unwrap_or_default())?;
                if name.as_str().contains('_') {
                    write!(f, "; use {}", name.as_str().replace('_', "-"))?;
                }
                Ok(())
            }
        }
    }
}

debug_as_message!(EditableHeaderError);

impl Error for EditableHeaderError {}

/// An edit of one header.
#[derive(Clone, Debug)]
pub(crate) enum HeaderEdit {
    Set(HeaderName, ValueSource),
    Append(HeaderName, ValueSource),
    Remove(HeaderName),
    Rename(HeaderName, HeaderName),
}

impl HeaderEdit {
    pub(crate) fn apply(
        &self,
        headers: &mut HeaderMap,
        values: &RequestValues<'_>,
    ) -> Result<(), Rejection> {
        let too_many = |_| unusable("the request has too many headers");
        match self {
            Self::Set(name, source) => match header_value(source, values)? {
                Some(value) => drop(headers.try_insert(name, value).map_err(too_many)?),
                None => drop(headers.remove(name)),
            },
            Self::Append(name, source) => {
                if let Some(value) = header_value(source, values)? {
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

/// Returns a value of visible ASCII and inner spaces, which every upstream reads alike (RFC 9110
/// section 5.5).
fn header_value(
    source: &ValueSource,
    values: &RequestValues<'_>,
) -> Result<Option<HeaderValue>, Rejection> {
    let Some(value) = source.value(values)? else { return Ok(None) };
    let plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let trimmed = value.trim_matches(' ').len() == value.len();
    let value = HeaderValue::from_str(&value).ok().filter(|_| plain && trimmed);
    value.map(Some).ok_or_else(|| unusable("a value is not valid in a header"))
}
