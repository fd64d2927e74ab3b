//! JSON documents that identity providers publish.

use bytes::Bytes;

use super::error::KeysError;
use crate::payload::Document;

/// Parses a document strictly, after an optional byte-order mark. RFC 8259 section 8.1 lets readers
/// ignore the mark.
pub(super) fn parse_document(mut json: Bytes) -> Result<Document, KeysError> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    if json.starts_with(BYTE_ORDER_MARK) {
        json = json.split_off(BYTE_ORDER_MARK.len());
    }
    Document::parse(json).map_err(|_| KeysError::Malformed)
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
            assert_eq!(parse(json), Err(KeysError::Malformed), "{json}");
        }
    }
}
