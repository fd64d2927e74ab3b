use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;

use crate::body::{BodyEnd, Watch};

/// How many requests may be in flight, and how many are.
#[derive(Debug)]
pub(super) struct Slots {
    max: usize,
    taken: AtomicUsize,
}

impl Slots {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, taken: AtomicUsize::new(0) })
    }

    /// A slot, unless all are taken.
    pub(super) fn take(self: &Arc<Self>) -> Option<Slot> {
        // Relaxed: the count guards no other memory.
        let room = |taken: usize| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, room).ok()?;
        Some(Slot(Some(Arc::clone(self))))
    }
}

/// One request in flight. Given back at the end of the answer's body, or when dropped; once.
#[derive(Debug)]
pub(super) struct Slot(Option<Arc<Slots>>);

impl Slot {
    fn give_back(&mut self) {
        if let Some(slots) = self.0.take() {
            slots.taken.fetch_sub(1, Relaxed);
        }
    }
}

impl Watch for Slot {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, _end: BodyEnd) {
        self.give_back();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_given_back_exactly_once() {
        let slots = Slots::new(2);
        let (mut first, second) = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none());
        first.end(BodyEnd::Complete);
        drop(first);
        assert_eq!(slots.taken.load(Relaxed), 1);
        drop(second);
        assert_eq!(slots.taken.load(Relaxed), 0);
    }

    #[test]
    fn no_room_means_no_slot() {
        assert!(Slots::new(0).take().is_none());
    }
}
