//! Which answers are under way.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use super::{
    flight::{Bounds, Closed, Flight, Reader},
    generation::{Generations, Start},
    head::{Chunk, Head},
    key::At,
};
use crate::{lock::Lock, memory_limit::MemoryLimit};

/// Memory of a flight besides its head and its log, about: the flight, its readers, the call with its
/// records, and the first block.
const OF_FLIGHT: usize = 8 * 1024;

/// The flights that may still be joined, at most so many.
#[derive(Debug)]
pub(super) struct Flights {
    table: Lock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    flights: BTreeMap<At, Listed>,
    next: u64,
}

#[derive(Debug)]
struct Listed {
    number: u64,
    start: Start,
    flight: Weak<Flight<Head, Chunk>>,
}

/// What became of a request that came for a flight.
pub(super) enum Entered<T> {
    /// It flies with others.
    Joined(Reader<Head, Chunk>),
    /// It begins one, which others may join from now on.
    Own(Reader<Head, Chunk>, u64),
    /// There are too many flights, too many readers of this one, or there is no memory for one more.
    Full,
    /// There is no flight, and need not be one.
    Found(T),
}

impl Flights {
    pub(super) fn new() -> Self {
        Self { table: Lock::default() }
    }

    /// Joins the flight that is under way, or begins one; unless `find` finds what a flight has left
    /// that has just ended.
    pub(super) fn enter<T>(
        &self,
        at: At,
        (most, bounds, memory): (usize, Bounds, &MemoryLimit),
        start: &Start,
        generations: &Generations,
        find: impl FnOnce() -> Option<T>,
    ) -> Entered<T> {
        // Outlives the lock: its readers may leave meanwhile, and what is left of it goes with it.
        let flight;
        let mut table = self.table.lock();
        let listed = table.flights.get(&at);
        // One that was begun before an invalidation is none to join after it.
        let listed =
            listed.filter(|listed| generations.holds(listed.start.begun, &listed.start.tags));
        flight = listed.and_then(|listed| listed.flight.upgrade());
        match flight.as_ref().map(Flight::join) {
            Some(Ok(reader)) => return Entered::Joined(reader),
            Some(Err(Closed::Full)) => return Entered::Full,
            Some(Err(Closed::Late)) | None => {}
        }
        if let Some(found) = find() {
            return Entered::Found(found);
        }
        if table.flights.len() >= most && !table.flights.contains_key(&at) {
            return Entered::Full;
        }
        let mut permit = memory.permit();
        if permit.grow(OF_FLIGHT).is_err() {
            return Entered::Full;
        }
        let number = table.next;
        table.next += 1;
        let reader = Flight::begin(bounds, permit);
        let flight = Arc::downgrade(reader.flight());
        table.flights.insert(at, Listed { number, start: start.clone(), flight });
        Entered::Own(reader, number)
    }

    /// Whether one is under way.
    pub(super) fn is_flying(&self, at: At) -> bool {
        self.table.lock().flights.contains_key(&at)
    }

    /// Whether it is this one that is under way, and was not invalidated.
    pub(super) fn is_listed(&self, at: At, number: u64) -> bool {
        let table = self.table.lock();
        table.flights.get(&at).is_some_and(|listed| listed.number == number)
    }

    /// Nobody joins it any more. Those who read it are not disturbed.
    pub(super) fn strike(&self, at: At, number: Option<u64>) {
        let mut table = self.table.lock();
        let is_it = |listed: &Listed| number.is_none_or(|number| listed.number == number);
        if table.flights.get(&at).is_some_and(is_it) {
            table.flights.remove(&at);
        }
    }
}
