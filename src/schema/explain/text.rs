//! Values and names of a schema as short texts.

use std::borrow::Cow;

use serde_json::Value;

/// The start of a text, of so many bytes at most.
pub(crate) fn start_of(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

pub(crate) fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// How many options and names are told.
pub(crate) const MOST_OPTIONS: usize = 16;

pub(crate) fn list<'a>(mut options: impl Iterator<Item = Cow<'a, str>>) -> String {
    let mut told = options.by_ref().take(MOST_OPTIONS).collect::<Vec<_>>().join(", ");
    if options.next().is_some() {
        told.push_str(", …");
    }
    told
}

/// A value of the schema: a string without its quotes, another as JSON.
pub(crate) fn short(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(string) => cut(string),
        Value::Array(_) => Cow::Borrowed("a certain array"),
        Value::Object(_) => Cow::Borrowed("a certain object"),
        scalar => Cow::Owned(cut(&scalar.to_string()).into_owned()),
    }
}

/// A text of the schema, of 64 bytes at most.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 64;
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", start_of(text, LONGEST)))
}
