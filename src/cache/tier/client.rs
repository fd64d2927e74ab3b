use std::{fmt, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    codec::{Clocks, Epochs, MAX_LIFE, encode, monotonic},
    seal::{OVERHEAD, Purpose, RecordName, key_secret, random},
    second_tier::SecondTier,
    state::TierState,
    tier::{LeaseResult, TierFuture},
};
use crate::{
    cache::{
        entry::{Entry, Origin},
        key::{EntryKey, Key, KeySecret, Tag, Variant},
        policy::CacheControl,
    },
    clock::SharedClock,
};

/// The client of a [`SecondTier`]. Clones share its state.
#[derive(Clone)]
pub(crate) struct TierClient(Arc<TierState>);

/// The time between two lookups for a response that another replica fetches.
const LOOKUP_INTERVAL: Duration = Duration::from_millis(50);

/// A lookup in the second tier.
pub(crate) struct TierLookup {
    pub(crate) key: EntryKey,
    pub(crate) control: CacheControl,
    /// The origin of the response if it is not found: its counters and its validity.
    pub(crate) origin: Origin,
    pub(crate) clock: SharedClock,
}

pub(crate) enum TierResult {
    Found(Entry),
    NotFound(UpstreamLease),
}

/// The permission to call the upstream. Its drop lets another replica call it.
pub(crate) struct UpstreamLease {
    /// An entry that can replace an error.
    pub(crate) fallback: Option<Entry>,
    client: TierClient,
    clock: SharedClock,
    name: RecordName,
    /// The epochs from before the request goes upstream.
    epochs: Option<Epochs>,
    holder: Option<[u8; 16]>,
}

impl TierClient {
    pub(crate) fn new(settings: &SecondTier) -> Self {
        Self(Arc::new(TierState::new(settings)))
    }

    /// Returns the secret that makes the same keys in all replicas.
    pub(crate) fn key_secret(settings: &SecondTier) -> KeySecret {
        KeySecret::new(&*key_secret(&settings.secret))
    }

    /// Looks for an entry. Waits for it if another replica fetches the response.
    pub(crate) fn find(&self, lookup: TierLookup) -> TierFuture<TierResult> {
        let client = self.clone();
        Box::pin(async move { client.find_or_lease(&lookup).await })
    }

    /// Invalidates all variants of an entry.
    pub(crate) fn invalidate(&self, key: Key) {
        for variant in Variant::ALL {
            self.0.invalidate(self.0.seal.entry_name((key, variant)), Purpose::Entry);
        }
    }

    /// Invalidates all entries of a tag, or all entries without one.
    pub(crate) fn invalidate_tag(&self, tag: Option<Tag>) {
        self.0.invalidate(self.0.seal.epoch_name(tag), Purpose::Epoch);
    }

    async fn find_or_lease(self, lookup: &TierLookup) -> TierResult {
        let state = &self.0;
        let name = state.seal.entry_name(lookup.key);
        let mut upstream = UpstreamLease {
            fallback: None,
            client: self.clone(),
            clock: lookup.clock.clone(),
            name,
            epochs: None,
            holder: None,
        };
        if let Some(entry) = upstream.read(lookup).await {
            return TierResult::Found(entry);
        }
        // A request that accepts no entry does not wait for one.
        let timeout = state.lease_timeout.filter(|_| !lookup.control.no_cache);
        let Some((timeout, holder)) = timeout.zip(random()) else {
            return TierResult::NotFound(upstream);
        };
        // Set before the lease is granted, so that it is released if this future is dropped.
        upstream.holder = Some(holder);
        let lookups = timeout.as_millis().div_ceil(LOOKUP_INTERVAL.as_millis());
        for _ in 0..lookups {
            let lease = state.tier.lease(name, holder, timeout).await;
            if lease == LeaseResult::Taken {
                sleep(LOOKUP_INTERVAL.min(timeout)).await;
            }
            // Also with the lease: its previous holder may have stored the response.
            if let Some(entry) = upstream.read(lookup).await {
                return TierResult::Found(entry);
            }
            if lease == LeaseResult::Granted {
                return TierResult::NotFound(upstream);
            }
        }
        TierResult::NotFound(upstream)
    }
}

impl fmt::Debug for TierClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TierClient").field(&self.0.tier).finish()
    }
}

// === impl UpstreamLease ===

impl UpstreamLease {
    /// Reads the entry. Returns it if the request accepts it.
    async fn read(&mut self, lookup: &TierLookup) -> Option<Entry> {
        let (found, epochs) = self.client.0.read(&self.name, &lookup.origin, &lookup.clock).await;
        self.epochs = epochs;
        let entry = found?;
        if lookup.control.accepts(&entry, monotonic(&self.clock)) {
            return Some(entry);
        }
        self.fallback = lookup.control.accepts_stale().then_some(entry);
        None
    }

    /// Stores the upstream's response in the tier.
    pub(crate) fn store(self, entry: &Entry) {
        let Some(epochs) = &self.epochs else { return };
        let TierState { tier, seal, .. } = &*self.client.0;
        let now = Clocks::now(&self.clock);
        let max_length = tier.max_value_bytes().saturating_sub(OVERHEAD);
        let body = encode(entry, epochs, now, max_length);
        let sealed = body.and_then(|body| seal.seal(Purpose::Entry, &self.name, &body));
        if let Some(sealed) = sealed {
            let ttl = entry.lifetime.expires.saturating_sub(now.monotonic).min(MAX_LIFE);
            drop(tier.put(self.name, sealed, ttl));
        }
    }
}

impl Drop for UpstreamLease {
    fn drop(&mut self) {
        if let Some(holder) = self.holder {
            self.client.0.tier.release(self.name, holder);
        }
    }
}

impl fmt::Debug for UpstreamLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamLease")
            .field("leased", &self.holder.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
