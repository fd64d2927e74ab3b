use std::borrow::Cow;

use super::{
    encoding::{decode, encode},
    layer::TransformLayer,
    step::Step,
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
        query: &mut Option<String>,
        known: &Known<'_>,
    ) -> Result<(), Rejection> {
        let edited = match self {
            Self::Set(name, source) => {
                let Some(value) = source.value(known)? else { return Ok(()) };
                let pair = written(name, &value);
                replaced(query.as_deref(), name, Some(&pair))
            }
            Self::Append(name, source) => {
                let Some(value) = source.value(known)? else { return Ok(()) };
                Some(appended(query.as_deref(), &written(name, &value)))
            }
            Self::Remove(name) => match query.as_deref() {
                // A query without the member stays as it is, empty pairs included.
                Some(own) if has(own, name) => replaced(Some(own), name, None),
                _ => return Ok(()),
            },
            Self::Rename(from, to) => match query.as_deref() {
                Some(own) if has(own, from) => Some(renamed(own, from, to)),
                _ => return Ok(()),
            },
        };
        *query = edited;
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

/// The name of a pair, as it was written.
fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

fn is_named(pair: &str, name: &str) -> bool {
    let own = name_of(pair);
    if own == name {
        return true;
    }
    let plain = decode(own);
    let form = || decode(&own.replace('+', " ")) == Cow::Borrowed(name.as_bytes());
    *plain == *name.as_bytes() || own.contains('+') && form()
}

fn has(query: &str, name: &str) -> bool {
    query.split('&').any(|pair| is_named(pair, name))
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
