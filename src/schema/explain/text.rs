//! Shortens values and names of a schema.

use std::borrow::Cow;

use serde_json::Value;

/// Returns the start of a text with at most `bytes` bytes.
pub(crate) fn start_of(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}

pub(crate) fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The maximum number of options and names in a message.
pub(crate) const MOST_OPTIONS: usize = 16;

pub(crate) fn list<'a>(mut options: impl Iterator<Item = Cow<'a, str>>) -> String {
    let mut shown = options.by_ref().take(MOST_OPTIONS).collect::<Vec<_>>().join(", ");
    if options.next().is_some() {
        shown.push_str(", …");
    }
    shown
}

/// Returns a string without quotes, or another value as JSON.
pub(crate) fn short(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(string) => cut(string),
        Value::Array(_) => Cow::Borrowed("a specific array"),
        Value::Object(_) => Cow::Borrowed("a specific object"),
        scalar => Cow::Owned(cut(&scalar.to_string()).into_owned()),
    }
}

/// Shortens a text to 64 bytes.
pub(crate) fn cut(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 64;
    if text.len() <= LONGEST {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", start_of(text, LONGEST)))
}
