use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;

use super::{buffered::BufferedBody, framing::set_framing, payload::Payload};
use crate::{body::remove_digests, context::RequestContext, memory_limit::MemoryExhausted};

/// Replaces the bytes of a buffered request. The bounds and the trailers stay. The framing headers
/// are updated and digests of the old bytes are removed. A streamed request does not change.
///
/// # Errors
///
/// Returns an error if the memory limit of the old bytes has no room for the new ones.
pub(crate) fn replace(
    parts: &mut Parts,
    payload: &mut Payload,
    bytes: Bytes,
) -> Result<(), MemoryExhausted> {
    let Some(buffered) = payload.shared() else { return Ok(()) };
    let mut memory = buffered.new_permit();
    if let Some(memory) = &mut memory {
        memory.grow(bytes.len())?;
    }
    let mut trailers = buffered.trailers().cloned().map(Box::new);
    remove_digests(&mut parts.headers);
    if let Some(trailers) = &mut trailers {
        remove_digests(trailers);
    }
    let buffered = Arc::new(BufferedBody::new(bytes, trailers, buffered.bounds(), memory));
    if let Some(context) = RequestContext::of(&parts.extensions) {
        context.remember_payload(Arc::<BufferedBody>::downgrade(&buffered));
    }
    set_framing(&mut parts.headers, &buffered);
    *payload = Payload::of(buffered);
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Request, header::CONTENT_LENGTH};

    use super::*;
    use crate::{memory_limit::MemoryLimit, payload::DocumentBounds};

    /// Replaces the body of a request and returns its head and payload.
    fn replaced(
        fields: &[(&'static str, &'static str)],
        trailers: Option<HeaderMap>,
        bytes: &'static str,
    ) -> (Parts, Payload) {
        let (mut parts, ()) = Request::new(()).into_parts();
        for (name, value) in fields {
            parts.headers.insert(*name, value.parse().unwrap());
        }
        RequestContext::ensure(&mut parts.extensions);
        let bounds = DocumentBounds::new().max_depth(2);
        let buffered =
            BufferedBody::new(Bytes::from_static(b"{}"), trailers.map(Box::new), bounds, None);
        let mut payload = Payload::of(Arc::new(buffered));
        replace(&mut parts, &mut payload, Bytes::from_static(bytes.as_bytes())).unwrap();
        (parts, payload)
    }

    #[test]
    fn head_describes_the_new_bytes() {
        let fields = [
            ("content-length", "2"),
            ("content-digest", "sha-256=:x:"),
            ("repr-digest", "sha-256=:x:"),
            ("digest", "sha-256=x"),
            ("content-md5", "x"),
            ("content-type", "application/json"),
        ];
        let (parts, payload) = replaced(&fields, None, r#"{"a":1}"#);
        assert_eq!(parts.headers.len(), 2);
        assert_eq!(parts.headers[CONTENT_LENGTH], "7");
        assert_eq!(payload.bytes().unwrap(), r#"{"a":1}"#);
        assert!(payload.document().unwrap().root().get("a").is_some());

        let (parts, _) = replaced(&[("transfer-encoding", "chunked")], None, "{}");
        assert_eq!(parts.headers.len(), 1);
        assert_eq!(parts.headers[CONTENT_LENGTH], "2");
        let (parts, _) = replaced(&[], None, "{}");
        assert!(parts.headers.is_empty());
    }

    #[test]
    fn trailers_stay_except_old_digests() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checked", "yes".parse().unwrap());
        trailers.insert("content-digest", "sha-256=:x:".parse().unwrap());
        let (parts, payload) = replaced(&[("transfer-encoding", "chunked")], Some(trailers), "{}");
        assert!(parts.headers.contains_key("transfer-encoding"));
        assert!(!parts.headers.contains_key(CONTENT_LENGTH));
        let trailers = payload.shared().unwrap().trailers().unwrap();
        assert_eq!((trailers.len(), &trailers["x-checked"]), (1, &"yes".parse().unwrap()));
    }

    #[test]
    fn bounds_stay_and_the_context_has_the_new_payload() {
        let (parts, payload) = replaced(&[], None, r#"{"a":{"b":{}}}"#);
        assert!(payload.document().is_err());
        let context = RequestContext::of(&parts.extensions).unwrap();
        let known: Arc<BufferedBody> = context.payload().unwrap().downcast().unwrap();
        assert!(Arc::ptr_eq(&known, payload.shared().unwrap()));
    }

    #[test]
    fn streamed_payload_is_not_replaced() {
        let (mut parts, ()) = Request::new(()).into_parts();
        let mut payload = Payload::streamed(http_body_util::Full::new(Bytes::from_static(b"x")));
        replace(&mut parts, &mut payload, Bytes::new()).unwrap();
        assert!(payload.is_streamed());
    }

    #[test]
    fn new_bytes_replace_the_old_in_the_memory_limit() {
        let limit = MemoryLimit::new(1 << 20);
        let payload = |length: usize| {
            let mut memory = limit.permit();
            memory.grow(length).unwrap();
            let bytes = Bytes::from(vec![b' '; length]);
            Payload::of(Arc::new(BufferedBody::new(
                bytes,
                None,
                DocumentBounds::new(),
                Some(memory),
            )))
        };
        let (mut parts, ()) = Request::new(()).into_parts();
        let mut first = payload(300_000);
        replace(&mut parts, &mut first, Bytes::from(vec![b' '; 400_000])).unwrap();
        assert_eq!(limit.taken_bytes(), 400_000);
        // Both bodies are in memory for a moment.
        let longer = Bytes::from(vec![b' '; 500_000]);
        assert_eq!(replace(&mut parts, &mut first, longer), Err(MemoryExhausted));
        assert_eq!((first.bytes().unwrap().len(), limit.taken_bytes()), (400_000, 400_000));
        drop(first);
        assert_eq!(limit.taken_bytes(), 0);
    }
}
