//! Measures the JSON edits of a chat gateway beside the same edits of a `serde_json::Value`.
//!
//! `cargo bench --bench transform`

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use tower::{Layer, Service};
use tower_inference::{
    context::RequestContext,
    payload::{Document, Payload, Pointer},
    transform::{ModelAliases, TransformLayer},
};

/// Returns a chat body of `length` bytes.
fn chat(length: usize, head: &str, tail: &str) -> Bytes {
    let mut body = format!(r#"{{{head},"messages":["#);
    let last = r#"{"role":"user","content":""#;
    let turn = r#"{"role":"user","content":"Name the rivers that rise in the Alps,\n\"north\" to south, and say where each of them ends."},"#;
    let end = format!(r#""}}],{tail}}}"#);
    while body.len() + turn.len() + last.len() + end.len() <= length {
        body.push_str(turn);
    }
    body.push_str(last);
    body.extend(std::iter::repeat_n('x', length.saturating_sub(end.len() + body.len())));
    body.push_str(&end);
    body.into()
}

fn pointer(text: &str) -> Pointer {
    text.parse().unwrap()
}

/// Edits: an alias, an output limit, a default and the usage of a stream.
fn layer() -> TransformLayer {
    TransformLayer::new()
        .model_aliases(ModelAliases::new([("small", "meta-llama/Llama-3.1-8B-Instruct")]))
        .max_output_tokens(4096)
        .default_json(pointer("/temperature"), 0.7)
        .include_usage()
}

/// The same edits on a value, except those that only a reader of the bytes can do.
fn on_value(body: &[u8]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(body).unwrap();
    if value["model"] == "small" {
        value["model"] = json!("meta-llama/Llama-3.1-8B-Instruct");
    }
    if value["max_tokens"].as_u64().is_none_or(|tokens| tokens > 4096) {
        value["max_tokens"] = json!(4096);
    }
    if value["temperature"].is_null() {
        value["temperature"] = json!(0.7);
    }
    if value["stream"] == true {
        value["stream_options"]["include_usage"] = json!(true);
    }
    serde_json::to_vec(&value).unwrap()
}

/// Takes the request. Reads its document if the flag is set.
#[derive(Clone, Copy)]
struct Upstream {
    reads: bool,
}

impl Service<Request<Payload>> for Upstream {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        if self.reads {
            black_box(request.body().document().unwrap());
        }
        ready(Ok(Response::new(Full::default())))
    }
}

fn request(payload: &Payload) -> Request<Payload> {
    let mut request = Request::post("/").body(payload.try_clone().unwrap()).unwrap();
    let length = payload.bytes().unwrap().len();
    request.headers_mut().insert("content-length", length.into());
    RequestContext::ensure(request.extensions_mut());
    request
}

fn edits(criterion: &mut Criterion) {
    let streams = r#""model":"small""#;
    let edited = r#""max_tokens":9000,"stream":true"#;
    let same = r#""max_tokens":256,"temperature":0.7,"stream":false"#;
    for length in [300, 16 * 1024] {
        let mut group = criterion.benchmark_group(format!("{length} bytes"));
        for (name, head, tail, reads) in [
            ("four edits", streams, edited, false),
            ("four edits, read again", streams, edited, true),
            ("nothing to edit", r#""model":"org/other""#, same, false),
        ] {
            let payload = Payload::buffered(chat(length, head, tail));
            payload.document().unwrap();
            let mut service = layer().layer(Upstream { reads });
            let mut cx = Context::from_waker(Waker::noop());
            assert!(service.poll_ready(&mut cx).is_ready());
            group.bench_function(name, |bencher| {
                bencher.iter_batched(
                    || request(&payload),
                    |request| Box::pin(service.call(request)).as_mut().poll(&mut cx).is_ready(),
                    BatchSize::SmallInput,
                );
            });
        }
        let body = chat(length, streams, edited);
        let payload = Payload::buffered(body.clone());
        group.bench_function("without the layer", |bencher| {
            let mut upstream = Upstream { reads: false };
            bencher.iter_batched(
                || request(&payload),
                |request| upstream.call(request),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("read alone", |bencher| {
            bencher.iter(|| Document::parse(black_box(body.clone())).unwrap());
        });
        group.bench_function("serde_json::Value, read and written", |bencher| {
            bencher.iter(|| on_value(black_box(&body)));
        });
        group.finish();
    }
}

criterion_group!(benches, edits);
criterion_main!(benches);
