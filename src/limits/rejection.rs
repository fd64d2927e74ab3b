//! The rejection of a request that exceeds a limit.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;

use super::{
    kind::{Allowance, AllowanceKind, Period, Unit},
    limit_set::LimitSet,
    store::{Decision, PermitRequest, StoreUnavailable},
};
use crate::{
    context::RequestContext,
    rejection::{Refusal, Rejection},
};

/// A client retries after this time when the store is away. The store itself retries as often.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);

impl LimitSet {
    /// Counts the store's decision and records it in the context. Returns the decision of a request
    /// that passes, or `None` where the store made none.
    ///
    /// # Errors
    ///
    /// The rejection of a request that does not pass.
    pub(crate) fn check<'a>(
        &self,
        requests: &[PermitRequest],
        decision: Result<&'a Decision, &StoreUnavailable>,
        context: &RequestContext,
    ) -> Result<Option<&'a Decision>, Rejection> {
        let rejection = match decision {
            Ok(decision) => self.rejection(requests, decision, context),
            Err(StoreUnavailable) => self.unavailable(),
        };
        rejection.map_or(Ok(decision.ok()), Err)
    }

    fn rejection(
        &self,
        requests: &[PermitRequest],
        decision: &Decision,
        context: &RequestContext,
    ) -> Option<Rejection> {
        let (mut first, mut never) = (None, None);
        let mut wait = Duration::ZERO;
        for ((limit, request), outcome) in
            self.limits().iter().zip(requests).zip(&decision.outcomes)
        {
            limit.counters.count(outcome.allows, request.enforced, decision.passes);
            if outcome.allows {
                continue;
            }
            if request.enforced {
                if request.allowance.never_allows(request.cost) {
                    never = never.or(Some((limit, request)));
                }
                first = first.or(Some((limit, request, outcome)));
                wait = wait.max(outcome.retry_after);
            } else {
                context.set_shadow_limited_by(Arc::clone(&limit.name));
            }
        }
        if decision.passes {
            return None;
        }
        let Some((limit, request, outcome)) = first else {
            return Some(Rejection::new(Refusal::Throttled).with_retry_after(wait));
        };
        if let Some((limit, request)) = never {
            context.set_limited_by(Arc::clone(&limit.name));
            let rejection = Rejection::new(Refusal::ExceedsLimit);
            return Some(if limit.settings.shown {
                rejection.with_detail(exceeds_detail(self.unit(), request))
            } else {
                rejection
            });
        }
        context.set_limited_by(Arc::clone(&limit.name));
        let refusal = match request.allowance.0 {
            AllowanceKind::Quota(_) => Refusal::QuotaExceeded,
            AllowanceKind::Rate(_) | AllowanceKind::Failures(_) | AllowanceKind::Concurrency(_) => {
                Refusal::Throttled
            }
        };
        let mut rejection = Rejection::new(refusal).with_retry_after(wait);
        if limit.settings.shown {
            let detail = limit_detail(self.unit(), request.allowance, outcome.capacity);
            rejection = rejection.with_detail(detail);
        }
        if let Some(headers) = self.response_headers(requests, decision) {
            let mut map = HeaderMap::new();
            headers.write(false, &mut map);
            for (name, value) in &map {
                rejection = rejection.with_header(name.clone(), value.clone());
            }
        }
        Some(rejection)
    }

    /// Returns the rejection while the store is away, or `None` where all limits are in shadow.
    fn unavailable(&self) -> Option<Rejection> {
        let enforced = self.limits().iter().any(|limit| limit.settings.enforced);
        enforced.then(|| {
            Rejection::new(Refusal::ThrottleUnavailable).with_retry_after(RETRY_UNAVAILABLE)
        })
    }
}

/// Explains why a request can never pass.
fn exceeds_detail(unit: Unit, request: &PermitRequest) -> String {
    let (cost, capacity) = (unit.count(request.cost), unit.count(request.allowance.capacity()));
    match unit {
        Unit::Requests => {
            format!("this costs {cost} and the limit never allows more than {capacity} at once")
        }
        Unit::Tokens => format!(
            "the prompt and the output limit may take {cost} and the budget is at most {capacity}: send \
             a shorter prompt or a smaller output limit"
        ),
    }
}

/// Describes the limit that rejects a request.
fn limit_detail(unit: Unit, allowance: Allowance, capacity: u64) -> String {
    match allowance.0 {
        AllowanceKind::Rate(rate) | AllowanceKind::Failures(rate) => {
            let (permits, period) = rate.permits();
            let period = match period.as_secs() {
                1 => "a second",
                60 => "a minute",
                3_600 => "an hour",
                _ => "a day",
            };
            let count = unit.count(permits.into());
            match rate.capacity() {
                burst if burst == permits => format!("at most {count} {period}"),
                burst => format!("at most {count} {period}, {burst} at once"),
            }
        }
        AllowanceKind::Quota(quota) => {
            let period = match quota.period() {
                Period::Day => "a day",
                Period::Week => "a week",
                Period::Month => "a month",
            };
            format!("the quota of {} {period} is used up", unit.count(capacity))
        }
        AllowanceKind::Concurrency(concurrency) => {
            format!("at most {} at a time", unit.count(concurrency.max().into()))
        }
    }
}
