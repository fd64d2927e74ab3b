//! Why a token is rejected (RFC 6750 section 3, RFC 9449 section 7.1).

use std::{borrow::Cow, time::Duration};

use super::confirmation::ProofFailure;
use crate::{
    auth::{
        failure::Failure,
        keys::{KeysError, KeysFault, KeysUnavailable},
    },
    rejection::{Refusal, Rejection},
};

/// The reason that a request is rejected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AuthFailure {
    MissingCredentials,
    MultipleCredentials,
    KeysUnavailable(KeysUnavailable),
    /// The token has no valid form. The reasons of this and of the next three are for the log. Clients
    /// receive the same response for all of these failures.
    InvalidToken(&'static str),
    /// The algorithm is unknown or not accepted.
    Algorithm(&'static str),
    /// No issuer has the `iss` of the token, whose signature is not verified.
    UnknownIssuer,
    /// No key of the issuer verifies the token.
    Unverified(&'static str),
    /// The signature is valid and the issuer is another one.
    OtherIssuer,
    /// The signature is valid and the token is for another service.
    OtherAudience,
    /// The signature is valid and this part of the token is not.
    InvalidClaim(Cow<'static, str>),
    Expired,
    MissingScope {
        missing: Box<str>,
        /// The required scopes as one list.
        required: Box<str>,
    },
    Revoked,
    /// The token is bound to a key that the client has not proved.
    Unconfirmed(Unconfirmed),
}

/// Why a client is not confirmed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unconfirmed {
    /// The token is bound in a way that this service cannot check.
    Unsupported,
    /// The token is bound to a key and was sent with the scheme `Bearer`.
    SentAsBearer,
    /// The token is not bound to a key and was sent with the scheme `DPoP`.
    SentAsDpop,
    /// The connection has no client certificate or another one.
    Certificate,
    Proof(ProofFailure),
}

impl AuthFailure {
    /// Returns whether no token is at fault.
    pub(super) const fn is_without_token(&self) -> bool {
        matches!(
            self,
            Self::MissingCredentials | Self::MultipleCredentials | Self::KeysUnavailable(_)
        )
    }

    /// Returns the reason for the log.
    pub(super) fn reason(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::MissingCredentials => "no token",
            Self::MultipleCredentials => MULTIPLE_CREDENTIALS,
            Self::KeysUnavailable(_) => "no keys",
            Self::InvalidToken(reason) | Self::Algorithm(reason) | Self::Unverified(reason) => {
                reason
            }
            Self::UnknownIssuer => "no issuer has the `iss` of the token",
            Self::OtherIssuer => OTHER_ISSUER,
            Self::OtherAudience => OTHER_AUDIENCE,
            Self::InvalidClaim(reason) => return reason.clone(),
            Self::Expired => EXPIRED,
            Self::MissingScope { missing, .. } => return missing_scope(missing).into(),
            Self::Revoked => REVOKED,
            Self::Unconfirmed(unconfirmed) => return unconfirmed.detail(),
        })
    }

    pub(super) fn failure(&self) -> Failure {
        let (refusal, error) = match self {
            // A request without credentials gets no error code (RFC 6750 section 3.1).
            Self::MissingCredentials => {
                return Failure::bearer(Rejection::new(Refusal::MissingCredentials), None);
            }
            Self::KeysUnavailable(KeysUnavailable { retry_after, cause }) => {
                return Rejection::new(Refusal::IdentityProviderUnavailable)
                    .with_detail(unavailable_detail(cause.as_ref()))
                    .with_retry_after(*retry_after)
                    .into();
            }
            Self::InvalidToken(_)
            | Self::Algorithm(_)
            | Self::UnknownIssuer
            | Self::Unverified(_) => {
                return Failure::invalid_bearer();
            }
            Self::Unconfirmed(unconfirmed) => return unconfirmed.failure(),
            Self::MultipleCredentials => (Refusal::InvalidRequest, "invalid_request"),
            Self::OtherIssuer | Self::OtherAudience | Self::InvalidClaim(_) | Self::Revoked => {
                (Refusal::InvalidToken, "invalid_token")
            }
            Self::Expired => (Refusal::ExpiredToken, "invalid_token"),
            Self::MissingScope { .. } => (Refusal::InsufficientScope, "insufficient_scope"),
        };
        let rejection = Rejection::new(refusal).with_detail(self.reason());
        let failure = Failure::bearer(rejection, Some(error));
        match self {
            Self::MissingScope { required, .. } => failure.scope(required),
            _ => failure,
        }
    }
}

impl Unconfirmed {
    fn detail(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Unsupported => "claim `cnf` binds the token in a way that is not supported",
            Self::SentAsBearer => {
                "the token is bound to a key: send it as `authorization: DPoP TOKEN` with a proof"
            }
            Self::SentAsDpop => {
                "the token is not bound to a key: send it as `authorization: Bearer TOKEN`"
            }
            Self::Certificate => "the connection does not have the client certificate of the token",
            Self::Proof(ProofFailure::Missing) => "the header `DPoP` with a proof is missing",
            Self::Proof(ProofFailure::Full) => "too many proofs are in use; retry later",
            Self::Proof(ProofFailure::Invalid(reason)) => {
                return format!("the proof in `DPoP` is invalid: {reason}").into();
            }
        })
    }

    fn failure(self) -> Failure {
        let (refusal, scheme, error) = match self {
            Self::Proof(ProofFailure::Full) => {
                return Rejection::new(Refusal::Overloaded)
                    .with_detail(self.detail())
                    .with_retry_after(Duration::from_secs(1))
                    .into();
            }
            Self::Unsupported | Self::SentAsDpop | Self::Certificate => {
                (Refusal::InvalidToken, "Bearer", "invalid_token")
            }
            Self::SentAsBearer => (Refusal::InvalidToken, "DPoP", "invalid_token"),
            Self::Proof(_) => (Refusal::InvalidToken, "DPoP", "invalid_dpop_proof"),
        };
        Failure::challenge(Rejection::new(refusal).with_detail(self.detail()), scheme, Some(error))
    }
}

const MULTIPLE_CREDENTIALS: &str =
    "expected one `authorization` header with exactly one bearer token";
const EXPIRED: &str = "the bearer token has expired";
const OTHER_ISSUER: &str = "claim `iss` is not the expected issuer";
const OTHER_AUDIENCE: &str = "claim `aud` does not name this service";
const REVOKED: &str = "the token is revoked";

fn missing_scope(scope: &str) -> String {
    format!("missing scope `{scope}`")
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
