//! The slots of requests in flight and the share of each caller.

use std::{
    collections::hash_map::{Entry, RandomState},
    fmt,
    hash::{BuildHasher as _, BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::Request;

use crate::{
    body::{BodyEnd, Watch},
    context::RequestContext,
    lock::Lock,
    peer::PeerAddress,
};

/// Enough that threads seldom contend for one lock.
const SHARDS: usize = 16;

/// The bounds on requests in flight.
#[derive(Clone, Debug)]
pub(super) struct SlotSettings {
    pub(super) max: usize,
    /// In percent of `max`.
    pub(super) caller_share: u8,
    /// Finds the caller of a request without an identity.
    pub(super) address: PeerAddress,
}

/// Counts the requests in flight in total and by caller.
pub(super) struct Slots {
    settings: SlotSettings,
    taken: AtomicUsize,
    // Random, so that no caller can choose a hash that collides with another caller's.
    hasher: RandomState,
    callers: [Lock<Callers>; SHARDS],
}

/// The slots of each caller. The last slot of a caller removes its entry, so there are at most as
/// many entries as slots.
#[expect(clippy::disallowed_types, reason = "bounded by the slots")]
type Callers = std::collections::HashMap<Caller, usize, BuildHasherDefault<IdentityHasher>>;

/// The hash of a caller's principal or address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Caller(u64);

/// Why a request gets no slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoSlot {
    /// All slots are taken.
    Full,
    /// The caller has its share and the free slots are reserved for other callers.
    Share,
}

impl SlotSettings {
    /// Returns how many slots a caller may take as long as one is free. At least 1.
    fn share(&self) -> usize {
        let share = (self.max as u128 * u128::from(self.caller_share.min(100))).div_ceil(100);
        usize::try_from(share).unwrap_or(usize::MAX).max(1)
    }

    /// Returns how many slots may be taken before each caller is limited to its share.
    const fn unreserved(&self) -> usize {
        self.max - self.max / 4
    }
}

impl Slots {
    fn new(settings: SlotSettings) -> Self {
        Self {
            settings,
            taken: AtomicUsize::new(0),
            hasher: RandomState::new(),
            callers: std::array::from_fn(|_| Lock::default()),
        }
    }

    /// Creates free slots with changed settings.
    pub(super) fn with_settings(&self, change: impl FnOnce(&mut SlotSettings)) -> Arc<Self> {
        let mut settings = self.settings.clone();
        change(&mut settings);
        Arc::new(Self::new(settings))
    }

    /// Returns how many slots are taken.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Returns how many slots there are.
    pub(super) const fn max(&self) -> usize {
        self.settings.max
    }

    /// Returns the caller of a request by its principal or else by its address.
    ///
    /// `None` when neither is known or when callers have no share.
    pub(super) fn caller<B>(
        &self,
        request: &Request<B>,
        context: &RequestContext,
    ) -> Option<Caller> {
        if self.settings.caller_share >= 100 {
            return None;
        }
        // The first element separates principals from addresses.
        let hash = if let Some(identity) = context.identity() {
            self.hasher.hash_one((0_u8, identity.principal()))
        } else {
            let of = || self.settings.address.of(request.extensions(), request.headers());
            let address = context.peer(of)?;
            self.hasher.hash_one((1_u8, address))
        };
        Some(Caller(hash))
    }

    /// Takes a slot for `caller`.
    pub(super) fn take(self: &Arc<Self>, caller: Option<Caller>) -> Result<Slot, NoSlot> {
        let Some(caller) = caller else {
            self.take_below(self.settings.max)?;
            return Ok(Slot { slots: Some(Arc::clone(self)), caller: None });
        };
        let mut callers = self.shard(caller).lock();
        let own = callers.get(&caller).copied().unwrap_or_default();
        let limit = if own < self.settings.share() {
            self.settings.max
        } else {
            self.settings.unreserved()
        };
        self.take_below(limit)?;
        callers.insert(caller, own + 1);
        drop(callers);
        Ok(Slot { slots: Some(Arc::clone(self)), caller: Some(caller) })
    }

    /// Takes a slot unless `limit` slots are taken.
    fn take_below(&self, limit: usize) -> Result<(), NoSlot> {
        // Relaxed: the count guards no other memory.
        let next = |taken: usize| (taken < limit).then(|| taken + 1);
        match self.taken.fetch_update(Relaxed, Relaxed, next) {
            Ok(_before) => Ok(()),
            Err(taken) if taken < self.settings.max => Err(NoSlot::Share),
            Err(_taken) => Err(NoSlot::Full),
        }
    }

    fn release(&self, caller: Option<Caller>) {
        self.taken.fetch_sub(1, Relaxed);
        let Some(caller) = caller else { return };
        if let Entry::Occupied(mut own) = self.shard(caller).lock().entry(caller) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }

    fn shard(&self, caller: Caller) -> &Lock<Callers> {
        let [first, ..] = &self.callers;
        // The hash table of the shard uses other bits for its buckets and tags.
        self.callers.get((caller.0 >> 32) as usize % SHARDS).unwrap_or(first)
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self::new(SlotSettings { max: 1_024, caller_share: 25, address: PeerAddress::connection() })
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("settings", &self.settings)
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}

/// The slot of one request in flight. The end of the response body or a drop releases it once.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Option<Arc<Slots>>,
    caller: Option<Caller>,
}

impl Slot {
    fn release(&mut self) {
        if let Some(slots) = self.slots.take() {
            slots.release(self.caller);
        }
    }
}

impl Watch for Slot {
    fn data(&mut self, _data: &Bytes) {}

    fn end(&mut self, _end: BodyEnd) {
        self.release();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.release();
    }
}

/// Returns a key that is a hash already.
#[derive(Default)]
pub(super) struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn write(&mut self, bytes: &[u8]) {
        // Not called because the key is one `u64`.
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_with;

    use super::*;

    const A: Option<Caller> = Some(Caller(1));
    const B: Option<Caller> = Some(Caller(2));

    fn slots(max: usize) -> Arc<Slots> {
        Slots::default().with_settings(|settings| settings.max = max)
    }

    /// Takes every slot that `caller` gets.
    fn all(slots: &Arc<Slots>, caller: Option<Caller>) -> (Vec<Slot>, NoSlot) {
        let mut taken = Vec::new();
        loop {
            match slots.take(caller) {
                Ok(slot) => taken.push(slot),
                Err(full) => return (taken, full),
            }
        }
    }

    fn callers(slots: &Slots) -> usize {
        slots.callers.iter().map(|callers| callers.lock().len()).sum()
    }

    #[test]
    fn a_slot_is_released_exactly_once() {
        let slots = slots(2);
        let (mut first, second) = (slots.take(A).unwrap(), slots.take(None).unwrap());
        assert_eq!(slots.take(None).err(), Some(NoSlot::Full));
        first.end(BodyEnd::Complete);
        drop(first);
        assert_eq!((slots.taken.load(Relaxed), callers(&slots)), (1, 0));
        drop(second);
        assert_eq!(slots.taken.load(Relaxed), 0);
    }

    #[test]
    fn zero_slots_reject_every_request() {
        assert_eq!(slots(0).take(None).err(), Some(NoSlot::Full));
        assert_eq!(slots(0).take(A).err(), Some(NoSlot::Full));
    }

    #[test]
    fn one_caller_leaves_a_quarter_for_others() {
        let slots = slots(1_024);
        let (mut greedy, full) = all(&slots, A);
        assert_eq!((greedy.len(), full), (768, NoSlot::Share));
        let (others, full) = all(&slots, B);
        assert_eq!((others.len(), full), (256, NoSlot::Full));
        // A released slot goes to a caller below its share.
        greedy.pop();
        assert_eq!(slots.take(A).err(), Some(NoSlot::Share));
        assert_eq!(slots.take(B).err(), Some(NoSlot::Share));
        assert!(slots.take(Some(Caller(3))).is_ok());
        drop((greedy, others));
        assert_eq!((slots.taken.load(Relaxed), callers(&slots)), (0, 0));
    }

    #[test]
    fn a_caller_below_its_share_gets_the_last_slot() {
        let slots = slots(8);
        let (_others, full) = all(&slots, A);
        assert_eq!((slots.taken.load(Relaxed), full), (6, NoSlot::Share));
        let _first = slots.take(B).unwrap();
        let _second = slots.take(B).unwrap();
        assert_eq!(slots.take(B).err(), Some(NoSlot::Full));
    }

    #[test]
    fn each_caller_gets_one_slot_however_small_the_share() {
        let slots = slots(3).with_settings(|settings| settings.caller_share = 0);
        let _others: Vec<_> =
            [A, B].into_iter().map(|caller| slots.take(caller).unwrap()).collect();
        assert!(slots.take(Some(Caller(3))).is_ok());
    }

    #[test]
    fn unknown_callers_have_no_share() {
        let slots = slots(8);
        assert_eq!(all(&slots, None).0.len(), 8);
    }

    #[test]
    fn the_last_slot_removes_its_caller() {
        let slots = slots(1_000);
        let caller = || Some(Caller(slots.hasher.hash_one(RandomState::new().hash_one(0))));
        for _ in 0..100 {
            let taken: Vec<_> = repeat_with(|| slots.take(caller()).unwrap()).take(500).collect();
            assert_eq!(callers(&slots), 500);
            drop(taken);
            assert_eq!(callers(&slots), 0);
        }
        let capacity: usize = slots.callers.iter().map(|callers| callers.lock().capacity()).sum();
        assert!(capacity <= 4_000, "{capacity} entries for 500 callers at a time");
    }
}
