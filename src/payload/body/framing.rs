use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::buffered::BufferedBody;
use crate::body::content_length;

/// Makes the fields say the length that is known now (RFC 9112 section 6.1): what an outer layer
/// left there may be another body's.
pub(crate) fn set_framing(headers: &mut HeaderMap, buffered: &BufferedBody) {
    if buffered.has_trailers() && headers.contains_key(TRANSFER_ENCODING) {
        // It stays chunked: nothing else can carry trailers.
        headers.remove(CONTENT_LENGTH);
        return;
    }
    let length = buffered.bytes().len() as u64;
    let chunked = headers.remove(TRANSFER_ENCODING).is_some();
    // Where neither was sent, as HTTP/2 allows, the client that sends it on knows by itself.
    let said = headers.contains_key(CONTENT_LENGTH);
    if (chunked || said) && content_length(headers) != Some(length) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
