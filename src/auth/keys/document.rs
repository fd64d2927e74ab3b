//! JSON documents that identity providers publish.

use bytes::Bytes;

use super::error::KeysFault;
use crate::{
    lookalike::{lookalike, without_byte_order_mark},
    payload::Document,
};

/// Parses a document strictly, after an optional byte-order mark. RFC 8259 section 8.1 lets readers
/// ignore the mark.
pub(super) fn parse_document(json: Bytes) -> Result<Document, KeysFault> {
    let json = json.slice_ref(without_byte_order_mark(&json));
    Document::parse(json.clone()).map_err(|error| {
        let form = lookalike(&json).map(Into::into);
        KeysFault::Malformed(form.unwrap_or_else(|| error.to_string().into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_order_mark_is_skipped() {
        let parse = |json: &'static str| parse_document(Bytes::from(json)).map(|_| ());
        assert_eq!(parse("{}"), Ok(()));
        assert_eq!(parse("\u{feff}{}"), Ok(()));
        for json in ["", "\u{feff}", "\u{feff}\u{feff}{}", "{} {}", r#"{"a":{"b":1,"b":2}}"#] {
            assert!(matches!(parse(json), Err(KeysFault::Malformed(_))), "{json}");
        }
    }
}
