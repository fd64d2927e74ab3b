//! Measures the validation of the payload's document beside that of a `serde_json::Value`.
//!
//! `cargo bench --bench schema`. The two sides take turns of a few microseconds so that a drift of the
//! machine's speed affects both. `benches/peers` includes the parsing.

#[path = "../tests/support/chat.rs"]
mod chat;

use std::{hint::black_box, time::Instant};

use jsonschema::PatternOptions;
use serde_json::Value;
use tower_inference::{payload::Document, schema::Schema};

fn main() {
    let own = Schema::new(&chat::schema()).unwrap();
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    let on_values = options.build(&chat::schema()).unwrap();
    println!("nanoseconds for a verdict, by turns: median (quartiles)");
    println!("{:>8} {:>24} {:>24}", "bytes", "document", "serde_json::Value");
    for length in [320, 4 * 1024, 16 * 1024] {
        let body = chat::body(length);
        let document = Document::parse(body.clone()).unwrap();
        let value: Value = serde_json::from_str(&body).unwrap();
        assert!(own.is_valid(&document) && on_values.is_valid(&value));
        let [one, other] = by_turns(
            || black_box(own.is_valid(black_box(&document))),
            || black_box(on_values.is_valid(black_box(&value))),
        );
        println!("{length:>8} {one:>24} {other:>24}");
    }
}

fn by_turns(mut one: impl FnMut() -> bool, mut other: impl FnMut() -> bool) -> [String; 2] {
    const ROUNDS: usize = 5_000;
    const CALLS: usize = 20;
    let mut times = [Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)];
    for _ in 0..ROUNDS {
        times[0].push(time(&mut one, CALLS));
        times[1].push(time(&mut other, CALLS));
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times[times.len() * part / 4];
        format!("{:.0} ({:.0} to {:.0})", at(2), at(1), at(3))
    })
}

fn time(call: &mut impl FnMut() -> bool, calls: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}
