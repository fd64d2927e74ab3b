//! The memory of what outlives a request, by an allocator that counts, beside its weight.
//!
//! Header values, trailers and pieces of a body come as slices of large buffers, as hyper gives them
//! on a connection that carried something large before.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use tower::{Layer, Service};
use tower_inference::{
    cache::{Cache, CacheLayer, MemoryTier, Scope, SharedCalls},
    context::RequestContext,
    identity::{Identity, Proof},
    memory_limit::MemoryLimit,
    payload::Payload,
};

/// A read buffer. That of hyper grows to some 400 KiB.
const BUFFER: usize = 32 << 10;

/// A slice of a buffer of its own.
fn slice(text: &str, buffer: usize) -> Bytes {
    let mut bytes = vec![b' '; buffer.max(text.len())];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    Bytes::from(bytes).slice(..text.len())
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_maybe_shared(slice(text, BUFFER)).unwrap()
}

/// How an upstream answers.
#[derive(Clone, Copy)]
struct Upstream {
    content_type: &'static str,
    pieces: usize,
    piece: fn(usize) -> String,
    buffer: usize,
    trailers: bool,
}

impl Service<Request<Payload>> for Upstream {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Pieces>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Payload>) -> Self::Future {
        let mut response = Response::new(Pieces { upstream: *self, next: 0 });
        let headers = response.headers_mut();
        headers.insert("content-type", value(self.content_type));
        headers.insert("date", value("Mon, 23 Nov 2026 15:00:00 GMT"));
        headers.insert("x-compute-type", value("gpu"));
        headers.insert("x-inference-id", value("3f1e1f2c-7a52-4c3c-9d86-0b4c6b0c2f5e"));
        ready(Ok(response))
    }
}

struct Pieces {
    upstream: Upstream,
    next: usize,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Upstream { pieces, piece, buffer, trailers, .. } = self.upstream;
        let next = self.next;
        self.next += 1;
        Poll::Ready(if next < pieces {
            Some(Ok(Frame::data(slice(&piece(next), buffer))))
        } else if next == pieces && trailers {
            let fields = HeaderMap::from_iter([("x-checksum".parse().unwrap(), value("abcdef"))]);
            Some(Ok(Frame::trailers(fields)))
        } else {
            None
        })
    }
}

const TINY: Upstream = Upstream {
    content_type: "application/json",
    pieces: 1,
    piece: |_| r#"{"choices":[{"text":"a","finish_reason":"stop"}]}"#.to_owned(),
    buffer: BUFFER,
    trailers: true,
};

