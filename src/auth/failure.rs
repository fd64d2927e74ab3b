//! A rejection before the layer has added its challenge.

use std::fmt::Write as _;

use http::{HeaderValue, header::WWW_AUTHENTICATE};

use crate::rejection::{Refusal, Rejection};

/// Why a request is rejected. The layer adds the challenge with its realm (RFC 9110 section 11.6.1).
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    rejection: Rejection,
    challenge: Option<Challenge>,
    /// Schemes that the client may use as well.
    alternatives: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Challenge {
    scheme: &'static str,
    /// An error code of RFC 6750 section 3.1.
    error: Option<&'static str>,
    /// The scopes that the request needs, as one list.
    scope: Option<Box<str>>,
}

impl Failure {
    /// Challenges the client to send a bearer token. `error` is a code of RFC 6750 section 3.1.
    pub(super) const fn bearer(rejection: Rejection, error: Option<&'static str>) -> Self {
        Self::challenge(rejection, "Bearer", error)
    }

    /// Challenges the client to use `scheme`.
    pub(super) const fn challenge(
        rejection: Rejection,
        scheme: &'static str,
        error: Option<&'static str>,
    ) -> Self {
        let challenge = Some(Challenge { scheme, error, scope: None });
        Self { rejection, challenge, alternatives: Vec::new() }
    }

    /// Adds challenges to use another scheme, without an error code.
    pub(super) fn or(mut self, schemes: impl IntoIterator<Item = &'static str>) -> Self {
        self.alternatives.extend(schemes);
        self
    }

    /// Names the scopes that the request needs.
    pub(super) fn scope(mut self, scope: &str) -> Self {
        if let Some(challenge) = &mut self.challenge {
            challenge.scope = Some(scope.into());
        }
        self
    }

    pub(super) const fn refusal(&self) -> Refusal {
        self.rejection.refusal()
    }

    /// Returns the same response for each bearer credential that proves nothing.
    pub(super) fn invalid_bearer() -> Self {
        let rejection = Rejection::new(Refusal::InvalidToken).with_detail("invalid bearer token");
        Self::bearer(rejection, Some("invalid_token"))
    }

    /// Rejects a request with credentials at several places.
    pub(super) fn second_credential() -> Self {
        Self::multiple_credentials("expected one credential")
    }

    /// Rejects a request with several credentials (RFC 6750 section 3.1).
    pub(super) fn multiple_credentials(detail: &'static str) -> Self {
        let rejection = Rejection::new(Refusal::InvalidRequest).with_detail(detail);
        Self::bearer(rejection, Some("invalid_request"))
    }
}

/// A rejection without a challenge.
impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self { rejection, challenge: None, alternatives: Vec::new() }
    }
}

/// The parameters of every challenge of a layer.
#[derive(Clone, Debug, Default)]
pub(super) struct ChallengeParameters {
    pub(super) realm: Option<Box<str>>,
    /// The address of the protected resource's metadata (RFC 9728 section 5.1).
    pub(super) resource_metadata: Option<Box<str>>,
}

impl ChallengeParameters {
    /// Adds the challenge to a rejection.
    pub(super) fn complete(&self, failure: Failure) -> Rejection {
        let Failure { rejection, challenge, alternatives } = failure;
        let Some(challenge) = challenge else { return rejection };
        let value = self.write(&challenge, rejection.detail());
        let rejection = rejection.with_header(WWW_AUTHENTICATE, value);
        alternatives.into_iter().fold(rejection, |rejection, scheme| {
            let value = self.write(&Challenge { scheme, error: None, scope: None }, "");
            rejection.with_header(WWW_AUTHENTICATE, value)
        })
    }

    fn write(&self, challenge: &Challenge, detail: &str) -> HeaderValue {
        let detail = without_illegal(detail);
        let description = challenge.error.map(|_| detail.as_str());
        let parameters = [
            ("realm", self.realm.as_deref()),
            ("error", challenge.error),
            ("error_description", description),
            ("scope", challenge.scope.as_deref()),
            ("resource_metadata", self.resource_metadata.as_deref()),
        ];
        let mut value = String::from(challenge.scheme);
        let mut comma = "";
        for (name, parameter) in parameters {
            if let Some(parameter) = parameter {
                let _infallible = write!(value, "{comma} {name}=\"{parameter}\"");
                comma = ",";
            }
        }
        HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// Returns true for a byte that needs no escape in a challenge: %x20-21, %x23-5B and %x5D-7E (RFC
/// 6750 section 3).
pub(super) const fn is_challenge_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Removes the characters that a quoted parameter must not contain.
fn without_illegal(text: &str) -> String {
    text.chars().filter(|char| char.is_ascii() && is_challenge_byte(*char as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenge_lists_realm_error_scopes_and_metadata() {
        let of = |parameters: &ChallengeParameters, failure: Failure| {
            let challenge = failure.challenge?;
            let value = parameters.write(&challenge, failure.rejection.detail());
            Some(value.to_str().unwrap().to_owned())
        };
        let none = ChallengeParameters::default();
        let missing = Rejection::new(Refusal::MissingCredentials);
        assert_eq!(of(&none, Failure::bearer(missing.clone(), None)).unwrap(), "Bearer");
        assert_eq!(of(&none, missing.clone().into()), None);
        let all = ChallengeParameters {
            realm: Some("eu".into()),
            resource_metadata: Some("https://a.example/.well-known/x".into()),
        };
        assert_eq!(
            of(&all, Failure::bearer(missing, Some("invalid_token")).scope("a b")).unwrap(),
            concat!(
                r#"Bearer realm="eu", error="invalid_token", "#,
                r#"error_description="Credentials are missing", scope="a b", "#,
                r#"resource_metadata="https://a.example/.well-known/x""#,
            )
        );
    }

    #[test]
    fn a_description_cannot_end_its_quotes() {
        assert_eq!(without_illegal("x\", error=\"\r\n\\\u{e9}"), "x, error=");
    }
}
