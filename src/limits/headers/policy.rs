use http::HeaderValue;

use super::text::HeaderText;
use crate::limits::{
    configured::ConfiguredLimit,
    kind::{Allowance, AllowanceKind, Unit},
    store::PermitRequest,
};

/// The most combinations of tiers whose header is prepared.
const MAX_PREPARED: usize = 256;

/// Values of `ratelimit-policy` that are written beforehand.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicyHeader {
    // One for each combination of tiers of the limits that are shown. The index of a combination is a
    // number in a mixed base, with the first limit's tier as the lowest digit. Empty where there are
    // too many combinations.
    values: Vec<Option<HeaderValue>>,
}

impl PolicyHeader {
    pub(super) fn new(limits: &[ConfiguredLimit], unit: Unit) -> Self {
        let shown = || limits.iter().filter(|limit| limit.is_shown());
        let count = shown()
            .try_fold(1_usize, |count, limit| count.checked_mul(limit.allowance_count()))
            .filter(|count| *count <= MAX_PREPARED);
        let write = |mut index: usize| {
            let mut text = HeaderText::default();
            for limit in shown() {
                let tier = (index % limit.allowance_count()).checked_sub(1);
                index /= limit.allowance_count();
                let (allowance, _) = limit.allowance(tier);
                text.policy(&limit.label, allowance, plain_limit(allowance), unit);
            }
            // The first clone turns the value into a shared one.
            text.value().inspect(|value| drop(value.clone()))
        };
        Self { values: (0..count.unwrap_or_default()).map(write).collect() }
    }

    /// Returns the value for the tiers of these requests.
    pub(super) fn of(
        &self,
        limits: &[ConfiguredLimit],
        requests: &[PermitRequest],
    ) -> Option<HeaderValue> {
        if self.values.is_empty() {
            return None;
        }
        let (mut index, mut unit) = (0, 1);
        for (limit, request) in limits.iter().zip(requests).filter(|(limit, _)| limit.is_shown()) {
            index += unit * limit.tier_of(request).map_or(0, |tier| usize::from(tier) + 1);
            unit *= limit.allowance_count();
        }
        self.values.get(index)?.clone()
    }
}

/// Returns the limit of a quota in each window but the first.
pub(super) const fn plain_limit(allowance: Allowance) -> Option<u64> {
    match allowance.0 {
        AllowanceKind::Quota(quota) => Some(quota.limit()),
        AllowanceKind::Rate(_) | AllowanceKind::Failures(_) | AllowanceKind::Concurrency(_) => None,
    }
}
