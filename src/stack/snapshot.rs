//! The state of a stack at one moment.

use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Identity as Unset;

use super::{
    payload_slot::ImpliedPayload,
    slot,
    slots::Stack,
    state::{KeySetState, TargetState, TokenState},
};
#[cfg(feature = "cache")]
use crate::cache::CacheCounts;
#[cfg(feature = "throttle")]
use crate::limits::LimitCounts;
use crate::payload::PayloadLayer;

/// The state of a stack at one moment: sizes, ages and the counts of its layers.
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
    upstream_queued: Option<usize>,
    token_age: Option<Duration>,
    key_sets: Vec<KeySetState>,
    tokens: Vec<TokenState>,
    targets: Vec<TargetState>,
    #[cfg(feature = "throttle")]
    limits: Vec<(&'static str, LimitCounts)>,
    #[cfg(feature = "cache")]
    cache_counts: Vec<CacheCounts>,
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

    /// Returns the number of requests that wait for a slot of `UpstreamLayer`.
    #[must_use]
    pub const fn upstream_queued(&self) -> Option<usize> {
        self.upstream_queued
    }

    /// Returns the sets of keys of `AuthLayer`, one for each issuer.
    #[must_use]
    pub fn key_sets(&self) -> &[KeySetState] {
        &self.key_sets
    }

    /// Returns the tokens of `HfTokenLayer` and of the targets of `FallbackLayer`, each stage once.
    #[must_use]
    pub fn tokens(&self) -> &[TokenState] {
        &self.tokens
    }

    /// Returns the targets of `FallbackLayer`.
    #[must_use]
    pub fn targets(&self) -> &[TargetState] {
        &self.targets
    }

    /// Returns the counts of each limit with the layer that has it: `peer_throttle`, `throttle` or
    /// `token_budget`.
    #[cfg(feature = "throttle")]
    #[cfg_attr(docsrs, doc(cfg(feature = "throttle")))]
    #[must_use]
    pub fn limits(&self) -> &[(&'static str, LimitCounts)] {
        &self.limits
    }

    /// Returns the counts of `CacheLayer` by route and model.
    #[cfg(feature = "cache")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cache")))]
    #[must_use]
    pub fn cache_counts(&self) -> &[CacheCounts] {
        &self.cache_counts
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
    P: StateSlot,
    A: StateSlot,
    T: StateSlot,
    B: StateSlot,
    C: StateSlot,
    Q: StateSlot,
    U: StateSlot,
    H: StateSlot,
    F: StateSlot,
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
        self.stalled_reader.read_into("stalled_reader", &mut snapshot);
        self.peer_throttle.read_into(PEER_THROTTLE, &mut snapshot);
        self.auth.read_into("auth", &mut snapshot);
        self.throttle.read_into(THROTTLE, &mut snapshot);
        self.payload.read_into("payload", &mut snapshot);
        self.cache.read_into("cache", &mut snapshot);
        self.token_budget.read_into(TOKEN_BUDGET, &mut snapshot);
        self.fallback.read_into("fallback", &mut snapshot);
        self.upstream.read_into("upstream", &mut snapshot);
        self.hf_token.read_into("hf_token", &mut snapshot);
        snapshot
    }
}

impl<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
    Stack<I, R, L, P, A, T, B, S, X, M, G, C, Q, U, H, K, O, N, F>
where
    I: StateSlot + Clone + Send + Sync + 'static,
    P: StateSlot + Clone + Send + Sync + 'static,
    A: StateSlot + Clone + Send + Sync + 'static,
    T: StateSlot + Clone + Send + Sync + 'static,
    B: StateSlot + Clone + Send + Sync + 'static,
    C: StateSlot + Clone + Send + Sync + 'static,
    Q: StateSlot + Clone + Send + Sync + 'static,
    U: StateSlot + Clone + Send + Sync + 'static,
    H: StateSlot + Clone + Send + Sync + 'static,
    F: StateSlot + Clone + Send + Sync + 'static,
{
    /// The slots with state. Their layers share it with their clones.
    pub(super) fn state(&self) -> StackState {
        StackState(Arc::new([
            ("stalled_reader", Box::new(self.stalled_reader.clone())),
            (PEER_THROTTLE, Box::new(self.peer_throttle.clone())),
            ("auth", Box::new(self.auth.clone())),
            (THROTTLE, Box::new(self.throttle.clone())),
            ("payload", Box::new(self.payload.clone())),
            ("cache", Box::new(self.cache.clone())),
            (TOKEN_BUDGET, Box::new(self.token_budget.clone())),
            ("fallback", Box::new(self.fallback.clone())),
            ("upstream", Box::new(self.upstream.clone())),
            ("hf_token", Box::new(self.hf_token.clone())),
        ]))
    }
}

/// A slot whose layer may have state to show.
pub trait StateSlot: slot::sealed::Sealed {
    #[doc(hidden)]
    fn read_into(&self, slot: &'static str, snapshot: &mut Snapshot);
}

/// The slots whose layers have limits, as their metrics name them.
const PEER_THROTTLE: &str = "peer_throttle";
const THROTTLE: &str = "throttle";
const TOKEN_BUDGET: &str = "token_budget";

/// The slots of one stack that have state.
#[derive(Clone)]
pub(super) struct StackState(Arc<[(&'static str, Box<dyn StateSlot + Send + Sync>)]>);

/// A stack without layers.
impl Default for StackState {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl StackState {
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.0.iter().for_each(|(name, slot)| slot.read_into(name, &mut snapshot));
        snapshot
    }
}

impl fmt::Debug for StackState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl StateSlot for Unset {
    fn read_into(&self, _slot: &'static str, _snapshot: &mut Snapshot) {}
}

impl StateSlot for PayloadLayer {
    fn read_into(&self, _slot: &'static str, snapshot: &mut Snapshot) {
        snapshot.payload_bytes = Some(self.memory());
    }
}

impl StateSlot for ImpliedPayload {
    fn read_into(&self, slot: &'static str, snapshot: &mut Snapshot) {
        if self.is_read {
            self.layer.read_into(slot, snapshot);
        }
    }
}

#[cfg(feature = "stalled-reader")]
impl StateSlot for slot::Optional<crate::stalled_reader::StalledReaderLayer> {
    fn read_into(&self, _slot: &'static str, snapshot: &mut Snapshot) {
        snapshot.open_responses = self.0.as_ref().map(|layer| layer.open_responses());
    }
}

#[cfg(feature = "auth")]
impl StateSlot for slot::Optional<crate::auth::AuthLayer> {
    fn read_into(&self, _slot: &'static str, snapshot: &mut Snapshot) {
        let Some(layer) = &self.0 else { return };
        snapshot.keys_age = layer.keys_age();
        snapshot.key_sets.extend(layer.key_sources().map(|keys| KeySetState {
            name: keys.name().into(),
            age: keys.age(),
            is_ready: keys.is_ready(),
            failures: keys.failures(),
        }));
    }
}

#[cfg(feature = "cache")]
impl StateSlot for slot::Optional<crate::cache::CacheLayer> {
    fn read_into(&self, _slot: &'static str, snapshot: &mut Snapshot) {
        let Some(layer) = &self.0 else { return };
        snapshot.cache_entries = Some(layer.entries());
        snapshot.cache_bytes = Some((layer.bytes(), layer.max_bytes()));
        snapshot.cache_in_flight = Some(layer.in_flight());
        snapshot.cache_counts = layer.counts();
    }
}

#[cfg(feature = "upstream")]
impl StateSlot for crate::upstream::UpstreamLayer {
    fn read_into(&self, _slot: &'static str, snapshot: &mut Snapshot) {
        snapshot.upstream_in_flight = Some((self.in_flight(), self.slots()));
        snapshot.upstream_queued = Some(self.queued());
    }
}

#[cfg(feature = "hf")]
impl StateSlot for slot::Optional<crate::hf::HfTokenLayer> {
    fn read_into(&self, _slot: &'static str, snapshot: &mut Snapshot) {
        let Some(layer) = &self.0 else { return };
        snapshot.token_age = layer.token_age();
        snapshot.add_tokens(layer.settings_stage());
    }
}

#[cfg(feature = "hf")]
impl Snapshot {
    fn add_tokens(&mut self, stage: &crate::hf::Stage) {
        if self.tokens.iter().any(|known| *known.stage == *stage.name()) {
            return;
        }
        self.tokens.push(TokenState {
            stage: stage.shared_name(),
            age: stage.token_age(),
            is_ready: stage.has_tokens(),
            failures: stage.token_failures(),
        });
    }
}

#[cfg(feature = "fallback")]
impl StateSlot for slot::Optional<crate::fallback::FallbackLayer> {
    fn read_into(&self, _slot: &'static str, snapshot: &mut Snapshot) {
        for target in self.0.iter().flat_map(|layer| layer.targets()) {
            snapshot.add_tokens(target.stage());
            let (in_flight, queued) = target.load();
            let is_cooling_down = target.cools_down();
            let name = target.shared_name().clone();
            snapshot.targets.push(TargetState { name, in_flight, queued, is_cooling_down });
        }
    }
}

#[cfg(feature = "throttle")]
impl StateSlot for slot::Optional<crate::throttle::ThrottleLayer> {
    fn read_into(&self, slot: &'static str, snapshot: &mut Snapshot) {
        let counts = self.0.iter().flat_map(|layer| layer.counts());
        snapshot.limits.extend(counts.map(|counts| (slot, counts)));
    }
}

#[cfg(feature = "throttle")]
impl StateSlot for slot::Optional<crate::token_budget::TokenBudgetLayer> {
    fn read_into(&self, slot: &'static str, snapshot: &mut Snapshot) {
        let counts = self.0.iter().flat_map(|layer| layer.counts());
        snapshot.limits.extend(counts.map(|counts| (slot, counts)));
    }
}
