use std::borrow::Cow;

use http::Uri;

use super::{
    encoding::{decode, encode},
    uri::UriEdits,
};
use crate::{
    rejection::Rejection,
    transform::value::{RequestValues, ValueSource},
};

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
