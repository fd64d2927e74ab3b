//! Places among the requests in flight, given back by being dropped.

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Store, ask::Settlement};
use crate::body::{BodyEnd, Watch};

/// The places that one request takes. None, and no allocation, where nothing limits concurrency.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    held: Option<(Store, SmallVec<[Settlement; 1]>)>,
}

impl InFlight {
    pub(super) fn hold(&mut self, store: &Store, settlement: Settlement) {
        let (_, settlements) = self.held.get_or_insert_with(|| (store.clone(), SmallVec::new()));
        settlements.push(settlement);
    }

    fn give_back(&mut self) {
        if let Some((store, settlements)) = self.held.take() {
            store.backend().settle(&settlements);
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
