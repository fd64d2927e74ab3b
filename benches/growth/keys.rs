//! The keys of a limit per identity.

use tower::Layer;
use tower_inference::{
    limits::{Limit, MemoryStore, Rate},
    throttle::ThrottleLayer,
};

use crate::{
    Error,
    pass::{self, Trivial},
    requests::{from_caller, run},
    server::resident,
    table::{self, Row, grouped, memory_each},
    turns::{Numbers, Round, take_turns, time},
};

const KEYS: [usize; 3] = [1, 1_000, 1_000_000];
const ROUNDS: usize = 2_000;
const REQUESTS: usize = 64;

pub(crate) fn measure() -> Result<(), Error> {
    let (mut rows, mut sides) = (Vec::new(), Vec::new());
    for keys in KEYS {
        let before = resident("self")?;
        let mut service = limited().layer(Trivial);
        let request = |key| from_caller(key, pass::request(""));
        for key in 0..keys {
            run(&mut service, request(key))?;
        }
        let grown = resident("self")?.saturating_sub(before);
        rows.push(Row { size: grouped(keys), each: memory_each(grown, keys, "a key") });
        let mut numbers = Numbers::new();
        sides.push(Box::new(move || {
            let make = || request(numbers.below(keys));
            time(REQUESTS, make, |request| run(&mut service, request))
        }) as Round<'_>);
    }
    let costs = take_turns(ROUNDS, &mut sides)?;
    table::print("keys of a limit", "ns", &rows, &costs);
    Ok(())
}

/// Returns a limit that no key reaches. A key takes 86 seconds to regain a permit, so that no key is
/// idle before the end of the bench.
fn limited() -> ThrottleLayer {
    let limit = Limit::per_identity(Rate::per_day(1_000).burst(u32::MAX));
    ThrottleLayer::new(limit).store(MemoryStore::new().max_keys(2_000_000))
}
