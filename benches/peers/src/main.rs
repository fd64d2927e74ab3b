//! Measures the parsing and validation of a chat body beside other crates.
//!
//! `cargo run --release` in this folder. All sides take turns of a few calls so that a drift of the
//! machine's speed affects all of them. A separate call counts the allocations.

#[path = "../../../tests/support/chat.rs"]
mod chat;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use sonic_rs::{JsonContainerTrait, JsonNumberTrait, JsonType, JsonValueTrait};
use tower::{Layer, Service};
use tower_inference::{
    payload::{Document, PayloadLayer},
    schema::{Schema, SchemaLayer},
};

type Contender<'a> = (&'static str, Box<dyn FnMut(&Bytes) -> bool + 'a>);

fn main() {
    let schema = Schema::new(&chat::schema()).unwrap();
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    let validator = options.build(&chat::schema()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _for_deadlines = runtime.enter();
    for (name, body) in [
        ("300 bytes", chat::body(300)),
        ("16 KiB in turns of 120 bytes", chat::body(16 * 1024)),
        ("16 KiB in turns of 600 bytes", chat::essay(16 * 1024)),
    ] {
        println!("\n{name}: nanoseconds (quartiles), allocations");
        compare(&Bytes::from(body), &mut contenders(&schema, &validator));
    }
}

fn contenders<'a>(schema: &'a Schema, validator: &'a Validator) -> Vec<Contender<'a>> {
    vec![
        (
            "payload document",
            Box::new(|body| Document::parse(body.clone()).unwrap().value_count() > 0),
        ),
        (
            "payload document + schema",
            Box::new(|body| schema.is_valid(&Document::parse(body.clone()).unwrap())),
        ),
        ("serde_json", Box::new(|body| read(body).is_object())),
        ("serde_json + jsonschema", Box::new(|body| validator.is_valid(&read(body)))),
        ("sonic-rs", Box::new(|body| sonic(body).is_object())),
        (
            "sonic-rs, converted + jsonschema",
            Box::new(|body| validator.is_valid(&convert(&sonic(body)))),
        ),
        ("a request, bare", Box::new(|body| call(&mut Bare, body))),
        ("a request, PayloadLayer + SchemaLayer", {
            let mut service =
                PayloadLayer::new().layer(SchemaLayer::new(schema.clone()).layer(Bare));
            Box::new(move |body| call(&mut service, body))
        }),
    ]
}

/// Accepts any body.
#[derive(Clone)]
struct Bare;

impl<B> Service<Request<B>> for Bare {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::default())))
    }
}

/// Makes a request and sends it. Its body is complete, so nothing waits.
fn call<S, B>(service: &mut S, body: &Bytes) -> bool
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    let request = Request::post("/v1/chat/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.clone()))
        .unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    match pin!(service.call(request)).poll(&mut cx) {
        Poll::Ready(Ok(response)) => response.status().is_success(),
        Poll::Pending => false,
    }
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

fn sonic(body: &[u8]) -> sonic_rs::Value {
    sonic_rs::from_slice(body).unwrap()
}

/// The validator cannot read the values of sonic-rs.
fn convert(value: &sonic_rs::Value) -> Value {
    match value.get_type() {
        JsonType::Null => Value::Null,
        JsonType::Boolean => value.as_bool().into(),
        JsonType::Number => match value.as_number().unwrap() {
            number if number.is_u64() => number.as_u64().into(),
            number if number.is_i64() => number.as_i64().into(),
            number => number.as_f64().into(),
        },
        JsonType::String => value.as_str().into(),
        JsonType::Array => value.as_array().unwrap().iter().map(convert).collect(),
        JsonType::Object => {
            let members = value.as_object().unwrap().iter();
            members.map(|(name, value)| (name.to_owned(), convert(value))).collect()
        }
    }
}

fn compare(body: &Bytes, contenders: &mut [Contender<'_>]) {
    const ROUNDS: usize = 2_000;
    const CALLS: usize = 10;
    let mut times = vec![Vec::with_capacity(ROUNDS); contenders.len()];
    for _ in 0..ROUNDS {
        for ((_, call), times) in contenders.iter_mut().zip(&mut times) {
            let start = Instant::now();
            for _ in 0..CALLS {
                assert!(call(black_box(body)));
            }
            times.push(start.elapsed().as_nanos() as f64 / CALLS as f64);
        }
    }
    for ((name, call), times) in contenders.iter_mut().zip(&mut times) {
        let allocations = allocation_counter::measure(|| assert!(call(body))).count_total;
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times[times.len() * part / 4];
        println!("  {name:<38} {:>7.0} ({:.0} to {:.0}), {allocations}", at(2), at(1), at(3));
    }
}
