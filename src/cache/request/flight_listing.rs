use super::engine::Engine;
use crate::cache::key::EntryKey;

/// A flight's place in the table of flights. Its drop removes the flight from there.
#[derive(Debug)]
pub(super) struct FlightListing {
    engine: Engine,
    key: EntryKey,
    number: u64,
}

impl FlightListing {
    pub(super) const fn new(engine: Engine, key: EntryKey, number: u64) -> Self {
        Self { engine, key, number }
    }
}

impl Drop for FlightListing {
    fn drop(&mut self) {
        self.engine.unlist(self.key, self.number);
    }
}
