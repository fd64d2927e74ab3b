use std::sync::Arc;

use super::{
    counts::LimitCounters,
    headers::quoted_name,
    kind::{Allowance, AllowanceKind, Period, Unit},
    limit::Limit,
    store::PermitRequest,
    subject::{CountBy, CounterHasher, CounterKey},
};
use crate::context::RequestHead;

/// A limit of a layer with its keys and its counts.
#[derive(Clone, Debug)]
pub(crate) struct ConfiguredLimit {
    pub(crate) settings: Limit,
    pub(crate) name: Arc<str>,
    pub(crate) counters: Arc<LimitCounters>,
    /// Whether the limit before this one counts by the same subject.
    pub(crate) shares_subject: bool,
    /// The hash that is the same for the subjects of all requests.
    pub(crate) constant: CounterKey,
    /// The name as response headers quote it.
    pub(crate) label: Box<str>,
    // For the limit's own allowance, and for that of each tier.
    key: CounterKey,
    tier_keys: Vec<CounterKey>,
}

impl ConfiguredLimit {
    /// Must get its [keys](Self::rekey) before it is used.
    pub(crate) fn new(settings: Limit, name: Arc<str>) -> Self {
        Self {
            label: quoted_name(&name).into(),
            settings,
            name,
            counters: Arc::default(),
            shares_subject: false,
            constant: CounterKey(0),
            key: CounterKey(0),
            tier_keys: Vec::new(),
        }
    }

    /// Makes the keys for another store, or for another place in the layer.
    pub(crate) fn rekey(&mut self, hasher: &CounterHasher, unit: Unit, before: Option<&CountBy>) {
        let key = |allowance| limit_key(hasher, unit, &self.name, allowance);
        let tiers = self.settings.tiers.iter().flat_map(|tiers| tiers.allowances());
        self.tier_keys = tiers.map(key).collect();
        self.key = key(self.settings.allowance);
        self.constant = self.settings.by.constant(hasher);
        self.shares_subject = before.is_some_and(|before| self.settings.by.is_same(before));
    }

    /// Returns the request for permits of a subject. `tier` is the index of its tier, or `None` for
    /// the limit's own allowance.
    pub(crate) fn request(
        &self,
        subject: CounterKey,
        tier: Option<usize>,
        cost: u64,
    ) -> PermitRequest {
        let (allowance, limit_key) = self.allowance(tier);
        PermitRequest {
            key: subject.of_limit(limit_key),
            overflow: limit_key,
            allowance,
            cost,
            enforced: self.settings.enforced,
        }
    }

    /// Returns the allowance of a tier and the limit's part of its keys.
    pub(crate) fn allowance(&self, tier: Option<usize>) -> (Allowance, CounterKey) {
        let tiers = self.settings.tiers.as_deref();
        let of_tier = tier
            .and_then(|index| Some((tiers?.allowances().nth(index)?, *self.tier_keys.get(index)?)));
        of_tier.unwrap_or((self.settings.allowance, self.key))
    }

    /// Returns the number of allowances: the limit's own and one for each tier.
    pub(crate) const fn allowance_count(&self) -> usize {
        self.tier_keys.len() + 1
    }

    /// Returns the index of the request's tier, or of another tier with the same allowance.
    pub(crate) fn tier_of(&self, request: &PermitRequest) -> Option<u16> {
        let tiers = self.settings.tiers.as_deref()?;
        if request.allowance == self.settings.allowance {
            return None;
        }
        let tier = tiers.allowances().position(|allowance| allowance == request.allowance)?;
        u16::try_from(tier).ok()
    }

    /// Returns the index of the caller's tier.
    pub(crate) fn tier(&self, head: &RequestHead<'_>) -> Option<usize> {
        self.settings.tiers.as_deref()?.of(head.identity()?)
    }

    /// Returns the keys of all counters that a subject may have.
    pub(crate) fn keys_of(&self, subject: CounterKey) -> Vec<CounterKey> {
        let limit_keys = std::iter::once(&self.key).chain(&self.tier_keys);
        limit_keys.map(|limit_key| subject.of_limit(*limit_key)).collect()
    }

    /// Returns whether headers may describe the limit. A tier may have a window where the limit's own
    /// allowance has none, so each request's allowance decides further.
    pub(crate) const fn is_shown(&self) -> bool {
        self.settings.shown && self.settings.enforced
    }

    /// Returns whether a request that passes may settle something later.
    pub(crate) fn needs_release(&self) -> bool {
        let own = std::iter::once(self.settings.allowance);
        let tiers = self.settings.tiers.iter().flat_map(|tiers| tiers.allowances());
        let in_flight = |allowance: Allowance| matches!(allowance.0, AllowanceKind::Concurrency(_));
        self.settings.counts_failures() || own.chain(tiers).any(in_flight)
    }
}

/// Makes the limit's part of the keys of its counters. The kind of the allowance is hashed as well: if
/// a rate becomes a quota or a day a month, the old state has no meaning.
fn limit_key(hasher: &CounterHasher, unit: Unit, name: &str, allowance: Allowance) -> CounterKey {
    let kind = match allowance.0 {
        AllowanceKind::Rate(_) | AllowanceKind::Failures(_) => "rate",
        AllowanceKind::Concurrency(_) => "concurrency",
        AllowanceKind::Quota(quota) => match quota.period() {
            Period::Day => "day",
            Period::Week => "week",
            Period::Month => "month",
        },
    };
    hasher.key([b"limit", unit.name().as_bytes(), name.as_bytes(), kind.as_bytes()])
}
