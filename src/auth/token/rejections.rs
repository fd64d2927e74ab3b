//! Rejections of one verifier and their challenges (RFC 6750 section 3).

use std::fmt::Write as _;

use http::{HeaderValue, header::WWW_AUTHENTICATE};

use crate::{
    auth::keys::{KeysError, KeysFault, KeysUnavailable},
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

/// Writes the rejections of one verifier.
pub(super) struct RejectionWriter {
    realm: Option<Box<str>>,
    /// The required scopes as one list.
    scope: String,
    tenant_claim: String,
}

impl RejectionWriter {
    pub(super) fn new(realm: Option<Box<str>>, scopes: &[Box<str>], tenant: Option<&str>) -> Self {
        let tenant_claim = tenant.map(without_illegal).unwrap_or_default();
        Self { realm, scope: scopes.join(" "), tenant_claim }
    }

    pub(super) fn rejection(&self, failure: AuthFailure<'_>) -> Rejection {
        let (refusal, error, detail) = match failure {
            // A request without credentials gets no error code (RFC 6750 section 3.1).
            AuthFailure::MissingCredentials => {
                return Rejection::new(Refusal::MissingCredentials)
                    .with_detail("send a token in the header `authorization: Bearer TOKEN`")
                    .with_header(WWW_AUTHENTICATE, self.challenge(&[]));
            }
            AuthFailure::KeysUnavailable(KeysUnavailable { retry_after, cause }) => {
                return Rejection::new(Refusal::IdentityProviderUnavailable)
                    .with_detail(unavailable_detail(cause.as_ref()))
                    .with_retry_after(retry_after);
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
        let mut parameters = vec![("error", error), ("error_description", detail.as_str())];
        if refusal == Refusal::InsufficientScope {
            parameters.push(("scope", self.scope.as_str()));
        }
        let challenge = self.challenge(&parameters);
        Rejection::new(refusal).with_detail(detail).with_header(WWW_AUTHENTICATE, challenge)
    }

    /// Writes the value of `www-authenticate`.
    fn challenge(&self, parameters: &[(&str, &str)]) -> HeaderValue {
        let realm = self.realm.as_deref().map(|realm| ("realm", realm));
        let mut value = String::from("Bearer");
        for (index, (name, parameter)) in realm.iter().chain(parameters).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _infallible = write!(value, "{comma} {name}=\"{parameter}\"");
        }
        HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("Bearer"))
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

/// Removes the characters that a quoted parameter must not contain. RFC 6750 section 3 allows
/// %x20-21, %x23-5B and %x5D-7E.
fn without_illegal(text: &str) -> String {
    text.chars().filter(|char| matches!(char, ' '..='~') && !matches!(char, '"' | '\\')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_claim_cannot_end_its_quotes() {
        let writer = RejectionWriter::new(None, &[], Some("x\", error=\"\r\n\\\u{e9}"));
        let rejection = writer.rejection(AuthFailure::InvalidTenant);
        assert_eq!(rejection.detail(), "claim `x, error=` is not a non-empty string");
    }

    #[test]
    fn challenge_lists_realm_and_parameters() {
        let writer = RejectionWriter::new(Some("eu".into()), &["a".into(), "b".into()], None);
        assert_eq!(writer.challenge(&[]), r#"Bearer realm="eu""#);
        let challenge = writer.challenge(&[("error", "x"), ("scope", &writer.scope)]);
        assert_eq!(challenge, r#"Bearer realm="eu", error="x", scope="a b""#);
    }
}
