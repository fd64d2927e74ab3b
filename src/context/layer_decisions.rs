//! The decisions that layers record in the context of a request.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    cache_outcome::CacheOutcome,
    decision::{Decision, Decisions, Layer, MAX_OWN},
    request_context::RequestContext,
};

impl RequestContext {
    /// Returns the decisions of the layers that the request has passed so far.
    #[must_use]
    pub fn decisions(&self) -> Decisions {
        let (served, looked_up) = match self.cache() {
            Some(CacheOutcome::Hit | CacheOutcome::Collapsed) => (Layer::Cache.bit(), 0),
            Some(CacheOutcome::Miss | CacheOutcome::Bypass) => (0, Layer::Cache.bit()),
            None => (0, 0),
        };
        Decisions::new(
            self.passed_layers() | looked_up,
            self.fields.rejected_layers.load(Relaxed),
            served,
            self.fields.own_decisions.lock().clone(),
        )
    }

    /// Records what a layer of the program did with the request. Replaces its earlier decision.
    ///
    /// The name is the layer's own, in letters, digits and underscores. A request has at most 16 such
    /// decisions. Later ones are dropped.
    pub fn add_decision(&self, layer: &'static str, decision: Decision) {
        let mut own = self.fields.own_decisions.lock();
        if let Some((_, earlier)) = own.iter_mut().find(|(name, _)| *name == layer) {
            *earlier = decision;
        } else if own.len() < MAX_OWN {
            own.push((layer, decision));
        }
    }

    /// Records that a layer passed the request on.
    pub(crate) fn pass(&self, layer: Layer) {
        self.fields.passed_layers.fetch_or(layer.bit(), Relaxed);
    }

    /// Records that a layer rejected the request.
    pub(crate) fn reject(&self, layer: Layer) {
        self.fields.rejected_layers.fetch_or(layer.bit(), Relaxed);
    }

    /// Returns the bits of the layers that have passed the request on. Some are seen from their calls.
    pub(super) fn passed_layers(&self) -> u32 {
        let mut passed = self.fields.passed_layers.load(Relaxed);
        let mut add = |calls: u32, layer: Layer| {
            if calls > 0 {
                passed |= layer.bit();
            }
        };
        add(self.fields.upstream_calls.load(Relaxed), Layer::Upstream);
        add(self.fields.origin_calls.load(Relaxed), Layer::HfToken);
        #[cfg(feature = "fallback")]
        add(self.fields.fallback_calls.load(Relaxed), Layer::Fallback);
        passed
    }

    /// Copies the decisions about an upstream call that several requests share.
    #[cfg(feature = "cache")]
    pub(super) fn adopt_decisions(&self, call: &Self) {
        self.fields.passed_layers.fetch_or(call.passed_layers(), Relaxed);
        self.fields.rejected_layers.fetch_or(call.fields.rejected_layers.load(Relaxed), Relaxed);
        let own = call.fields.own_decisions.lock().clone();
        own.into_iter().for_each(|(layer, decision)| self.add_decision(layer, decision));
    }
}
