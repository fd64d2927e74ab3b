//! The state of a stack at one moment.

use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Identity as Unset;

use super::{payload_slot::ImpliedPayload, slot, slots::Stack};
use crate::payload::PayloadLayer;

/// The state of a stack at one moment: sizes and ages and no counts of requests.
///
/// [`Stack::snapshot`](super::Stack::snapshot) and [`Gateway::snapshot`](super::Gateway::snapshot)
/// return it. A value is `None` when the stack does not have its layer. The values are read one after
/// the other, so a request may begin or end in between.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    open_responses: Option<usize>,
    keys_age: Option<Duration>,
    payload_bytes: Option<(usize, usize)>,
    cache_entries: Option<usize>,
    cache_bytes: Option<(u64, u64)>,
    cache_in_flight: Option<usize>,
    upstream_in_flight: Option<(usize, usize)>,
    token_age: Option<Duration>,
}

impl Snapshot {
    /// Returns the number of response bodies that clients are reading, as `StalledReaderLayer` sees
    /// them.
    #[must_use]
    pub const fn open_responses(&self) -> Option<usize> {
        self.open_responses
    }

    /// Returns the time since the keys of `AuthLayer` were last fetched.
    ///
    /// `None` also before the first fetch, for a fixed set and for a file.
    #[must_use]
    pub const fn keys_age(&self) -> Option<Duration> {
        self.keys_age
    }

    /// Returns the bytes that request bodies take of the memory limit of `PayloadLayer`.
    #[must_use]
    pub fn payload_bytes(&self) -> Option<usize> {
        self.payload_bytes.map(|(taken, _)| taken)
    }

    /// Returns the memory limit of `PayloadLayer` in bytes.
    #[must_use]
    pub fn max_payload_bytes(&self) -> Option<usize> {
        self.payload_bytes.map(|(_, max)| max)
    }

    /// Returns the number of entries of `CacheLayer` in memory. Stale ones count.
    #[must_use]
    pub const fn cache_entries(&self) -> Option<usize> {
        self.cache_entries
    }

    /// Returns the memory of these entries in bytes.
    #[must_use]
    pub fn cache_bytes(&self) -> Option<u64> {
        self.cache_bytes.map(|(bytes, _)| bytes)
    }

    /// Returns the most memory that these entries may take in bytes.
    #[must_use]
    pub fn max_cache_bytes(&self) -> Option<u64> {
        self.cache_bytes.map(|(_, max)| max)
    }

    /// Returns the number of upstream calls in flight that `CacheLayer` shares among requests.
    #[must_use]
    pub const fn cache_in_flight(&self) -> Option<usize> {
        self.cache_in_flight
    }

    /// Returns the number of slots of `UpstreamLayer` in use: requests whose response has not ended.
    #[must_use]
    pub fn upstream_in_flight(&self) -> Option<usize> {
        self.upstream_in_flight.map(|(taken, _)| taken)
    }

    /// Returns the number of slots of `UpstreamLayer`.
    #[must_use]
    pub fn max_upstream_in_flight(&self) -> Option<usize> {
        self.upstream_in_flight.map(|(_, max)| max)
    }

    /// Returns the time since the upstream's token was read from its file. `None` also for a token
    /// without a file.
    #[must_use]
    pub const fn token_age(&self) -> Option<Duration> {
        self.token_age
    }
}

impl<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
    Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
where
    I: StateSlot,
    A: StateSlot,
    B: StateSlot,
    C: StateSlot,
    U: StateSlot,
    H: StateSlot,
{
    /// Returns the state of the layers at this moment.
    ///
    /// Keep a clone of the stack to read it later. [`Gateway::snapshot`](super::Gateway::snapshot) needs no stack.
    ///
    /// ```
    /// use tower_inference::{payload::PayloadLayer, stack::Stack};
    ///
    /// let stack = Stack::new().payload(PayloadLayer::new());
    /// assert_eq!(stack.snapshot().payload_bytes(), Some(0));
    /// assert_eq!(stack.snapshot().cache_entries(), None);
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.stalled_reader.read_into(&mut snapshot);
        self.auth.read_into(&mut snapshot);
        self.payload.read_into(&mut snapshot);
        self.cache.read_into(&mut snapshot);
        self.upstream.read_into(&mut snapshot);
        self.hf_token.read_into(&mut snapshot);
        snapshot
    }
}

