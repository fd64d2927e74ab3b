//! Compressed entries.

use super::*;

/// A long chat stream with its usage. Its chunks do not end at events.
fn long(trailers: bool) -> Response<ScriptedBody> {
    let head = r#""id":"c","object":"chat.completion.chunk","created":1,"model":"m""#;
    let mut stream: String = (0..2_000)
        .map(|number| {
            let delta = format!(r#"{{"index":0,"delta":{{"content":"word {number} "}}}}"#);
            format!("data: {{{head},\"choices\":[{delta}]}}\n\n")
        })
        .collect();
    let stop = r#"{"index":0,"delta":{},"finish_reason":"stop"}"#;
    let usage = r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#;
    stream += &format!("data: {{{head},\"choices\":[{stop}]}}\n\n");
    stream += &format!("data: {{{head},\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n");
    let chunks =
        stream.as_bytes().chunks(777).map(|chunk| Step::Bytes(Bytes::copy_from_slice(chunk)));
    let fields = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
    events(chunks.chain(trailers.then_some(Step::Trailers(fields))))
}

fn with_usage() -> Request<Payload> {
    let body = r#"{"model":"m","temperature":0,"messages":[],"stream":true,"stream_options":{"include_usage":true}}"#;
    post(Some(user("a")), CHAT, body)
}

#[tokio::test]
async fn a_compressed_entry_replays_its_original_chunks() {
    for trailers in [true, false] {
        let upstream = Upstream::new(move |_, _| long(trailers));
        let (whole, _) = layer(Scope::Identity);
        let (packed, _) = layer(Scope::Identity);
        let packed = packed.memory(MemoryTier::new().compress_above(16 << 10));
        let first = read(send(&whole, &upstream, with_usage()).await).await;
        assert_eq!(read(send(&packed, &upstream, with_usage()).await).await, first);
        assert_eq!((first.0.len() > 100, first.1.is_some()), (true, trailers));
        assert!(packed.bytes() * 5 < whole.bytes(), "{} of {}", packed.bytes(), whole.bytes());
        for _ in 0..2 {
            assert_eq!(read(send(&packed, &upstream, with_usage()).await).await, first);
        }
        assert_eq!(upstream.calls(), 2);
        packed.invalidate(&with_usage());
        assert_eq!((packed.entries(), packed.bytes()), (0, 0));
    }
}

#[tokio::test]
async fn a_compressed_entry_is_converted_to_another_variant() {
    let upstream = Upstream::new(|_, _| long(false));
    let (layer, _) = layer(Scope::Identity);
    let layer = layer.memory(MemoryTier::new().compress_above(16 << 10));
    body_of(&layer, &upstream, with_usage()).await;
    let plain = body_of(&layer, &upstream, plain()).await;
    assert!(plain.contains("word 0 word 1 ") && plain.contains("word 1999 "));
    assert!(!body_of(&layer, &upstream, streamed()).await.contains("usage"));
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_short_entry_is_not_compressed() {
    let upstream = Upstream::new(|_, _| json(&completion(0).replace('0', &"a".repeat(1_000))));
    let (whole, _) = layer(Scope::Identity);
    let (packed, _) = layer(Scope::Identity);
    let packed = packed.memory(MemoryTier::new().compress_above(2_000));
    body_of(&whole, &upstream, plain()).await;
    body_of(&packed, &upstream, plain()).await;
    assert_eq!(packed.bytes(), whole.bytes());
    let frame = async || read(send(&packed, &upstream, plain()).await).await.0.remove(0);
    // Two hits share the body without a copy.
    assert_eq!(frame().await.as_ptr(), frame().await.as_ptr());
}