/// One that ends with usage, so that it is told as the other variants, too.
const STREAM: Upstream = Upstream {
    content_type: "text/event-stream",
    pieces: 300,
    piece: |number| {
        let (choices, usage) = match number {
            299 => return "data: [DONE]\n\n".to_owned(),
            298 => ("", r#"{"total_tokens":5}"#),
            297 => (r#"{"index":0,"delta":{},"finish_reason":"stop"}"#, "null"),
            _ => (r#"{"index":0,"delta":{"content":"word"}}"#, "null"),
        };
        format!(
            r#"data: {{"id":"c","object":"chat.completion.chunk","created":7,"model":"m","choices":[{choices}],"usage":{usage}}}"#
        ) + "\n\n"
    },
    buffer: 8 << 10,
    trailers: false,
};

const LARGE: Upstream = Upstream {
    piece: |number| match number {
        0 => format!("{{\"choices\":[{{\"text\":\"{}", "1,".repeat(8_000)),
        7 => "1\",\"finish_reason\":\"stop\"}]}".to_owned(),
        _ => "1,".repeat(8_000),
    },
    pieces: 8,
    ..TINY
};

/// As small as events are, and as many as one response that is kept may have.
const MANY: Upstream = Upstream {
    piece: |number| match number {
        14_999 => "data: [DONE]\n\n".to_owned(),
        14_998 => "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n".to_owned(),
        _ => "data: {}\n\n".to_owned(),
    },
    pieces: 15_000,
    trailers: false,
    ..STREAM
};

fn request(number: usize, more: &str) -> Request<Payload> {
    let body = format!(r#"{{"model":"m","temperature":0,"seed":{number},"messages":[]{more}}}"#);
    let mut request = Request::post("/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Payload::buffered(body))
        .unwrap();
    let context = RequestContext::ensure(request.extensions_mut());
    context.set_route("chat");
    context.set_model("m");
    let caller = Identity::new(Proof::Jwt, "https://issuer.example", "user-7");
    context.set_identity(Arc::new(caller.with_tenant("acme")));
    request
}

/// Reads a response to its end.
fn run(service: &mut Cache<Upstream>, request: Request<Payload>) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut call = pin!(service.call(request));
    let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) else { panic!("it waited") };
    let mut body = pin!(response.into_body());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut cx) {
        assert!(frame.is_ok());
    }
}

fn memory() -> MemoryTier {
    MemoryTier::new().max_bytes(256 << 20)
}

fn cache() -> CacheLayer {
    CacheLayer::new("upstream", Scope::Identity).memory(memory())
}

/// Asserts that what `fill` leaves in a cache takes at most 1.3 times its weight; and not so little
/// that the cache would have room for many more.
#[track_caller]
fn assert_weighed(layer: impl Fn() -> CacheLayer, fill: impl Fn(&CacheLayer)) {
    let mut made = None;
    let memory = measure(|| {
        let layer = layer();
        fill(&layer);
        made = Some(layer);
    });
    let (layer, memory) = (made.unwrap(), u64::try_from(memory.bytes_current).unwrap());
    let (entries, weight) = (layer.entries() as u64, layer.bytes());
    println!("{entries} entries: {} bytes each, {} weighed", memory / entries, weight / entries);
    assert!(memory * 10 <= weight * 13, "{memory} bytes, {weight} weighed");
    assert!(memory * 2 >= weight, "{memory} bytes, {weight} weighed");
}

fn fill(upstream: Upstream, count: usize, more: &'static str) -> impl Fn(&CacheLayer) {
    move |layer| {
        let mut service = layer.layer(upstream);
        for number in 0..count {
            run(&mut service, request(number, more));
        }
        assert_eq!(layer.entries(), count);
    }
}

const WITH_USAGE: &str = r#","stream":true,"stream_options":{"include_usage":true}"#;

#[test]
fn entries_take_what_they_weigh_whatever_they_are_slices_of() {
    assert_weighed(cache, fill(TINY, 2_000, ""));
    assert_weighed(cache, fill(Upstream { trailers: false, ..TINY }, 1_300, ""));
    assert_weighed(cache, fill(LARGE, 50, ""));
    assert_weighed(cache, fill(STREAM, 100, WITH_USAGE));
    assert_weighed(cache, fill(MANY, 2, r#","stream":true"#));
}

/// Each entry has one spelling at most, however many have found it.
#[test]
fn entries_that_were_found_take_what_they_weigh() {
    assert_weighed(cache, |layer| {
        let mut service = layer.layer(TINY);
        for number in 0..300 {
            for spaces in 0..40 {
                run(&mut service, request(number, &" ".repeat(spaces)));
            }
        }
        assert_eq!(layer.entries(), 300);
    });
}

#[test]
fn compressed_entries_and_other_variants_take_what_they_weigh() {
    assert_weighed(
        || cache().memory(memory().compress_above(1_000)),
        fill(STREAM, 200, WITH_USAGE),
    );
    assert_weighed(|| cache().memory(memory().compress_above(1_000)), fill(LARGE, 200, ""));
    assert_weighed(cache, |layer| {
        fill(STREAM, 100, WITH_USAGE)(layer);
        let mut service = layer.layer(STREAM);
        for number in 0..100 {
            run(&mut service, request(number, ""));
            run(&mut service, request(number, r#","stream":true"#));
        }
        assert_eq!(layer.entries(), 300);
    });
}

/// Evicted, replaced, forgotten or over: what it took is given back.
#[test]
fn entries_that_leave_give_all_back() {
    let layer = || {
        CacheLayer::new("upstream", Scope::Identity).memory(MemoryTier::new().max_bytes(1 << 20))
    };
    assert_weighed(layer, |layer| {
        let mut service = layer.layer(TINY);
        for number in 0..3_000 {
            run(&mut service, request(number, ""));
        }
        assert!(layer.bytes() <= 1 << 20);
        assert!(layer.entries() < 1_500);
    });
}

/// Several at once, each read to its last event but one.
#[test]
fn recordings_take_what_is_counted() {
    for upstream in [STREAM, MANY] {
        let memory = MemoryLimit::new(64 << 20);
        let layer = cache().shared_calls(SharedCalls::new().memory_limit(memory.clone()));
        let mut service = layer.layer(upstream);
        let mut cx = Context::from_waker(Waker::noop());
        let mut under_way = Vec::with_capacity(3);
        let taken = measure(|| {
            for number in 0..3 {
                let mut call = pin!(service.call(request(number, r#","stream":true"#)));
                let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) else { panic!() };
                let mut body = Box::pin(response.into_body());
                for _ in 1..upstream.pieces {
                    assert!(body.as_mut().poll_frame(&mut cx).is_ready());
                }
                under_way.push(body);
            }
        });
        let (taken, counted) = (taken.bytes_current as usize, memory.taken_bytes());
        println!("{taken} bytes, {counted} counted");
        assert!(taken * 10 <= counted * 13, "{taken} bytes, {counted} counted");
        assert!(taken * 2 >= counted, "{taken} bytes, {counted} counted");
        for mut body in under_way {
            while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut cx) {}
        }
        assert_eq!((layer.entries(), memory.taken_bytes()), (3, 0));
    }
}
