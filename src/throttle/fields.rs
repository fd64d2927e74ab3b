//! What the fields of an answer tell callers of their limits.

use http::HeaderMap;

use super::{
    ask::{Asks, Decision},
    limits::Limits,
};

/// Whether [`apply`] has anything to tell of these limits.
pub(super) fn tells(_limits: &Limits) -> bool {
    false
}

/// Adds the fields: to an answer, and to those of a refusal.
pub(super) fn apply(
    _limits: &Limits,
    _asks: &Asks,
    _decision: &Decision,
    _headers: &mut HeaderMap,
) {
}
