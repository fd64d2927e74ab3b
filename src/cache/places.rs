//! Where the readers of a flight are.

use std::{collections::BTreeMap, task::Waker};

/// The first reader of a flight.
pub(super) const ORIGINATOR: u64 = 0;

/// Where a reader is.
#[derive(Default)]
pub(super) struct Place {
    pub(super) has_head: bool,
    /// Pieces, and their bytes, that it has.
    pub(super) read: (usize, usize),
    pub(super) waker: Option<Waker>,
    /// It is no reader any more, and is told so when it is polled.
    pub(super) cut: bool,
}

/// The places by the numbers of the readers.
pub(super) struct Places {
    /// That of the originator, who is alone in most flights.
    first: Option<Place>,
    others: BTreeMap<u64, Place>,
}

impl Places {
    pub(super) fn of_originator() -> Self {
        Self { first: Some(Place::default()), others: BTreeMap::new() }
    }

    /// How many there are, those that were cut included.
    pub(super) fn len(&self) -> usize {
        self.others.len() + usize::from(self.first.is_some())
    }

    pub(super) fn get(&self, id: u64) -> Option<&Place> {
        if id == ORIGINATOR { self.first.as_ref() } else { self.others.get(&id) }
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Place> {
        if id == ORIGINATOR { self.first.as_mut() } else { self.others.get_mut(&id) }
    }

    /// Adds one of another than the originator.
    pub(super) fn insert(&mut self, id: u64) {
        self.others.insert(id, Place::default());
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Place> {
        if id == ORIGINATOR { self.first.take() } else { self.others.remove(&id) }
    }

    /// Those that were not cut.
    pub(super) fn reading(&self) -> impl Iterator<Item = &Place> {
        self.first.iter().chain(self.others.values()).filter(|place| !place.cut)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Place> {
        self.first.iter_mut().chain(self.others.values_mut())
    }
}
