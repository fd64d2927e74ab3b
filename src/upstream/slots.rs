//! The requests in flight, and whose they are.

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

/// Enough that threads seldom meet at one lock.
const SHARDS: usize = 16;

/// How many requests may be in flight, in all and of one caller.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) max: usize,
    /// In percent of `max`.
    pub(super) caller_share: u8,
    /// Of callers without an identity.
    pub(super) address: PeerAddress,
}

/// How many requests are in flight, and how many of them are whose.
pub(super) struct Slots {
    settings: Settings,
    taken: AtomicUsize,
    // Random, so that no caller can choose to share its count with another one.
    hasher: RandomState,
    callers: [Lock<Callers>; SHARDS],
}

/// The slots that each caller has. A caller leaves with its last slot, so there are at most as many
/// callers as slots.
#[expect(clippy::disallowed_types, reason = "bounded by the slots")]
type Callers = std::collections::HashMap<Caller, usize, BuildHasherDefault<Hashed>>;

/// The hash of a caller's principal or address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Caller(u64);

/// Why there is no slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Full {
    /// All slots are taken.
    Slots,
    /// The caller has its share, and the slots that are free are for others.
    Share,
}

impl Settings {
    /// How many slots a caller may take as long as one is free. One at least.
    fn share(&self) -> usize {
        let share = (self.max as u128 * u128::from(self.caller_share.min(100))).div_ceil(100);
        usize::try_from(share).unwrap_or(usize::MAX).max(1)
    }

    /// How many slots are in use when no caller gets more than its share.
    const fn unreserved(&self) -> usize {
        self.max - self.max / 4
    }
}

impl Slots {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            taken: AtomicUsize::new(0),
            hasher: RandomState::new(),
            callers: std::array::from_fn(|_| Lock::default()),
        })
    }

    /// The same slots with other settings, none of them taken.
    pub(super) fn set(&self, change: impl FnOnce(&mut Settings)) -> Arc<Self> {
        let mut settings = self.settings.clone();
        change(&mut settings);
        Self::new(settings)
    }

    /// Whose request it is: the principal's, else the address's. `None` when neither is known, and
    /// when no caller is held to a share.
    pub(super) fn caller<B>(
        &self,
        request: &Request<B>,
        context: &RequestContext,
    ) -> Option<Caller> {
        if self.settings.caller_share >= 100 {
            return None;
        }
        // The first element keeps principals and addresses apart.
        let hash = if let Some(identity) = context.identity() {
            self.hasher.hash_one((0_u8, identity.principal()))
        } else {
            let address = self.settings.address.of(request.extensions(), request.headers())?;
            self.hasher.hash_one((1_u8, address))
        };
        Some(Caller(hash))
    }

    /// Takes a slot for `caller`.
    pub(super) fn take(self: &Arc<Self>, caller: Option<Caller>) -> Result<Slot, Full> {
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

    /// Counts one slot more, unless `limit` slots are taken.
    fn take_below(&self, limit: usize) -> Result<(), Full> {
        // Relaxed: the count guards no other memory.
        let room = |taken: usize| (taken < limit).then(|| taken + 1);
        match self.taken.fetch_update(Relaxed, Relaxed, room) {
            Ok(_before) => Ok(()),
            Err(taken) if taken < self.settings.max => Err(Full::Share),
            Err(_taken) => Err(Full::Slots),
        }
    }

    fn give_back(&self, caller: Option<Caller>) {
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
        // Bits that the table in the shard uses neither for its buckets nor for its tags.
        self.callers.get((caller.0 >> 32) as usize % SHARDS).unwrap_or(first)
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

/// One request in flight. Given back at the end of the response's body, or when dropped; once.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Option<Arc<Slots>>,
    caller: Option<Caller>,
}

impl Slot {
    fn give_back(&mut self) {
        if let Some(slots) = self.slots.take() {
            slots.give_back(self.caller);
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

/// Hashes what is a hash already.
#[derive(Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        // Not called: the key is one `u64`.
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
        Slots::new(Settings { max, caller_share: 25, address: PeerAddress::connection() })
    }

    /// As many slots as `caller` gets, and why there are no more.
    fn all(slots: &Arc<Slots>, caller: Option<Caller>) -> (Vec<Slot>, Full) {
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
    fn a_slot_is_given_back_exactly_once() {
        let slots = slots(2);
        let (mut first, second) = (slots.take(A).unwrap(), slots.take(None).unwrap());
        assert_eq!(slots.take(None).err(), Some(Full::Slots));
        first.end(BodyEnd::Complete);
        drop(first);
        assert_eq!((slots.taken.load(Relaxed), callers(&slots)), (1, 0));
        drop(second);
        assert_eq!(slots.taken.load(Relaxed), 0);
    }

    #[test]
    fn no_room_means_no_slot() {
        assert_eq!(slots(0).take(None).err(), Some(Full::Slots));
        assert_eq!(slots(0).take(A).err(), Some(Full::Slots));
    }

    #[test]
    fn one_caller_leaves_a_quarter_free_and_another_gets_it() {
        let slots = slots(1_024);
        let (mut greedy, full) = all(&slots, A);
        assert_eq!((greedy.len(), full), (768, Full::Share));
        let (others, full) = all(&slots, B);
        assert_eq!((others.len(), full), (256, Full::Slots));
        // A slot that is given back goes to the caller without its share.
        greedy.pop();
        assert_eq!(slots.take(A).err(), Some(Full::Share));
        assert_eq!(slots.take(B).err(), Some(Full::Share));
        assert!(slots.take(Some(Caller(3))).is_ok());
        drop((greedy, others));
        assert_eq!((slots.taken.load(Relaxed), callers(&slots)), (0, 0));
    }

    #[test]
    fn a_caller_below_its_share_gets_the_last_slot() {
        let slots = slots(8);
        let (_others, full) = all(&slots, A);
        assert_eq!((slots.taken.load(Relaxed), full), (6, Full::Share));
        let _first = slots.take(B).unwrap();
        let _second = slots.take(B).unwrap();
        assert_eq!(slots.take(B).err(), Some(Full::Slots));
    }

    #[test]
    fn each_caller_gets_one_slot_however_small_the_share() {
        let slots = slots(3).set(|settings| settings.caller_share = 0);
        let _others: Vec<_> =
            [A, B].into_iter().map(|caller| slots.take(caller).unwrap()).collect();
        assert!(slots.take(Some(Caller(3))).is_ok());
    }

    #[test]
    fn unknown_callers_are_held_to_no_share() {
        let slots = slots(8);
        assert_eq!(all(&slots, None).0.len(), 8);
    }

    #[test]
    fn callers_leave_with_their_last_slot() {
        let slots = slots(1_000);
        let caller = || Some(Caller(slots.hasher.hash_one(RandomState::new().hash_one(0))));
        for _ in 0..100 {
            let taken: Vec<_> = repeat_with(|| slots.take(caller()).unwrap()).take(500).collect();
            assert_eq!(callers(&slots), 500);
            drop(taken);
            assert_eq!(callers(&slots), 0);
        }
        let places: usize = slots.callers.iter().map(|callers| callers.lock().capacity()).sum();
        assert!(places <= 4_000, "{places} places for 500 callers at a time");
    }
}
