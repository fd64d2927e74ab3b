//! Limits that count failed authentications alone.

use http::Response;
use smallvec::SmallVec;

use super::{
    ask::{Asks, Decision, Settlement},
    limits::Limits,
};
use crate::rejection::{Refusal, Rejection};

/// What an answer that refuses the credentials is charged with, by the limits that count these. What
/// parallel attempts take beyond what was left is debt.
pub(super) fn charge(
    limits: &Limits,
    asks: &Asks,
    decision: &Decision,
) -> SmallVec<[Settlement; 1]> {
    let asked = limits.held().iter().zip(asks).zip(&decision.standings);
    asked
        .filter(|((held, _), _)| held.limit.counts_failures())
        .map(|((_, ask), standing)| Settlement {
            key: ask.key,
            overflow: ask.overflow,
            allowance: ask.allowance,
            window: standing.window,
            permits: 1,
        })
        .collect()
}

/// Whether the answer says that credentials came, and did not hold.
pub(super) fn refused_credentials<R>(response: &Response<R>) -> bool {
    let rejection = response.extensions().get::<Rejection>();
    rejection.is_some_and(|rejection| is_failure(rejection.refusal()))
}

/// None at all are no guess; that a scope is missing is said of credentials that hold.
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
