use std::borrow::Cow;

use http::Uri;

use super::{
    encoding::{decode, encode},
    layer::TransformLayer,
    step::Step,
    target::Target,
    value::{Known, Source},
};
use crate::rejection::Rejection;

/// An edit of the query.
#[derive(Clone, Debug)]
pub(super) enum QueryEdit {
    Set(Box<str>, Source),
    Append(Box<str>, Source),
    Remove(Box<str>),
    Rename(Box<str>, Box<str>),
}

impl QueryEdit {
    pub(super) fn apply(
        &self,
        target: &mut Target,
        uri: &Uri,
        known: &Known<'_>,
    ) -> Result<(), Rejection> {
        let query = target.query(uri);
        let has = |name: &str| {
            query.is_some_and(|query| query.split('&').any(|pair| is_named(pair, name)))
        };
        let edited = match self {
            Self::Set(name, source) => match source.value(known)? {
                Some(value) => replaced(query, name, Some(&written(name, &value))),
                None if has(name) => replaced(query, name, None),
                None => return Ok(()),
            },
            Self::Append(name, source) => match source.value(known)? {
                Some(value) => Some(appended(query, &written(name, &value))),
                None => return Ok(()),
            },
            Self::Remove(name) if has(name) => replaced(query, name, None),
            Self::Rename(from, to) if has(from) => query.map(|query| renamed(query, from, to)),
            Self::Remove(_) | Self::Rename(..) => return Ok(()),
        };
        target.set_query(edited);
        Ok(())
    }
}

/// Edits of the query. Members that no edit names stay byte for byte. Names are compared decoded, a
/// plus sign both as itself and as a space, because upstreams differ in how they read it.
impl TransformLayer {
    /// Sets a member of the query, whatever the caller has there: in the place of the first one of
    /// that name, or else at the end.
    #[must_use]
    pub fn set_query(self, name: impl Into<Box<str>>, value: impl Into<Source>) -> Self {
        self.step(Step::Query(QueryEdit::Set(name.into(), value.into())))
    }

    /// Adds a member at the end of the query.
    #[must_use]
    pub fn append_query(self, name: impl Into<Box<str>>, value: impl Into<Source>) -> Self {
        self.step(Step::Query(QueryEdit::Append(name.into(), value.into())))
    }

    /// Removes all members of that name from the query.
    #[must_use]
    pub fn remove_query(self, name: impl Into<Box<str>>) -> Self {
        self.step(Step::Query(QueryEdit::Remove(name.into())))
    }

    /// Gives all members of a name another. Their values stay byte for byte; members that had the
    /// other name before go. Without a member `from` nothing changes.
    #[must_use]
    pub fn rename_query(self, from: impl Into<Box<str>>, to: impl Into<Box<str>>) -> Self {
        self.step(Step::Query(QueryEdit::Rename(from.into(), to.into())))
    }
}

fn written(name: &str, value: &str) -> String {
    format!("{}={}", encode(name), encode(value))
}

/// Whether a pair has this name, to an upstream that takes a plus sign for itself or to one that
/// takes it for a space.
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

/// The query with `pair`, or nothing, for all members of `name`. `None` when nothing is left.
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
