use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use super::{
    head::{Chunk, Head},
    single_flight::{Flight, FlightBounds, JoinError, Reader},
};
use crate::{
    cache::key::{EntryKey, Invalidations, Validity},
    lock::Lock,
    memory_limit::MemoryLimit,
};

/// Memory of a flight besides its head and its log: about the flight, its readers, the call with its
/// recorder, and the first block.
const FLIGHT_MEMORY: usize = 8 * 1024;

/// The flights that requests can join.
#[derive(Debug)]
pub(crate) struct FlightTable {
    table: Lock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    flights: BTreeMap<EntryKey, ListedFlight>,
    next_number: u64,
}

#[derive(Debug)]
struct ListedFlight {
    number: u64,
    validity: Validity,
    flight: Weak<Flight<Head, Chunk>>,
}

/// The result of [`FlightTable::admit`].
pub(crate) enum Admission<T> {
    /// The request joins a flight.
    Follower(Reader<Head, Chunk>),
    /// The request begins a flight with this number. Others can join it from now on.
    Leader(Reader<Head, Chunk>, u64),
    /// There are too many flights or too many readers, or no memory for another flight.
    Full,
    /// An entry was stored meanwhile.
    Found(T),
}

impl FlightTable {
    pub(crate) fn new() -> Self {
        Self { table: Lock::default() }
    }

    /// Joins the flight for `key` or begins one. `find` looks for the entry of a flight that has
    /// just ended.
    pub(crate) fn admit<T>(
        &self,
        key: EntryKey,
        (max_in_flight, bounds, memory): (usize, FlightBounds, &MemoryLimit),
        validity: &Validity,
        invalidations: &Invalidations,
        find: impl FnOnce() -> Option<T>,
    ) -> Admission<T> {
        // Declared before the lock: dropping a flight whose readers left meanwhile drops its log.
        let flight;
        let mut table = self.table.lock();
        let listed = table.flights.get(&key);
        // A request after an invalidation must not join a flight from before.
        let listed = listed.filter(|listed| invalidations.is_valid(&listed.validity));
        flight = listed.and_then(|listed| listed.flight.upgrade());
        match flight.as_ref().map(Flight::join) {
            Some(Ok(reader)) => return Admission::Follower(reader),
            Some(Err(JoinError::Full)) => return Admission::Full,
            Some(Err(JoinError::Late)) | None => {}
        }
        if let Some(found) = find() {
            return Admission::Found(found);
        }
        if table.flights.len() >= max_in_flight && !table.flights.contains_key(&key) {
            return Admission::Full;
        }
        let mut permit = memory.permit();
        if permit.grow(FLIGHT_MEMORY).is_err() {
            return Admission::Full;
        }
        let number = table.next_number;
        table.next_number += 1;
        let reader = Flight::begin(bounds, permit);
        let flight = Arc::downgrade(reader.flight());
        table.flights.insert(key, ListedFlight { number, validity: validity.clone(), flight });
        Admission::Leader(reader, number)
    }

    /// Returns the number of flights that requests can join.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().flights.len()
    }

    /// Returns whether a flight for `key` is listed.
    pub(crate) fn is_in_flight(&self, key: EntryKey) -> bool {
        self.table.lock().flights.contains_key(&key)
    }

    /// Returns whether this flight is still listed, which an invalidation ends.
    pub(crate) fn is_listed(&self, key: EntryKey, number: u64) -> bool {
        let table = self.table.lock();
        table.flights.get(&key).is_some_and(|listed| listed.number == number)
    }

    /// Removes a flight from the table, or whichever flight is there without a number. Its readers
    /// continue.
    pub(crate) fn remove(&self, key: EntryKey, number: Option<u64>) {
        let mut table = self.table.lock();
        let is_it = |listed: &ListedFlight| number.is_none_or(|number| listed.number == number);
        if table.flights.get(&key).is_some_and(is_it) {
            table.flights.remove(&key);
        }
    }
}
