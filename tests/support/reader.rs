//! What the reader and `serde_json` say of the same bytes, and where they may differ.

use serde_json::Value;
use tower_inference::payload::{Document, JsonError, JsonFault};

pub fn holds(bytes: &[u8]) {
    let ours = Document::parse(bytes.to_vec());
    let theirs = serde_json::from_slice::<Value>(bytes);
    match (ours, theirs) {
        (Ok(document), Ok(value)) => assert_eq!(document.to_value().unwrap(), value),
        // Numbers are their digits here; and what stands at the very limit of depth is refused
        // there.
        (Ok(document), Err(_)) => {
            let beyond = |malformed: JsonError| malformed.fault == JsonFault::NumberOutOfRange;
            let read = document.to_value();
            assert!(document.depth() == 128 || read.is_err_and(beyond));
        }
        // There, the last of several members of a name wins; and this reader bounds the depth.
        (Err(malformed), Ok(_)) => assert_eq!(malformed.fault, JsonFault::DuplicateName),
        (Err(malformed), Err(_)) => assert!(malformed.position <= bytes.len() as u64),
    }
}
