use std::{borrow::Cow, error::Error, fmt, str::FromStr};

use http::Uri;

use super::{
    encoding::{decode, encode},
    uri::UriEdits,
};
use crate::{
    error_debug::debug_as_message,
    rejection::Rejection,
    stripped_query::is_credentials,
    transform::value::{RequestValues, ValueSource},
};

/// The name of a query parameter that edits may set.
///
/// Names that hold credentials are reserved, because
/// [`HfTokenLayer`](crate::hf#the-request) removes such parameters.
///
/// ```
/// use tower_inference::transform::{EditableQuery, EditableQueryError};
///
/// assert!("api-version".parse::<EditableQuery>().is_ok());
/// let reserved = "api_key".parse::<EditableQuery>();
/// assert_eq!(reserved, Err(EditableQueryError::Reserved("api_key".into())));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EditableQuery(Box<str>);

impl FromStr for EditableQuery {
    type Err = EditableQueryError;

    fn from_str(name: &str) -> Result<Self, EditableQueryError> {
        if name.is_empty() {
            return Err(EditableQueryError::Empty);
        }
        if is_credentials(name) {
            return Err(EditableQueryError::Reserved(name.into()));
        }
        Ok(Self(name.into()))
    }
}

impl From<EditableQuery> for Box<str> {
    fn from(name: EditableQuery) -> Self {
        name.0
    }
}

/// An error from naming an [`EditableQuery`].
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum EditableQueryError {
    /// The name is empty.
    Empty,
    /// The name is reserved.
    Reserved(Box<str>),
}

impl fmt::Display for EditableQueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name of a query parameter must not be empty"),
            Self::Reserved(name) => write!(
                f,
                "the query parameter {name} is reserved: it can hold a caller's credentials, so \
                 HfTokenLayer removes it; a token of the upstream belongs into a TokenSource"
            ),
        }
    }
}

debug_as_message!(EditableQueryError);

impl Error for EditableQueryError {}

/// An edit of the query.
#[derive(Clone, Debug)]
pub(crate) enum QueryEdit {
    Set(Box<str>, ValueSource),
    Append(Box<str>, ValueSource),
    Remove(Box<str>),
    Rename(Box<str>, Box<str>),
}

impl QueryEdit {
    pub(crate) fn apply(
        &self,
        edits: &mut UriEdits,
        uri: &Uri,
        values: &RequestValues<'_>,
    ) -> Result<(), Rejection> {
        let query = edits.query(uri);
        let has = |name: &str| {
            query.is_some_and(|query| query.split('&').any(|pair| is_named(pair, name)))
        };
        let edited = match self {
            Self::Set(name, source) => match source.value(values)? {
                Some(value) => replaced(query, name, Some(&encoded_pair(name, &value))),
                None if has(name) => replaced(query, name, None),
                None => return Ok(()),
            },
            Self::Append(name, source) => match source.value(values)? {
                Some(value) => Some(appended(query, &encoded_pair(name, &value))),
                None => return Ok(()),
            },
            Self::Remove(name) if has(name) => replaced(query, name, None),
            Self::Rename(from, to) if has(from) => query.map(|query| renamed(query, from, to)),
            Self::Remove(_) | Self::Rename(..) => return Ok(()),
        };
        edits.set_query(edited);
        Ok(())
    }
}

fn encoded_pair(name: &str, value: &str) -> String {
    format!("{}={}", encode(name), encode(value))
}

/// Returns whether a pair has this name for an upstream that reads a plus sign as a plus sign or as a
/// space.
fn is_named(pair: &str, name: &str) -> bool {
    let own = pair.split_once('=').map_or(pair, |(own, _)| own);
    let is = |own: &str| *decode(own.as_bytes()) == *name.as_bytes();
    is(own) || (own.contains('+') && is(&own.replace('+', " ")))
}

fn appended(query: Option<&str>, pair: &str) -> String {
    match query {
        None | Some("") => pair.to_owned(),
        Some(query) => format!("{query}&{pair}"),
    }
}

/// Replaces all parameters of `name` by `pair`. `None` when the query becomes empty.
fn replaced(query: Option<&str>, name: &str, pair: Option<&str>) -> Option<String> {
    let mut pair = pair;
    let mut kept: Vec<&str> = Vec::new();
    for own in query.into_iter().flat_map(|query| query.split('&')) {
        if is_named(own, name) {
            kept.extend(pair.take());
        } else {
            kept.push(own);
        }
    }
    if let Some(pair) = pair {
        return Some(appended(query, pair));
    }
    (!kept.is_empty()).then(|| kept.join("&"))
}

fn renamed(query: &str, from: &str, to: &str) -> String {
    let to_encoded = encode(to);
    let pairs = query.split('&').filter_map(|pair| {
        if is_named(pair, from) {
            return Some(Cow::Owned(match pair.split_once('=') {
                Some((_, value)) => format!("{to_encoded}={value}"),
                None => to_encoded.clone(),
            }));
        }
        (!is_named(pair, to)).then_some(Cow::Borrowed(pair))
    });
    pairs.collect::<Vec<_>>().join("&")
}
