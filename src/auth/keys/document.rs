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
        let Some(form) = lookalike(&json) else {
            return KeysFault::Malformed(error.to_string().into());
        };
        KeysFault::Malformed(match remedy(form) {
            Some(remedy) => format!("{form}; {remedy}").into(),
            None => form.into(),
        })
    })
}

/// Returns what to give in place of another form.
fn remedy(form: &str) -> Option<&'static str> {
    if form.starts_with("it is PEM") || form.starts_with("it is DER") {
        Some(
            "give Keys::from_jwks or KeySource::file a JWK Set: the address `jwks_uri` of the issuer \
             has it, and tools convert a public key to a JWK",
        )
    } else if form.starts_with("it is a URL") {
        Some(
            "use RemoteKeys::jwks for the address of a JWK Set or RemoteKeys::discovery for an issuer",
        )
    } else if form.starts_with("it is the path") {
        Some("or use KeySource::file")
    } else {
        None
    }
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
