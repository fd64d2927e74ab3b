use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};

use super::buffered::BufferedBody;
use crate::body::content_length;

/// Sets the framing headers to the known length (RFC 9112 section 6.1). An outer layer may have
/// left the length of another body.
pub(crate) fn set_framing(headers: &mut HeaderMap, buffered: &BufferedBody) {
    if buffered.has_trailers() && headers.contains_key(TRANSFER_ENCODING) {
        // The body stays chunked, because only chunked bodies carry trailers.
        headers.remove(CONTENT_LENGTH);
        return;
    }
    let length = buffered.bytes().len() as u64;
    let chunked = headers.remove(TRANSFER_ENCODING).is_some();
    // HTTP/2 permits neither header. The client then sets the framing itself.
    let said = headers.contains_key(CONTENT_LENGTH);
    if (chunked || said) && content_length(headers) != Some(length) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}
