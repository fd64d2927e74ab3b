//! What it costs to read a chat body and to judge it by a schema, here and with others.
//!
//! `cargo run --release` in this folder. All take turns, a few calls each, so that a machine whose speed
//! drifts is fair to all of them. Allocations are counted in a call of its own.

#[path = "../../../tests/support/chat.rs"]
mod chat;

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use sonic_rs::{JsonContainerTrait, JsonNumberTrait, JsonType, JsonValueTrait};
use tower_inference::{payload::Document, schema::Schema};

type Contender<'a> = (&'static str, Box<dyn FnMut(&Bytes) -> bool + 'a>);

fn main() {
    let schema = Schema::new(&chat::schema()).unwrap();
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    let validator = options.build(&chat::schema()).unwrap();
    for length in [300, 320, 16 * 1024] {
        println!("\n{length} bytes: nanoseconds (quartiles), allocations");
        compare(&Bytes::from(chat::body(length)), &mut contenders(&schema, &validator));
    }
}

fn contenders<'a>(schema: &'a Schema, validator: &'a Validator) -> Vec<Contender<'a>> {
    vec![
        ("payload document", Box::new(|body| Document::parse(body.clone()).unwrap().nodes() > 0)),
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
    ]
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

fn sonic(body: &[u8]) -> sonic_rs::Value {
    sonic_rs::from_slice(body).unwrap()
}

/// The validator has no eyes for sonic-rs' values.
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
        println!(
            "  {name:<34} {:>7.0} ({:.0} to {:.0}), {allocations}",
            at(2),
            at(1),
            at(3)
        );
    }
}
