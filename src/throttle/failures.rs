//! Limits that count failed authentications alone.

use http::Response;

use crate::rejection::{Refusal, Rejection};

/// Whether the answer says that credentials came, and did not hold. None at all are no guess; that a
/// scope is missing is said of credentials that hold.
pub(super) fn refused_credentials<R>(response: &Response<R>) -> bool {
    let rejection = response.extensions().get::<Rejection>();
    rejection.is_some_and(|rejection| {
        matches!(
            rejection.refusal(),
            Refusal::InvalidRequest
                | Refusal::InvalidToken
                | Refusal::ExpiredToken
                | Refusal::InvalidApiKey
                | Refusal::InvalidSignature
        )
    })
}
