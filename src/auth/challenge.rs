//! Credentials in, challenges out (RFC 6750).

use std::fmt::Write as _;

use http::{
    HeaderMap, HeaderValue,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};

use super::{error::KeysError, fetcher::KeysUnavailable};
use crate::rejection::{Refusal, Rejection};

/// What a request says of its sender.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Credentials<'a> {
    /// Nothing, or nothing of ours.
    None,
    /// More than one thing.
    Multiple,
    /// This, of which nothing is known yet; see [`is_multiple`].
    Bearer(&'a [u8]),
}

impl<'a> Credentials<'a> {
    /// Only the `authorization` field is read (RFC 6750 section 2.1); not the form and not the query.
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let (field, more) = (fields.next(), fields.next());
        if more.is_some() {
            return Self::Multiple;
        }
        let field = field.map(HeaderValue::as_bytes).unwrap_or_default();
        let end = field.iter().position(|byte| *byte == b' ').unwrap_or(field.len());
        let (scheme, token) = field.split_at(end);
        let token = token.trim_ascii_start();
        if !scheme.eq_ignore_ascii_case(b"bearer") || token.is_empty() {
            return Self::None;
        }
        Self::Bearer(token)
    }
}

/// Whether there is more than one in what follows the scheme: a list, or words. (What else is no
/// `b64token` of RFC 6750 section 2.1 is one credential, and a bad one.)
pub(super) fn is_multiple(token: &[u8]) -> bool {
    token.iter().any(|byte| matches!(byte, b' ' | b'\t' | b','))
}

/// Why a request is refused here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AuthFailure {
    MissingCredentials,
    MultipleCredentials,
    /// Whatever holds before the signature does. The reason is for the log: all of these look the
    /// same from outside.
    Token(&'static str),
    /// The signature held, and this claim (or `typ`) does not.
    Claim(&'static str),
    /// The signature held, and this claim is not what it must be.
    WrongType(&'static str, &'static str),
    /// The signature held, and the claim that was chosen for the tenant is no name.
    Tenant,
    Expired,
    Scope,
    Unavailable(KeysUnavailable),
}

impl AuthFailure {
    /// For the log.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::MissingCredentials => "no credentials",
            Self::MultipleCredentials => "more than one",
            Self::Token(reason) => reason,
            Self::Claim(claim) | Self::WrongType(claim, _) => claim,
            Self::Tenant => "the tenant",
            Self::Expired => "exp",
            Self::Scope => "scope",
            Self::Unavailable(_) => "no keys",
        }
    }
}

/// The refusals of one verifier.
pub(super) struct Challenges {
    realm: Option<String>,
    scope: String,
    tenant: String,
}

impl Challenges {
    pub(super) fn new(realm: Option<&str>, scopes: &[Box<str>], tenant: Option<&str>) -> Self {
        let listed = scopes.iter().map(|scope| quotable(scope).replace(' ', ""));
        let listed = listed.filter(|scope| !scope.is_empty()).collect::<Vec<_>>();
        let tenant = tenant.map(quotable).unwrap_or_default();
        Self { realm: realm.map(quotable), scope: listed.join(" "), tenant }
    }

