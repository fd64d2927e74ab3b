//! Places among the requests in flight, given back by being dropped.

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Store, ask::Settlement};
use crate::body::{BodyEnd, Watch};

/// The places that one request takes.
#[derive(Debug)]
pub(super) struct InFlight {
    store: Store,
    // Empty once they were given back.
    places: SmallVec<[Settlement; 1]>,
}

impl InFlight {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.clone(), places: SmallVec::new() }
    }

    pub(super) fn hold(&mut self, place: Settlement) {
        self.places.push(place);
    }

    fn give_back(&mut self) {
        if !self.places.is_empty() {
            self.store.backend().settle(&self.places);
            self.places.clear();
        }
    }
}

impl Watch for InFlight {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, _end: BodyEnd) {
        self.give_back();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.give_back();
    }
}
