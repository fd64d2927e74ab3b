//! Why a token is rejected (RFC 6750 section 3).

use crate::{
    auth::{
        failure::Failure,
        keys::{KeysError, KeysFault, KeysUnavailable},
    },
    rejection::{Refusal, Rejection},
};

/// The reason that a request is rejected. `'a` is the lifetime of the settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AuthFailure<'a> {
    MissingCredentials,
    MultipleCredentials,
    /// Any failure before the signature is verified. The reason is for the log. Clients receive the
    /// same response for all of these failures.
    InvalidToken(&'static str),
    /// The signature is valid and this part of the token is not.
    InvalidClaim(&'static str),
    /// The signature is valid and this claim does not have the expected type.
    WrongType {
        claim: &'static str,
        expected: &'static str,
    },
    /// The signature is valid and the tenant claim is not a name.
    InvalidTenant,
    Expired,
    MissingScope(&'a str),
    KeysUnavailable(KeysUnavailable),
}

impl AuthFailure<'_> {
    /// Returns the reason for the log.
    pub(super) const fn reason(&self) -> &'static str {
        match *self {
            Self::MissingCredentials => "no bearer token",
            Self::MultipleCredentials => MULTIPLE_CREDENTIALS,
            Self::InvalidToken(reason) | Self::InvalidClaim(reason) => reason,
            Self::WrongType { claim, .. } => claim,
            Self::InvalidTenant => "invalid tenant claim",
            Self::Expired => EXPIRED,
            Self::MissingScope(_) => "missing scope",
            Self::KeysUnavailable(_) => "no keys",
        }
    }
}

const MULTIPLE_CREDENTIALS: &str =
    "expected one `authorization` header with exactly one bearer token";
const EXPIRED: &str = "the bearer token has expired";

/// Writes the failures of one verifier.
pub(super) struct FailureWriter {
    /// The required scopes as one list.
    scope: String,
    tenant_claim: String,
}

impl FailureWriter {
    pub(super) fn new(scopes: &[Box<str>], tenant: Option<&str>) -> Self {
        Self { scope: scopes.join(" "), tenant_claim: tenant.unwrap_or_default().to_owned() }
    }

    pub(super) fn failure(&self, failure: AuthFailure<'_>) -> Failure {
        let (refusal, error, detail) = match failure {
            // A request without credentials gets no error code (RFC 6750 section 3.1).
            AuthFailure::MissingCredentials => {
                return Failure::bearer(Rejection::new(Refusal::MissingCredentials), None);
            }
            AuthFailure::KeysUnavailable(KeysUnavailable { retry_after, cause }) => {
                return Rejection::new(Refusal::IdentityProviderUnavailable)
                    .with_detail(unavailable_detail(cause.as_ref()))
                    .with_retry_after(retry_after)
                    .into();
            }
            AuthFailure::MultipleCredentials => {
                (Refusal::InvalidRequest, "invalid_request", MULTIPLE_CREDENTIALS.to_owned())
            }
            AuthFailure::InvalidToken(_) => {
                (Refusal::InvalidToken, "invalid_token", "invalid bearer token".to_owned())
            }
            AuthFailure::InvalidClaim(reason) => {
                (Refusal::InvalidToken, "invalid_token", reason.to_owned())
            }
            AuthFailure::WrongType { claim, expected } => (
                Refusal::InvalidToken,
                "invalid_token",
                format!("claim `{claim}` is not {expected}"),
            ),
            AuthFailure::InvalidTenant => (
                Refusal::InvalidToken,
                "invalid_token",
                format!("claim `{}` is not a non-empty string", self.tenant_claim),
            ),
            AuthFailure::Expired => (Refusal::ExpiredToken, "invalid_token", EXPIRED.to_owned()),
            AuthFailure::MissingScope(scope) => (
                Refusal::InsufficientScope,
                "insufficient_scope",
                format!("missing scope `{scope}`"),
            ),
        };
        let failure = Failure::bearer(Rejection::new(refusal).with_detail(detail), Some(error));
        if refusal == Refusal::InsufficientScope { failure.scope(&self.scope) } else { failure }
    }
}

/// Tells the client why there are no keys. The operator's log has the exact error.
const fn unavailable_detail(cause: Option<&KeysError>) -> &'static str {
    match cause {
        Some(KeysError { fault: KeysFault::Busy, .. }) => {
            "too many requests are waiting for the identity provider's keys; retry later"
        }
        Some(cause) if cause.is_bad_response() => {
            "the identity provider's response has no usable keys; retry later"
        }
        Some(_) => "the identity provider cannot be reached; retry later",
        None => "the identity provider's keys are not loaded yet; retry later",
    }
}
