//! The entries of a cache.

use tower::Layer;
use tower_inference::{
    cache::{CacheLayer, MemoryTier, Scope},
    payload::PayloadLayer,
};

use crate::{
    Error,
    pass::Trivial,
    requests::{from_caller, numbered, run},
    server::resident,
    table::{self, Row, grouped, memory_each},
    turns::{Numbers, Round, take_turns, time},
};

const ENTRIES: [usize; 3] = [1, 1_000, 1_000_000];
const ROUNDS: usize = 1_000;
const REQUESTS: usize = 64;
const CALLER: usize = 0;

pub(crate) fn measure() -> Result<(), Error> {
    // The layer limits the time of a shared call.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _for_timers = runtime.enter();

    let (mut rows, mut sides, mut caches) = (Vec::new(), Vec::new(), Vec::new());
    for entries in ENTRIES {
        let before = resident("self")?;
        let memory = MemoryTier::new().max_bytes(8 << 30);
        let cache = CacheLayer::new("growth", Scope::Identity).memory(memory);
        let mut service = (PayloadLayer::new(), cache.clone()).layer(Trivial);
        for entry in 0..entries {
            run(&mut service, from_caller(CALLER, numbered(entry)))?;
        }
        let grown = resident("self")?.saturating_sub(before);
        rows.push(Row { size: grouped(entries), each: memory_each(grown, entries, "an entry") });
        let mut numbers = Numbers::new();
        caches.push((entries, cache));
        sides.push(Box::new(move || {
            let make = || from_caller(CALLER, numbered(numbers.below(entries)));
            time(REQUESTS, make, |request| run(&mut service, request))
        }) as Round<'_>);
    }
    let costs = take_turns(ROUNDS, &mut sides)?;
    for (entries, cache) in caches {
        let misses: u64 = cache.counts().iter().map(|counts| counts.misses).sum();
        if misses != entries as u64 {
            return Err(format!("{misses} misses for {entries} entries").into());
        }
    }
    table::print("cache entries, a hit", "ns", &rows, &costs);
    Ok(())
}
