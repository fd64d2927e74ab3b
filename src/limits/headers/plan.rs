use std::time::Duration;

use http::HeaderValue;
use smallvec::SmallVec;

use super::{
    policy::{PolicyHeader, plain_limit},
    recent::RecentValues,
    set::RateLimitHeaders,
    setting::LimitHeaders,
    text::{HeaderText, whole_seconds},
};
use crate::limits::{
    configured::ConfiguredLimit,
    kind::{AllowanceKind, Unit},
    store::{Decision, PermitOutcome, PermitRequest},
};

/// The headers that one layer sends.
#[derive(Clone, Debug)]
pub(crate) struct HeaderPlan {
    setting: LimitHeaders,
    policy: PolicyHeader,
    recent: RecentValues,
    unit: Unit,
}

/// A limit that headers describe, with what the store decided.
type Described<'a> = (&'a ConfiguredLimit, &'a PermitRequest, &'a PermitOutcome);

impl HeaderPlan {
    pub(crate) fn new(unit: Unit) -> Self {
        Self {
            setting: LimitHeaders::default(),
            policy: PolicyHeader::default(),
            recent: RecentValues::default(),
            unit,
        }
    }

    pub(crate) const fn set_setting(&mut self, setting: LimitHeaders) {
        self.setting = setting;
    }

    /// Must be called after each change of the limits.
    pub(crate) fn prepare(&mut self, limits: &[ConfiguredLimit]) {
        self.policy = PolicyHeader::new(limits, self.unit);
        // Those of the clones have the labels of before.
        self.recent = RecentValues::default();
    }

    pub(crate) fn are_sent(&self) -> bool {
        self.setting != LimitHeaders::Off
    }

    #[cfg(test)]
    pub(super) const fn policy(&self) -> &PolicyHeader {
        &self.policy
    }

    /// Returns the headers of one decision, or `None` where no limit is described.
    pub(crate) fn headers(
        &self,
        limits: &[ConfiguredLimit],
        requests: &[PermitRequest],
        decision: &Decision,
    ) -> Option<RateLimitHeaders> {
        if !self.are_sent() {
            return None;
        }
        let decided = limits.iter().zip(requests).zip(&decision.outcomes);
        let described: SmallVec<[Described<'_>; 4]> = decided
            .filter(|((limit, request), _)| limit.is_shown() && has_window(request))
            .map(|((limit, request), outcome)| (limit, request, outcome))
            .collect();
        if described.is_empty() {
            return None;
        }
        let (mut policy, mut limit, mut open_ai) = (None, None, None);
        if matches!(self.setting, LimitHeaders::RateLimit | LimitHeaders::All) {
            policy = self.policy_of(limits, requests, &described);
            limit = self.limit_of(limits, &described);
        }
        if matches!(self.setting, LimitHeaders::OpenAi | LimitHeaders::All)
            && let Some((_, request, outcome)) =
                described.iter().min_by_key(|(_, _, outcome)| outcome.remaining)
        {
            let mut text = HeaderText::default();
            text.open_ai_duration(reset_after(request, outcome));
            open_ai = text
                .value()
                .map(|reset| Box::new([outcome.capacity.into(), outcome.remaining.into(), reset]));
        }
        Some(RateLimitHeaders::new(self.unit, policy, limit, open_ai))
    }

    fn limit_of(
        &self,
        limits: &[ConfiguredLimit],
        described: &[Described<'_>],
    ) -> Option<HeaderValue> {
        let write = || {
            HeaderText::limits(described.iter().map(|(limit, request, outcome)| {
                let seconds = whole_seconds(reset_after(request, outcome));
                (&*limit.label, outcome.remaining, seconds)
            }))
        };
        // Numbers stand for a value where there is one label.
        if let ([_], [(_, request, outcome)]) = (limits, described) {
            let seconds = whole_seconds(reset_after(request, outcome));
            return self.recent.value(outcome.remaining, seconds, write);
        }
        write()
    }

    fn policy_of(
        &self,
        limits: &[ConfiguredLimit],
        requests: &[PermitRequest],
        described: &[Described<'_>],
    ) -> Option<HeaderValue> {
        // A quota's first window has another limit than the prepared value.
        let is_plain = described.iter().all(|(_, request, outcome)| {
            plain_limit(request.allowance).is_none_or(|limit| limit == outcome.capacity)
        });
        let prepared = is_plain.then(|| self.policy.of(limits, requests)).flatten();
        prepared.or_else(|| {
            let mut text = HeaderText::default();
            for (limit, request, outcome) in described {
                let capacity = Some(outcome.capacity);
                text.policy(&limit.label, request.allowance, capacity, self.unit);
            }
            text.value()
        })
    }
}

const fn has_window(request: &PermitRequest) -> bool {
    !matches!(request.allowance.0, AllowanceKind::Concurrency(_))
}

/// Returns the time until all permits are back, or until one is back if none is left.
fn reset_after(request: &PermitRequest, outcome: &PermitOutcome) -> Duration {
    let reset = outcome.reset_after;
    match request.allowance.0 {
        AllowanceKind::Rate(rate) | AllowanceKind::Failures(rate) if outcome.remaining == 0 => {
            let Some(interval) = rate.interval() else { return reset.max(outcome.retry_after) };
            let others = u64::from(rate.capacity()).saturating_sub(1).saturating_mul(interval);
            reset.saturating_sub(Duration::from_nanos(others))
        }
        _ => reset,
    }
}
