use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, request::Parts};

use super::{Payload, body::Buffered, future::set_framing};
use crate::context::RequestContext;

/// Fields that say what a body's bytes are (RFC 9530; RFC 3230; RFC 1864), and would be a lie.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// Gives a buffered request other bytes: held to the same bounds, followed by the same trailers,
/// and with a head that says their length and no longer what the others were. A streamed one stays
/// as it is.
pub(crate) fn replace(parts: &mut Parts, payload: &mut Payload, bytes: Bytes) {
    let Some(buffered) = payload.shared() else { return };
    let mut trailers = buffered.trailers().cloned().map(Box::new);
    remove_digests(&mut parts.headers);
    if let Some(trailers) = &mut trailers {
        remove_digests(trailers);
    }
    let buffered = Arc::new(Buffered::new(bytes, trailers, buffered.bounds()));
    if let Some(context) = RequestContext::of(&parts.extensions) {
        context.remember_payload(Arc::<Buffered>::downgrade(&buffered));
    }
    set_framing(&mut parts.headers, &buffered);
    *payload = Payload::of(buffered);
}

fn remove_digests(fields: &mut HeaderMap) {
    for name in DIGESTS {
        fields.remove(name);
    }
}