    pub(super) fn rejection(&self, failure: AuthFailure) -> Rejection {
        let (refusal, error, detail) = match failure {
            // Without an error code: nothing is wrong with what was not sent (section 3).
            AuthFailure::MissingCredentials => {
                return with_challenge(Rejection::new(Refusal::MissingCredentials), self.field(&[]));
            }
            AuthFailure::Unavailable(KeysUnavailable { retry_after, reason }) => {
                return Rejection::new(Refusal::IdentityProviderUnavailable)
                    .with_detail(unavailable_detail(reason))
                    .with_retry_after(retry_after);
            }
            AuthFailure::MultipleCredentials => (
                Refusal::InvalidRequest,
                "invalid_request",
                "there must be one authorization field with one token".to_owned(),
            ),
            AuthFailure::Token(_) => {
                (Refusal::InvalidToken, "invalid_token", "the token does not hold".to_owned())
            }
            AuthFailure::Claim(claim) => (
                Refusal::InvalidToken,
                "invalid_token",
                format!("the signature holds, {claim} does not"),
            ),
            AuthFailure::WrongType(claim, expected) => (
                Refusal::InvalidToken,
                "invalid_token",
                format!("the signature holds, {claim} is not {expected}"),
            ),
            AuthFailure::Tenant => (
                Refusal::InvalidToken,
                "invalid_token",
                format!("the signature holds, {} is not a string, or an empty one", self.tenant),
            ),
            AuthFailure::Expired => {
                (Refusal::ExpiredToken, "invalid_token", "the token has expired".to_owned())
            }
            AuthFailure::Scope => (
                Refusal::InsufficientScope,
                "insufficient_scope",
                "the token lacks a scope".to_owned(),
            ),
        };
        let mut parameters = vec![("error", error), ("error_description", detail.as_str())];
        if refusal == Refusal::InsufficientScope {
            parameters.push(("scope", self.scope.as_str()));
        }
        let field = self.field(&parameters);
        with_challenge(Rejection::new(refusal).with_detail(detail), field)
    }

    /// `Bearer`, with the realm and these parameters.
    fn field(&self, parameters: &[(&str, &str)]) -> HeaderValue {
        let realm = self.realm.as_deref().map(|realm| ("realm", realm));
        let mut field = String::from("Bearer");
        for (index, (name, value)) in realm.iter().chain(parameters).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _infallible = write!(field, "{comma} {name}=\"{value}\"");
        }
        HeaderValue::try_from(field).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// What a client is told of keys that are not there. The operator's log has the reason.
const fn unavailable_detail(reason: Option<KeysError>) -> &'static str {
    match reason {
        Some(KeysError::Busy) => "too many requests wait for the keys of the identity provider",
        Some(reason) if reason.is_of_response() => {
            "the identity provider was reached, and its response has no keys that can be used"
        }
        Some(_) => "the identity provider cannot be reached",
        None => "the keys of the identity provider are not there yet",
    }
}

fn with_challenge(rejection: Rejection, field: HeaderValue) -> Rejection {
    rejection.with_field(WWW_AUTHENTICATE, field)
}

/// What may stand between the quotes of a parameter: %x20-21 / %x23-5B / %x5D-7E (section 3). The rest
/// is left out.
fn quotable(text: &str) -> String {
    text.chars().filter(|char| matches!(char, ' '..='~') && !matches!(char, '"' | '\\')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_static(field));
        }
        headers
    }

    #[test]
    fn one_field_one_scheme_one_token() {
        let cases: &[(&[&'static str], Credentials<'_>)] = &[
            (&[], Credentials::None),
            (&["Bearer abc"], Credentials::Bearer(b"abc")),
            (&["bEARER   a.b.c=="], Credentials::Bearer(b"a.b.c==")),
            (&["Bearer"], Credentials::None),
            (&["Bearer "], Credentials::None),
            (&[""], Credentials::None),
            (&["Basic abc"], Credentials::None),
            (&["Bearerabc"], Credentials::None),
            (&["Bearer\tabc"], Credentials::None),
            (&["Bearer a", "Bearer a"], Credentials::Multiple),
            (&["Basic a", "Bearer a"], Credentials::Multiple),
        ];
        for (fields, expected) in cases {
            assert_eq!(Credentials::of(&headers(fields)), *expected, "{fields:?}");
        }
    }

    #[test]
    fn parameters_cannot_break_out_of_their_quotes() {
        let scopes = ["a\"b".into(), "c d".into(), "\\".into(), "e".into()];
        let challenges = Challenges::new(Some("x\", error=\"\r\n"), &scopes, None);
        let field = challenges.field(&[("scope", &challenges.scope)]);
        assert_eq!(field, r#"Bearer realm="x, error=", scope="ab cd e""#);
    }
}
