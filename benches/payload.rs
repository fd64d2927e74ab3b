//! Measures the parsing of a chat body beside `serde_json::Value`. Also measures the most expensive bodies
//! within the default limits through all layers that read them.
//!
//! `cargo bench --bench payload`

#[path = "payload/worst.rs"]
mod worst;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tower_inference::payload::Document;

/// Returns a chat body of `length` bytes in turns of about 130 bytes, as OpenAI's client writes it.
fn chat(length: usize) -> Bytes {
    let mut body = String::from(r#"{"model":"meta-llama/Llama-3.3-70B-Instruct","messages":["#);
    let last = r#"{"role":"user","content":""#;
    let tail = r#""}],"temperature":0.7,"max_tokens":256,"stream":false}"#;
    let turn = r#"{"role":"user","content":"Name the rivers that rise in the Alps,\n\"north\" to south, and say where each of them ends."},"#;
    while body.len() + turn.len() + last.len() + tail.len() <= length {
        body.push_str(turn);
    }
    body.push_str(last);
    body.extend(std::iter::repeat_n('x', length - tail.len() - body.len()));
    body.push_str(tail);
    body.into()
}

fn parse(criterion: &mut Criterion) {
    for length in [320, 16 * 1024] {
        let body = chat(length);
        let mut group = criterion.benchmark_group(format!("{} bytes", body.len()));
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function("document", |bencher| {
            bencher.iter(|| Document::parse(black_box(body.clone())).unwrap());
        });
        group.bench_function("utf-8 alone", |bencher| {
            bencher.iter(|| std::str::from_utf8(black_box(&body)).unwrap().len());
        });
        group.bench_function("serde_json", |bencher| {
            bencher.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(&body)).unwrap());
        });
        let document = Document::parse(body.clone()).unwrap();
        group.bench_function("get", |bencher| {
            bencher.iter(|| black_box(&document).root().get("stream").unwrap().as_bool());
        });
        group.finish();
    }
}

criterion_group!(benches, parse, worst::print);
criterion_main!(benches);
