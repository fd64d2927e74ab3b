//! Limits that count failed authentications alone.

use http::Response;
use smallvec::SmallVec;

use super::{
    ask::{Asks, Decision, Settlement},
    limits::Limits,
};
use crate::rejection::{Refusal, Rejection};

/// Charges an answer that refused the credentials to the limits that count these. What parallel
/// attempts take beyond what was left is debt.
pub(super) fn charge<R>(limits: &Limits, asks: &Asks, decision: &Decision, response: &Response<R>) {
    let rejection = response.extensions().get::<Rejection>();
    if !rejection.is_some_and(|rejection| is_failure(rejection.refusal())) {
        return;
    }
    let asked = limits.held().iter().zip(asks).zip(&decision.standings);
    let counting = asked.filter(|((held, _), _)| held.limit.counts_failures());
    let settlements: SmallVec<[Settlement; 1]> = counting
        .map(|((_, ask), standing)| Settlement {
            key: ask.key,
            overflow: ask.overflow,
            allowance: ask.allowance,
            window: standing.window,
            permits: 1,
        })
        .collect();
    if !settlements.is_empty() {
        limits.store().backend().settle(&settlements);
    }
}

/// Whether credentials came, and did not hold. None at all are no guess; that a scope is missing is
/// said of credentials that hold.
const fn is_failure(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::InvalidRequest
            | Refusal::InvalidToken
            | Refusal::ExpiredToken
            | Refusal::InvalidApiKey
            | Refusal::InvalidSignature
    )
}