impl<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
    Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
where
    I: StateSlot + Clone + Send + Sync + 'static,
    A: StateSlot + Clone + Send + Sync + 'static,
    B: StateSlot + Clone + Send + Sync + 'static,
    C: StateSlot + Clone + Send + Sync + 'static,
    U: StateSlot + Clone + Send + Sync + 'static,
    H: StateSlot + Clone + Send + Sync + 'static,
{
    /// The slots with state. Their layers share it with their clones.
    pub(super) fn state(&self) -> StackState {
        StackState(Arc::new([
            Box::new(self.stalled_reader.clone()),
            Box::new(self.auth.clone()),
            Box::new(self.payload.clone()),
            Box::new(self.cache.clone()),
            Box::new(self.upstream.clone()),
            Box::new(self.hf_token.clone()),
        ]))
    }
}

/// A slot whose layer may have state to show.
pub trait StateSlot: slot::sealed::Sealed {
    #[doc(hidden)]
    fn read_into(&self, snapshot: &mut Snapshot);
}

/// The slots of one stack that have state.
#[derive(Clone)]
pub(super) struct StackState(pub(super) Arc<[Box<dyn StateSlot + Send + Sync>]>);

impl StackState {
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.0.iter().for_each(|slot| slot.read_into(&mut snapshot));
        snapshot
    }
}

impl fmt::Debug for StackState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl StateSlot for Unset {
    fn read_into(&self, _snapshot: &mut Snapshot) {}
}

impl StateSlot for PayloadLayer {
    fn read_into(&self, snapshot: &mut Snapshot) {
        snapshot.payload_bytes = Some(self.memory());
    }
}

impl StateSlot for ImpliedPayload {
    fn read_into(&self, snapshot: &mut Snapshot) {
        if self.is_read {
            self.layer.read_into(snapshot);
        }
    }
}

#[cfg(feature = "stalled-reader")]
impl StateSlot for slot::Optional<crate::stalled_reader::StalledReaderLayer> {
    fn read_into(&self, snapshot: &mut Snapshot) {
        snapshot.open_responses = self.0.as_ref().map(|layer| layer.open_responses());
    }
}

#[cfg(feature = "auth")]
impl StateSlot for slot::Optional<crate::auth::AuthLayer> {
    fn read_into(&self, snapshot: &mut Snapshot) {
        snapshot.keys_age = self.0.as_ref().and_then(|layer| layer.keys_age());
    }
}

#[cfg(feature = "cache")]
impl StateSlot for slot::Optional<crate::cache::CacheLayer> {
    fn read_into(&self, snapshot: &mut Snapshot) {
        let Some(layer) = &self.0 else { return };
        snapshot.cache_entries = Some(layer.entries());
        snapshot.cache_bytes = Some((layer.bytes(), layer.max_bytes()));
        snapshot.cache_in_flight = Some(layer.in_flight());
    }
}

#[cfg(feature = "upstream")]
impl StateSlot for crate::upstream::UpstreamLayer {
    fn read_into(&self, snapshot: &mut Snapshot) {
        snapshot.upstream_in_flight = Some((self.in_flight(), self.slots()));
    }
}

#[cfg(feature = "hf")]
impl StateSlot for slot::Optional<crate::hf::HfTokenLayer> {
    fn read_into(&self, snapshot: &mut Snapshot) {
        snapshot.token_age = self.0.as_ref().and_then(|layer| layer.token_age());
    }
}
